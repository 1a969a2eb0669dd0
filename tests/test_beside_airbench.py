"""The comparison with airbench, on a stand-in that prints as airbench 0.1.8 does."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import beside_airbench  # noqa: E402

ROW = "|  {:>6}  |  {:>5}  |      1.1  |     0.9500  |  {}  |  {:>11}  |  {:>18}  |"


def stand_in(folders):
    """Its training function: looks for its data where it runs, and prints a table."""

    def train94(run):
        folders.append({path.name: torch.load(path) for path in Path("cifar10").iterdir()})
        rule = "-" * 110
        head = (
            "|  run     |  epoch  |  train_loss  |  train_acc  |  val_acc  |  tta_val_acc  |  s  |"
        )
        print(rule, head, rule, sep="\n")
        print(ROW.format(run, 0, "0.5000", "", "0.4000"))
        print(ROW.format("", "eval", f"0.93{run}0", f"0.94{run}0", f"3.{run}000"), rule, sep="\n")

    return train94


def test_last_row_is_read_and_no_other():
    table = ROW.format(1, 9, "0.9310", "", "3.0") + "\n"
    with pytest.raises(ValueError, match="no row of results"):
        beside_airbench.last_row(table)
    found = beside_airbench.last_row(table + ROW.format("", "eval", "0.9325", "0.9401", "3.2999"))
    assert found == pytest.approx({"one view": 93.25, "six views": 94.01, "seconds": 3.2999})


def test_sides_alternate_and_the_first_round_is_not_counted():
    order = []
    sides = {
        name: lambda seed, name=name: order.append(f"{name}{seed}") or {"seconds": seed}
        for name in ("A", "B")
    }
    found = beside_airbench.in_turn(sides, [1, 2, 3])
    assert order == ["A0", "B0", "B1", "A1", "A2", "B2", "B3", "A3"]
    assert found == {name: [{"seconds": seed} for seed in (1, 2, 3)] for name in "AB"}


def test_table_has_means_deviations_and_the_ratio():
    text = beside_airbench.table(
        {
            "ours": [{"one view": 94.0, "seconds": 9.0}, {"one view": 94.4, "seconds": 9.0}],
            "theirs": [{"one view": 93.0, "six views": 94.0, "seconds": 3.0}] * 2,
        }
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[1] == "ours 94.20 ± 0.28 - 9.00 ± 0.00"
    assert lines[2] == "theirs 93.00 ± 0.00 94.00 ± 0.00 3.00 ± 0.00"
    assert lines[3] == "ours takes 3.00 times as long as theirs"


def test_command_trains_both_and_gives_airbench_its_data(monkeypatch, capsys):
    folders, ours, here = [], [], Path.cwd()
    half = SimpleNamespace(
        data=torch.zeros(2, 32, 32, 3, dtype=torch.uint8).numpy(),
        targets=[3, 5],
        classes=["a", "b"],
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some GPU")
    monkeypatch.setattr(beside_airbench.torchvision.datasets, "CIFAR10", lambda *a, **b: half)
    monkeypatch.setattr(beside_airbench, "load_cifar10", lambda root: "the data")
    monkeypatch.setattr(
        beside_airbench, "import_airbench", lambda: SimpleNamespace(train94=stand_in(folders))
    )

    def our_run(data, recipe, seed):
        ours.append((data, recipe.compile, seed))
        return {"one view": 94.0, "seconds": 8.0}

    monkeypatch.setattr(beside_airbench, "our_run", our_run)
    assert beside_airbench.main(["--seeds", "2", "--compile"]) == 0
    assert ours == [("the data", True, seed) for seed in (0, 1, 2)]
    assert [set(folder) for folder in folders] == [{"train.pt", "test.pt"}] * 3
    held = folders[0]["train.pt"]
    assert set(held) == {"images", "labels", "classes"} and held["labels"].tolist() == [3, 5]
    assert held["images"].shape == (2, 32, 32, 3) and held["images"].dtype == torch.uint8
    said = capsys.readouterr().out
    assert "some GPU" in said and "93.15 ± 0.07" in said and "94.15 ± 0.07" in said
    assert "ours takes 2.54 times as long as airbench94" in said  # 8 s, and 3.1 and 3.2 s
    assert Path.cwd() == here


@pytest.mark.parametrize(
    ("gpu", "words", "says"),
    [
        (False, [], "needs an NVIDIA GPU"),
        (True, [], "not installed here: pip install airbench"),
        (True, ["--seeds", "0"], "--seeds must be at least 1, got 0"),
    ],
)
def test_command_says_what_is_missing(gpu, words, says, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setitem(sys.modules, "airbench", None)
    with pytest.raises(SystemExit):
        beside_airbench.main(words)
    assert says in capsys.readouterr().err
