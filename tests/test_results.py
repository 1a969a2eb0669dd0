"""The runner of the experiments, on runs that only count; and the records the runner made."""

import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import results  # noqa: E402
from experiments import EXPERIMENTS, reproduction  # noqa: E402
from experiments.base import Experiment  # noqa: E402

from vgg_utils.configs import layer_configs  # noqa: E402
from vgg_utils.model import make_layer, weight_layers  # noqa: E402
from vgg_utils.receptive_field import receptive_field  # noqa: E402

RECORDS = sorted(path.stem for path in (ROOT / "vgg_utils" / "records").glob("*.json"))
MEASURED = [name for name in RECORDS if name != "paper"]
made = []


def count(settings, seed, folder):
    """An experiment's run that needs no training and can be told to fail."""
    if seed == settings.get("fails_at"):
        raise KeyboardInterrupt
    made.append((settings["step"], seed))
    return {"measures": {"error": settings["step"] * seed + settings["base"]}, "history": [1 / 3]}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two variants and three seeds, and folders that are not the book's."""
    made.clear()
    monkeypatch.setattr(results, "PARTS", tmp_path / "parts")
    monkeypatch.setattr(results, "RECORDS", tmp_path / "records")
    (tmp_path / "records").mkdir()

    def define(**common):
        variants = {"by one": {"step": 1}, "by ten": {"step": 10}}
        monkeypatch.setitem(
            EXPERIMENTS,
            "small",
            Experiment("What?", "none", [1, 2, 4], variants, count, {"base": 5, **common}),
        )

    define()
    return define


def test_record_holds_every_run_with_mean_and_deviation(small, tmp_path):
    record = results.run("small", tmp_path, jobs=1)
    ten = record["results"]["by ten"]
    assert [run["measures"]["error"] for run in ten["runs"]] == [15, 25, 45]
    assert [run["seed"] for run in ten["runs"]] == [1, 2, 4]
    assert ten["runs"][0]["history"] == [0.3333]
    assert ten["error_mean"] == round(statistics.mean([15, 25, 45]), 4)
    # deviations from 28.33: -13.33, -3.33, 16.67; their squares sum to 466.67
    assert ten["error_sd"] == pytest.approx((466.67 / 2) ** 0.5, abs=0.0006)
    assert {"question", "command", "device", "versions", "date", "seconds"} <= set(record)


def test_stopped_experiment_goes_on_where_it_was(small, tmp_path):
    small(fails_at=4)
    with pytest.raises(KeyboardInterrupt):
        results.run("small", tmp_path, jobs=1)
    assert made == [(1, 1), (1, 2)]
    with pytest.raises(KeyboardInterrupt):
        results.run("small", tmp_path, jobs=1)
    assert made == [(1, 1), (1, 2)]  # nothing twice
    small()  # other settings: what was made with the old ones does not count
    results.run("small", tmp_path, jobs=1)
    assert made[2:] == [(step, seed) for step in (1, 10) for seed in (1, 2, 4)]


def test_written_record_is_compared_with_the_one_before(small, tmp_path, capsys):
    results.write("small", results.run("small", tmp_path, jobs=1))
    assert not (tmp_path / "parts" / "small").exists()
    results.write("small", results.run("small", tmp_path, jobs=1))
    assert "small: 2 of 2 means lie within the spread" in capsys.readouterr().out
    small(base=9)  # the mean moves by 4: more than the deviation of "by one", less than the other's
    results.write("small", results.run("small", tmp_path, jobs=1))
    said = capsys.readouterr().out
    assert "beyond the spread: by one, error: 7.33 before, 11.33 now, sd 1.53" in said
    assert "spread: by ten" not in said and "small: 1 of 2 means" in said


@pytest.fixture
def on_gpu(small, monkeypatch):
    """A machine with a GPU, and four experiments: one is for the CPU, and one fails."""
    monkeypatch.setattr(results.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(results.torch.cuda, "get_device_name", lambda: "some GPU")
    kept = {"by ten": {"step": 10, "base": 5}}

    def fail(settings, seed, folder):
        raise OSError("no data here")

    for name, run, device in (
        ("for a CPU", count, "cpu"),
        ("first", count, "cuda"),
        ("broken", fail, "cuda"),
        ("second", count, "cuda"),
    ):
        monkeypatch.setitem(
            EXPERIMENTS,
            name,
            Experiment(f"What of {name}?", "none", [1, 2], kept, run, device=device),
        )
    for name in [one for one in EXPERIMENTS if not EXPERIMENTS[one].question.startswith("What of")]:
        monkeypatch.delitem(EXPERIMENTS, name)


def test_one_command_runs_what_waits_for_a_gpu_and_sums_up(on_gpu, tmp_path, capsys):
    command = ["--device", "cuda", "--missing"]
    assert results.main(command) == 1  # one of them failed
    assert sorted(path.stem for path in results.RECORDS.iterdir()) == ["first", "second"]
    record = json.loads((results.RECORDS / "first.json").read_text(encoding="utf-8"))
    assert record["device"] == "some GPU" and len(made) == 4
    printed = capsys.readouterr()
    for name in ("first", "second"):
        assert (
            f"{name}: What of {name}? (some GPU, 0 s)\n  by ten: error 20.00 ± 7.07" in printed.out
        )
    assert printed.out.rstrip().endswith("what they finished is kept: broken")
    assert "OSError: no data here" in printed.err
    assert results.main(command) == 1
    assert len(made) == 4  # what has a record is not measured again
    assert "nothing was measured" in capsys.readouterr().out
    assert results.main(["--device", "cuda", "first"]) == 0 and len(made) == 6


def test_gpu_that_is_not_there_is_named_at_once(on_gpu, monkeypatch, capsys):
    monkeypatch.setattr(results.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        results.main(["--device", "cuda"])
    said = capsys.readouterr().err
    assert "no NVIDIA GPU here; it is needed for first, broken, second" in said and not made


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_asks_for_what_has_no_record():
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/.ready", "results", "DEVICE=cuda"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tools/results.py --device cuda --missing" in done.stdout


@pytest.mark.parametrize("name", MEASURED)
def test_record_was_made_with_the_settings_that_stand_in_the_code(name):
    """A record whose experiment has changed since must be measured anew."""
    record = json.loads((results.RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    experiment = EXPERIMENTS[name]
    stands = {
        "seeds": experiment.seeds,
        "common": experiment.common,
        "variants": experiment.variants,
    }
    assert record["settings"] == json.loads(json.dumps(stands))
    assert record["question"] == experiment.question and record["data"] == experiment.data
    assert record["command"] == f"python tools/results.py {name}"
    assert len(experiment.seeds) >= (3 if experiment.device == "cuda" else 5)
    assert record["device"].startswith("CPU") == (experiment.device == "cpu")
    assert record["seconds"] > 0 and record["versions"]["torch"]


@pytest.mark.parametrize("name", MEASURED)
def test_record_gives_mean_and_deviation_of_its_own_runs(name):
    record = json.loads((results.RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    assert set(record["results"]) == set(EXPERIMENTS[name].variants)
    for variant in record["results"].values():
        assert [run["seed"] for run in variant["runs"]] == record["settings"]["seeds"]
        for measure in variant["runs"][0]["measures"]:
            values = [run["measures"][measure] for run in variant["runs"]]
            assert variant[f"{measure}_mean"] == pytest.approx(statistics.mean(values), abs=6e-5)
            assert variant[f"{measure}_sd"] == pytest.approx(statistics.stdev(values), abs=6e-5)
        for run in variant["runs"]:
            if "history" in run and "test_error" in run["measures"]:
                assert run["measures"]["test_error"] == run["history"][-1]["test_error"]


def test_chapter_7_names_experiments_with_their_time():
    """Each row has its experiment's minutes; all of them on two cores are some 45."""
    page = json.loads((ROOT / "book" / "07_reproduction.ipynb").read_text(encoding="utf-8"))
    text = "".join("".join(cell["source"]) + "\n" for cell in page["cells"])
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| (\d+)", text, re.MULTILINE)
    assert {"depth", "depth_cifar10"} <= {*dict(rows)}
    assert rows == [(name, f"{EXPERIMENTS[name].minutes:.0f}") for name, _ in rows]
    assert "some 45 minutes on two cores" in text
    total = sum(one.minutes for one in EXPERIMENTS.values() if one.device == "cpu")
    assert 40 <= total / 2 <= 50


def test_deep_network_of_the_depth_study_starts_with_the_layers_of_a_trained_a(tmp_path):
    """Table 3's D from A: at a rate of almost nothing it still holds what A has learnt."""
    experiment = EXPERIMENTS["depth"]
    settings = {
        **results.settings_of(experiment, "D"),
        "data": {
            "name": "scenes",
            "size": 32,
            "train_size": 60,
            "test_size": 40,
            "scale": [16, 28],
        },
        "fit": {"epochs": 1, "batch_size": 20, "learning_rate": 1e-9},
    }
    model, history = reproduction.train_one(settings, 3, tmp_path, "cpu")
    first = {**settings, "from_a": False, "model": {**settings["model"], "layer_config": "A"}}
    start, _ = reproduction.train_one(first, 3, tmp_path, "cpu")
    ours, theirs = weight_layers(model), weight_layers(start)
    for name in ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"):
        assert torch.allclose(ours[name].weight, theirs[name].weight, atol=1e-6), name
    assert not torch.allclose(ours["conv4_1"].weight, theirs["conv4_1"].weight, atol=1e-2)
    measured = experiment.run(settings, 3, tmp_path)
    assert measured["train_loss"] == [row["train_loss"] for row in history]
    assert 0 <= measured["measures"]["error"] <= 100


def test_twin_of_b_has_a_5x5_layer_for_each_pair_and_sees_as_far():
    field = lambda layers: receptive_field(make_layer(3, layers))[-1].receptive_field  # noqa: E731
    assert field(reproduction.TWIN) == field(layer_configs["B"]) == 156
    assert [entry for entry in reproduction.TWIN if entry != "M"] == [
        (5, channels) for channels in (64, 128, 256, 512, 512)
    ]
