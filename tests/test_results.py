"""The runner of the experiments, on runs that only count; and the records the runner made."""

import json
import statistics
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import results  # noqa: E402
from experiments import EXPERIMENTS  # noqa: E402
from experiments.base import Experiment  # noqa: E402

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
    assert ten["error_mean"] == round(statistics.mean([15, 25, 45]), 2)
    # deviations from 28.33: -13.33, -3.33, 16.67; their squares sum to 466.67
    assert ten["error_sd"] == pytest.approx((466.67 / 2) ** 0.5, abs=0.006)
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
    assert "every mean lies within the spread" in capsys.readouterr().out
    small(base=9)  # the mean moves by 4: more than the deviation of "by one", less than the other's
    results.write("small", results.run("small", tmp_path, jobs=1))
    said = capsys.readouterr().out
    assert "beyond the spread: by one, error: 7.33 before, 11.33 now, sd 1.53" in said
    assert "spread: by ten" not in said


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
            assert variant[f"{measure}_mean"] == pytest.approx(statistics.mean(values), abs=0.0051)
            assert variant[f"{measure}_sd"] == pytest.approx(statistics.stdev(values), abs=0.0051)
        for run in variant["runs"]:
            if "history" in run and "test_error" in run["measures"]:
                assert run["measures"]["test_error"] == run["history"][-1]["test_error"]
