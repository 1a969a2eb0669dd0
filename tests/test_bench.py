"""The benchmarks' arithmetic, on a clock that is set by hand, and the form of what they write."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import bench  # noqa: E402
import cases  # noqa: E402

from vgg_utils import checkpoint  # noqa: E402
from vgg_utils.configs import summarise, total  # noqa: E402
from vgg_utils.records import load_record  # noqa: E402

TINY = replace(cases.SIZES["cpu"], width=1 / 16, small_batch=400, test_width=1 / 64)


class Clock:
    """Time that passes only when a callable says how long it took."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = ""

    def __call__(self) -> float:
        return self.now

    def callable(self, name, *seconds):
        durations = iter(seconds)

        def run():
            self.calls += name
            self.now += next(durations)

        return run


def test_each_pair_of_neighbours_gives_a_ratio_and_the_order_alternates():
    clock = Clock()
    ours = clock.callable("A", 100, 3, 6, 8)  # the first call is not measured
    base = clock.callable("B", 1, 2, 2, 4)
    assert bench.ratios(ours, base, 3, clock=clock) == [1.5, 3.0, 2.0]
    assert clock.calls == "AB" + "AB" + "BA" + "AB"


def test_number_that_is_returned_is_compared_instead_of_the_time():
    clock = Clock()
    found = bench.ratios(lambda: 30, lambda: 20, 2, returned=True, clock=clock)
    assert found == [1.5, 1.5]


def case(target):
    return cases.Case("ours / base", target, lambda size: (print, print))


def test_summary_has_median_and_quartiles():
    result = bench.summary(case(1.02), [1.4, 1.0, 1.1, 1.2, 1.3])
    assert (result["ratio"], result["quartiles"], result["repeats"]) == (1.2, [1.1, 1.3], 5)


@pytest.mark.parametrize(
    ("target", "met"), [(1.02, True), (1.0201, True), (1.0199, False), (None, None)]
)
def test_target_is_a_bound_for_the_median(target, met):
    assert bench.summary(case(target), [0.5, 1.02, 9.0])["met"] is met


def test_excess_is_that_of_one_time():
    result = bench.summary(case(1.02), [1.12, 1.24, 1.36], times=12)
    assert result["ratio"] == 1.02
    assert result["quartiles"] == [1.015, 1.025]
    assert bench.summary(case(1.02), [1.25, 1.25], times=12)["met"] is False


def test_command_writes_a_whole_record_and_prints_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(cases.SIZES, "cpu", TINY)
    out = tmp_path / "new" / "cpu.json"
    names = ["loop", "default", "tutorial", "checkpoint"]
    assert bench.main([*names, "--device", "cpu", "--repeats", "2", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    assert set(record) == {"device", "versions", "date", "command", "load", "size", "results"}
    assert set(record["versions"]) == {"python", "torch", "torchvision"}
    assert record["command"].endswith("bench.py loop default tutorial checkpoint --repeats 2")
    assert list(record["results"]) == names
    printed = capsys.readouterr().out
    for name, result in record["results"].items():
        assert set(result) == {"question", "ratio", "quartiles", "target", "met", "repeats"}
        low, high = result["quartiles"]
        assert low <= result["ratio"] <= high and result["repeats"] == 2
        assert result["target"] == cases.CASES[name].target
        assert (result["met"] is None) == (result["target"] is None)
        assert f"{name:<14}{result['question']}" in printed


def test_bare_loop_that_computes_something_else_is_noticed(monkeypatch):
    monkeypatch.setattr(cases, "sgd", lambda model: torch.optim.SGD(model.parameters(), lr=0.001))
    with pytest.raises(RuntimeError, match="mend bare_epoch"):
        cases.loop(TINY)


def test_number_of_checkpoints_is_that_of_the_files_written(monkeypatch):
    written = []
    real = checkpoint.save
    monkeypatch.setattr(
        checkpoint, "save", lambda *arguments: written.append(1) or real(*arguments)
    )
    for batch, count in ((100, 5), (65, 6)):  # 13 steps and 20, one checkpoint every 4 of them
        written.clear()
        size = replace(TINY, small_batch=batch)
        cases.checkpointing(size)[0]()
        assert len(written) == cases.checkpoints(size) == count


def test_dense_and_crops_look_as_the_paper_does():
    ours, base = cases.looks(TINY)
    assert ours.args[0] is base.args[0]  # one network
    seen = Counter()
    ours.args[0].features.register_forward_pre_hook(
        lambda _, images: seen.update([tuple(images[0].shape[1:])] * len(images[0]))
    )
    ours()
    row = next(r for r in load_record("paper")["table4"]["rows"] if r["train_S"] == "[256;512]")
    assert seen == {(3, scale, scale): 2 for scale in row["test_Q"]}  # 2: the mirror image
    seen.clear()
    base()
    views = load_record("paper")["testing"]["multi_crop"]["value"]["total"]
    assert seen == {(3, 224, 224): views}


def test_narrow_d_keeps_the_ratio_of_dense_to_crops():
    def ratio(width):
        options = {"width": width, "hidden_features": round(4096 * width)}
        scales = [total(summarise("D", q, dense=True, **options)).macs for q in (256, 384, 512)]
        return 150 * total(summarise("D", **options)).macs / (2 * sum(scales))

    assert cases.SIZES["cuda"].test_width == 1
    assert ratio(1) == pytest.approx(7.134, abs=0.001)
    assert ratio(cases.SIZES["cpu"].test_width) == pytest.approx(ratio(1), rel=0.01)


def test_peak_memory_sees_what_was_freed_again():
    code = (
        "import cases, torch; before = cases.peak_resident(); torch.ones(25_000_000); "
        "print(cases.peak_resident() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
    )
    assert 95e6 < float(done.stdout) < 130e6  # 25 million numbers of 4 bytes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["lop"], "no case 'lop': choose from step_vgg11"), (["--repeats", "1"], "at least 2")],
)
def test_command_refuses_what_it_cannot_do(arguments, says, capsys):
    with pytest.raises(SystemExit):
        bench.main(arguments)
    assert says in capsys.readouterr().err


def test_list_names_every_case(capsys):
    assert bench.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(cases.CASES)
