"""The runner of the experiments, on runs that only count; and the records the runner made."""

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import claims  # noqa: E402
import results  # noqa: E402
from claims import Claim  # noqa: E402
from experiments import EXPERIMENTS, base, reproduction  # noqa: E402
from experiments.base import AT_THE_END, EVERY_EPOCH, NO_TEST, Experiment  # noqa: E402
from image_files import write_images  # noqa: E402

from vgg_utils import training  # noqa: E402
from vgg_utils.configs import layer_configs  # noqa: E402
from vgg_utils.data import ImageData  # noqa: E402
from vgg_utils.model import make_layer, weight_layers  # noqa: E402
from vgg_utils.receptive_field import receptive_field  # noqa: E402

RECORDS = sorted(path.stem for path in (ROOT / "vgg_utils" / "records").glob("*.json"))
MEASURED = [name for name in RECORDS if name in EXPERIMENTS]
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
    assert record["test_set"] == AT_THE_END and "(seed, epoch, step)" in record["made_with"]


def test_stopped_experiment_goes_on_where_it_was(small, tmp_path, monkeypatch):
    small(fails_at=4)
    with pytest.raises(KeyboardInterrupt):
        results.run("small", tmp_path, jobs=1)
    assert made == [(1, 1), (10, 1), (1, 2), (10, 2)]
    with pytest.raises(KeyboardInterrupt):
        results.run("small", tmp_path, jobs=1)
    assert len(made) == 4  # nothing twice
    (tmp_path / "records" / "small.json").unlink()
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(results, "MADE_WITH", "another version")  # nor with other code
        results.run("small", tmp_path, jobs=1)
    assert len(made) == 8
    (tmp_path / "records" / "small.json").unlink()
    made[4:] = []
    small()  # other settings: what was made with the old ones does not count
    results.run("small", tmp_path, jobs=1)
    assert made[4:] == [(step, seed) for seed in (1, 2, 4) for step in (1, 10)]


def test_record_is_written_as_its_seeds_finish_and_gone_on_with(small, tmp_path, monkeypatch):
    """Its runs are not made again, even where all that is in build has been lost."""
    monkeypatch.setitem(EXPERIMENTS["small"].variants["by ten"], "fails_at", 4)
    with pytest.raises(KeyboardInterrupt):
        results.run("small", tmp_path, jobs=1)
    shutil.rmtree(tmp_path / "parts")
    stored = json.loads((tmp_path / "records" / "small.json").read_text(encoding="utf-8"))
    assert (
        stored["settings"]["seeds"] == [1, 2] and stored["results"]["by one"]["error_mean"] == 6.5
    )
    monkeypatch.setitem(EXPERIMENTS["small"].variants["by ten"], "fails_at", 9)
    with monkeypatch.context() as patch:
        patch.setattr(results, "MADE_WITH", "another version")
        with pytest.raises(
            ValueError, match=r"small\.json holds some of the seeds.*another version"
        ):
            results.from_record("small")
        assert results.main(["small", "--missing", "--jobs", "1"]) == 1
    assert results.main(["small", "--missing", "--jobs", "1"]) == 0
    # What was run with other settings ("by ten" fails elsewhere now) is made anew.
    assert made == [(1, 1), (10, 1), (1, 2), (10, 2), (1, 4), (10, 1), (10, 2), (1, 4), (10, 4)]
    whole = json.loads((tmp_path / "records" / "small.json").read_text(encoding="utf-8"))
    assert whole["settings"]["seeds"] == [1, 2, 4]
    assert [run["seed"] for run in whole["results"]["by one"]["runs"]] == [1, 2, 4]
    results.main(["small", "--missing", "--jobs", "1"])
    assert len(made) == 9


def test_first_seeds_can_be_had_before_the_others(small, tmp_path, monkeypatch, capsys):
    asked = ["--data-dir", str(tmp_path), "--jobs", "1", "small"]
    assert results.main(["--seeds", "1", *asked]) == 0
    assert results.stored("small")["settings"]["seeds"] == [1]
    first = results.stored("small")["results"]
    assert results.main(["--seeds", "1", *asked]) == 0  # there already: nothing is run again
    assert "has its first 1 seeds" in capsys.readouterr().out
    assert results.main(asked) == 0
    whole = results.stored("small")
    assert whole["settings"]["seeds"] == [1, 2, 4]
    for variant, result in first.items():
        assert whole["results"][variant]["runs"][0] == result["runs"][0]


def test_variant_that_needs_fewer_seeds_is_run_from_the_first_alone(small, tmp_path, monkeypatch):
    fewer = {**vars(EXPERIMENTS["small"]), "fewer": {"by ten": 2}}
    monkeypatch.setitem(EXPERIMENTS, "small", Experiment(**fewer))
    record = results.run("small", tmp_path, jobs=1)
    assert made == [(1, 1), (10, 1), (1, 2), (10, 2), (1, 4)]
    ran = {name: [run["seed"] for run in of["runs"]] for name, of in record["results"].items()}
    assert ran == {"by one": [1, 2, 4], "by ten": [1, 2]}
    assert record["settings"]["seeds"] == results.stored("small")["settings"]["seeds"] == [1, 2, 4]
    compared = Claim("x", "small", ("by one", "error"), ("by ten", "error"))
    assert claims.changes_of(compared, record) == ([6 - 15, 7 - 25], 20)


def test_part_that_cannot_be_read_is_made_again(small, tmp_path, capsys):
    small(fails_at=2)
    for text in ("", "{}", '{"settings": 3'):
        with pytest.raises(KeyboardInterrupt):
            results.run("small", tmp_path, jobs=1)
        broken = results.part_path("small", "by ten", 1)
        broken.write_text(text, encoding="utf-8")
    small()
    results.run("small", tmp_path, jobs=1)
    assert f"{broken} can't be read" in capsys.readouterr().out
    assert made == [
        (1, 1),
        (10, 1),
        (10, 1),
        (10, 1),
        (1, 1),
        (10, 1),
        *[(1, 2), (10, 2)],
        *[(1, 4), (10, 4)],
    ]


def test_whole_record_stays_until_another_is_whole(small, tmp_path):
    results.write("small", results.run("small", tmp_path, jobs=1))
    before = (tmp_path / "records" / "small.json").read_bytes()
    small(fails_at=4)
    with pytest.raises(KeyboardInterrupt):
        results.run("small", tmp_path, jobs=1)
    assert (tmp_path / "records" / "small.json").read_bytes() == before


@pytest.mark.parametrize("jobs", [1, 2, 3, 8])
def test_seeds_are_taken_as_many_at_a_time_as_there_are_jobs(jobs):
    order = results.in_order(["a", "b"], [1, 2, 3, 4, 5], jobs)
    assert sorted(order) == [(variant, seed) for variant in "ab" for seed in range(1, 6)]
    first = {seed for _, seed in order[: 2 * min(jobs, 5)]}
    assert first == set(range(1, min(jobs, 5) + 1))


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


def test_every_record_is_of_an_experiment_or_known():
    others = {"paper", "claims", "networks"}  # made otherwise, see their own tests
    assert set(RECORDS) - set(MEASURED) <= others


@pytest.mark.parametrize("name", MEASURED)
def test_record_was_made_with_the_settings_that_stand_in_the_code(name):
    """A record whose experiment has changed since must be measured anew."""
    record = json.loads((results.RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    experiment = EXPERIMENTS[name]
    stands = {"common": experiment.common, "variants": experiment.variants}
    seeds = record["settings"].pop("seeds")
    assert seeds == list(experiment.seeds[: len(seeds)]) and len(seeds) > 1  # as far as they are
    assert record["settings"] == json.loads(json.dumps(stands))
    assert record["question"] == experiment.question and record["data"] == experiment.data
    assert record["command"] == f"python tools/results.py {name}"
    assert len(experiment.seeds) >= (3 if experiment.device == "cuda" else 5)
    assert record["device"].startswith("CPU") == (experiment.device == "cpu")
    assert record["seconds"] > 0 and record["versions"]["torch"]


@pytest.mark.parametrize("name", MEASURED)
def test_record_gives_mean_and_deviation_of_its_own_runs(name):
    record = json.loads((results.RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    experiment, seeds = EXPERIMENTS[name], record["settings"]["seeds"]
    assert set(record["results"]) == set(experiment.variants)
    for which, variant in record["results"].items():
        assert [run["seed"] for run in variant["runs"]] == experiment.seeds_of(which, seeds)
        for measure in variant["runs"][0]["measures"]:
            values = [run["measures"][measure] for run in variant["runs"]]
            assert variant[f"{measure}_mean"] == pytest.approx(statistics.mean(values), abs=6e-5)
            spread = statistics.stdev(values) if len(values) > 1 else None
            assert variant[f"{measure}_sd"] == pytest.approx(spread, abs=6e-5)
        for run in variant["runs"]:
            if "history" in run and "test_error" in run["measures"]:
                assert run["measures"]["test_error"] == run["history"][-1]["test_error"]


@pytest.mark.parametrize("name", MEASURED)
def test_record_says_whether_its_history_looked_at_the_test_set_on_the_way(name):
    record = json.loads((results.RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    on_the_way = set()
    for run in (run for variant in record["results"].values() for run in variant["runs"]):
        histories = run.get("history", [])
        for rows in histories.values() if isinstance(histories, dict) else [histories]:
            on_the_way |= {"test_error" in row for row in rows[:-1]}
    said = record["test_set"]
    ways = ("after every epoch" in said, said.startswith(AT_THE_END), said == NO_TEST)
    assert sum(ways) == 1
    assert True not in on_the_way or "after every epoch" in said
    assert record["made_with"]


DIGITS = {"name": "digits", "test_size": 1740}  # leaves 57 to train on
SCENES = {"train_size": 30, "test_size": 10}
SHORT = {"epochs": 2, "batch_size": 16, "milestones": [1]}
FEW = {"counts": [90, 60], "fit": SHORT}
TINY = {  # one variant of each experiment for a CPU, and what makes it tiny
    "digits_a": ("A with batch norm", {"data": DIGITS}),
    "initialisation": ("D from A", {"data": DIGITS}),
    "initialisation_one_number": ("D, each layer measured", {"data": DIGITS}),
    "training_stuck": ("0.05, then 0.01", {}),
    "augmentation_invented": ("turned by 15", {}),
    "augmentation_scenes": ("S drawn once", {"data": SCENES, "scenes_per_size": 5}),
    "augmentation_cifar10_subset": ("all", {"train_size": 40, "test_size": 20}),
    "evaluation": ("S in [32;64]", {"data": SCENES}),
    "own_claim": ("A, 3 epochs", {"data": DIGITS}),
    "localisation": ("all, PCR", {"classifier": FEW}),
    "features": ("trained, three scales stacked", {"classifier": FEW}),
    "grad_cam": ("trained", {"classifier": FEW}),
    "pointing": ("trained", {"sheets": 2}),
    "inversion": ("trained", {"steps": 2}),
    "flower_features": ("trained", {}),
    "few_flowers": ("from nothing", {"steps": [0, 40]}),
    "fast_digits": ("without shift, 2 epochs", {"data": DIGITS, "recipe": {"batch_size": 16}}),
}


def form(value):
    """Return the names in nested dicts; of a list, the form of its last entry."""
    if isinstance(value, dict):
        return {key: form(inner) for key, inner in value.items()}
    return [form(value[-1])] if isinstance(value, list) else type(value)


def test_every_experiment_for_a_cpu_is_tried_at_tiny_size():
    on_cpu = {name for name, one in EXPERIMENTS.items() if one.device == "cpu" and not one.pilot}
    # These two in test_gpu_experiments.py:
    assert on_cpu == {*TINY, "fast_cifar10_subset", "two_cores"}
    # Those with a pilot are tried in test_photographs.py.


@pytest.mark.parametrize("name", TINY)
def test_new_run_has_the_form_that_pages_read_and_says_when_it_tests(name, monkeypatch, tmp_path):
    """Its form is that of the stored record, and it looks at the test set when it says so."""
    looked = []

    def spy(model, train, validation=None, **options):
        looked.append(validation is not None)
        return training.fit(model, train, validation, **options)

    for module in ("base", "evaluation", "localisation"):
        monkeypatch.setattr(f"experiments.{module}.fit", spy)
    images = torch.rand(60, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    half = TensorDataset(images - 0.5, torch.arange(60) % 10)
    data = ImageData(half, half, [str(label) for label in range(10)], torch.full((3,), 0.5))
    monkeypatch.setattr("experiments.augmentation.load_cifar10", lambda folder: data)
    monkeypatch.setattr("experiments.inside.cifar10", lambda folder: data)
    write_images(tmp_path / "flowers5", sizes=((40, 50), (50, 40)))

    variant, changes = TINY[name]
    experiment = EXPERIMENTS[name]
    settings = results.settings_of(experiment, variant)
    if "fit" in settings:
        settings["fit"] = SHORT
    for key, value in changes.items():
        settings[key] = {**settings[key], **value} if isinstance(value, dict) else value
    outcome = results.rounded(experiment.run(settings, 3, tmp_path))

    record = json.loads((results.RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    stored = record["results"][variant]["runs"][0]
    del stored["seed"], stored["seconds"]
    if name == "evaluation":  # whose history no page reads
        assert set(outcome.pop("history")) == set(stored.pop("history"))
    assert form(outcome) == form(stored)
    assert any(looked) == (experiment.test_set == EVERY_EPOCH)
    for row in outcome["history"] if any(looked) else []:
        assert row.keys() == stored["history"][0].keys()


def test_curve_on_the_test_set_leaves_the_training_as_it_is():
    settings = {
        "data": DIGITS,
        "model": {"width": 1 / 32, "pool_size": 1, "hidden_features": 8},
        "augment": {"shift": 2},
        "fit": SHORT,
    }
    data = base.load(settings, 0, Path())
    models = [base.new_network(settings, 0, data) for _ in range(2)]
    with_curve, without = (
        base.fit_network(model, data, settings, 0, curve=curve)
        for model, curve in zip(models, (True, False), strict=True)
    )
    weights = [model.state_dict() for model in models]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert with_curve[-1] == without[-1] and "test_error" in with_curve[0]
    assert [row["train_loss"] for row in with_curve] == [row["train_loss"] for row in without]


def test_all_but_the_long_experiments_fit_into_an_hour_of_two_cores():
    """What `make results` runs when nothing is named."""
    on_cpu = [one for one in EXPERIMENTS.values() if one.device == "cpu"]
    short = [one for one in on_cpu if one.minutes <= results.LONG]
    assert all(one in short or one.pilot or one.threads > 1 for one in on_cpu)
    assert sum(one.minutes for one in short) / 2 <= 60


def test_deep_network_of_the_depth_study_starts_with_the_layers_of_a_trained_a(tmp_path):
    """Table 3's D from A: at a rate of almost nothing it still holds what A has learnt."""
    run = reproduction.on("cpu")
    settings = {
        **results.settings_of(EXPERIMENTS["depth_cifar10"], "D"),
        "data": {
            "name": "scenes",
            "size": 32,
            "train_size": 60,
            "test_size": 40,
            "scale": [16, 28],
        },
        "fit": {"epochs": 1, "batch_size": 20, "learning_rate": 1e-9},
    }
    settings["model"]["width"] = 0.125
    model, history = reproduction.train_one(settings, 3, tmp_path, "cpu")
    first = {**settings, "from_a": False, "model": {**settings["model"], "layer_config": "A"}}
    start, _ = reproduction.train_one(first, 3, tmp_path, "cpu")
    ours, theirs = weight_layers(model), weight_layers(start)
    for name in ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"):
        assert torch.allclose(ours[name].weight, theirs[name].weight, atol=1e-6), name
    assert not torch.allclose(ours["conv4_1"].weight, theirs["conv4_1"].weight, atol=1e-2)
    measured = run(settings, 3, tmp_path)
    assert measured["train_loss"] == [row["train_loss"] for row in history]
    assert 0 <= measured["measures"]["error"] <= 100


def test_twin_of_b_has_a_5x5_layer_for_each_pair_and_sees_as_far():
    field = lambda layers: receptive_field(make_layer(3, layers))[-1].receptive_field  # noqa: E731
    assert field(reproduction.TWIN) == field(layer_configs["B"]) == 156
    assert [entry for entry in reproduction.TWIN if entry != "M"] == [
        (5, channels) for channels in (64, 128, 256, 512, 512)
    ]
