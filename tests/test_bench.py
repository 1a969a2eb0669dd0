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


def test_markdown_has_a_row_for_each_case_and_says_what_was_missed():
    results = {"one": bench.summary(case(1.02), [1.1, 1.2, 1.3])}
    results["two"] = bench.summary(case(None), [0.4, 0.5, 0.6])
    text = bench.markdown(
        {
            "device": "some CPU",
            "versions": {"torch": "2.14.1"},
            "date": "2026-01-02",
            "command": "python benchmarks/bench.py one two",
            "results": results,
        }
    )
    rows = [line.split("|")[2:5] for line in text.split("\n") if line.startswith("| ")][1:]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["1.200 (missed)", "1.150 to 1.250", "1.02"],
        ["0.500", "0.450 to 0.550", ""],
    ]
    assert "some CPU; torch 2.14.1; 2026-01-02" in text
    assert "python benchmarks/bench.py one two" in text


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
        assert low <= result["ratio"] <= high and result["repeats"] == 2 * cases.CASES[name].more
        assert result["target"] == cases.CASES[name].target
        assert (result["met"] is None) == (result["target"] is None)
        assert f"{name:<14}{result['question']}" in printed
    assert out.with_suffix(".md").read_text() == bench.markdown(record)


@pytest.mark.parametrize("path", sorted(bench.RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_book_shows_the_stored_results(path):
    record = json.loads(path.read_text("utf-8"))
    assert list(record["results"]) == bench.cases_for(path.stem)
    assert path.with_suffix(".md").read_text("utf-8") == bench.markdown(record)
    page = (bench.RESULTS.parents[1] / "book/reference/timings.md").read_text("utf-8")
    assert f"benchmarks/results/{path.stem}.md" in page


def test_bare_loop_that_computes_something_else_is_noticed(monkeypatch):
    monkeypatch.setattr(cases, "sgd", lambda model: torch.optim.SGD(model.parameters(), lr=0.001))
    with pytest.raises(RuntimeError, match="mend bare_epoch"):
        cases.loop(TINY)


FAST = ["fast_peak", "fast_peer", "fast_plain"]
SMALL = replace(TINY, image=32, batch=2, large_batch=3, matmul=64)


@pytest.fixture
def narrow(monkeypatch):
    """Networks that a test has time for, in place of those of full width; and which were asked."""
    asked = []

    def network(name):
        torch.manual_seed(0)
        asked.append(name)
        return cases.VGGNet(3, 1000, "A", width=1 / 16, pool_size=1, hidden_features=16)

    monkeypatch.setattr(cases, "network", network)
    return asked


def test_fast_cases_run_on_a_processor_when_named_and_only_then(tmp_path, monkeypatch, narrow):
    monkeypatch.setitem(cases.SIZES, "cpu", SMALL)
    assert [name for name, case in cases.CASES.items() if case.only_gpu] == FAST
    out = tmp_path / "cpu.json"
    assert bench.main([*FAST, "--device", "cpu", "--repeats", "2", "--out", str(out)]) == 0
    results = json.loads(out.read_text())["results"]
    assert narrow == ["D", "D", "vgg16", "D", "D"]
    assert list(results) == FAST and all(result["ratio"] > 0 for result in results.values())
    ran = []
    monkeypatch.setattr(bench, "run", lambda names, size, repeats: ran.append(names) or {})
    monkeypatch.setattr(bench, "table", lambda record: "")
    monkeypatch.setattr(bench, "markdown", lambda record: "")
    for device in ("cpu", "cuda"):
        bench.main(["--device", device, "--out", str(out)])
    assert ran[1] == list(cases.CASES)
    assert ran[0] == [name for name in cases.CASES if name not in FAST]


def test_targets_of_the_fast_cases_are_as_asked():
    """At least 60% of the matrix product's speed; torchvision's time; a third of the plain time."""
    targets = [cases.CASES[name].target for name in FAST]
    assert targets == pytest.approx([1 / 0.6, 1.02, 1 / 3])


def test_operations_of_a_step_are_three_forward_passes():
    """The paper's D at 224 pixels: 15.47 G multiply-accumulates, counted here by other means."""
    model = cases.VGGNet(3, 1000, "D", width=1 / 16, hidden_features=64).eval()
    counted = 0

    def count(layer, given, output):
        nonlocal counted
        if isinstance(layer, torch.nn.Conv2d):
            window = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
        elif isinstance(layer, torch.nn.Linear):
            window = layer.in_features
        else:
            return
        counted += output.numel() * window

    for module in model.modules():
        module.register_forward_hook(count)
    model(torch.zeros(1, 3, 224, 224))
    rows = cases.summarise("D", 224, width=1 / 16, hidden_features=64)
    assert cases.total(rows).macs == counted
    size = replace(SMALL, image=224, large_batch=10)
    assert cases.training_flops("D", size) == pytest.approx(6 * 10 * 15.47e9, rel=1e-3)


@pytest.mark.parametrize("flops", [20e6, 4.1e6])
def test_product_takes_as_many_operations_in_every_step(flops, monkeypatch):
    made = []
    real = torch.mm
    monkeypatch.setattr(
        torch, "mm", lambda a, b, out: made.append((a.shape, b.shape)) or real(a, b, out=out)
    )
    cases.product(flops, replace(SMALL, steps=3))()
    (rows, inner), (_, columns) = made[0]
    assert made == [made[0]] * 3 and inner == columns == 64 and rows % 256 == 0
    assert abs(2 * rows * inner * columns - flops) <= 2 * 128 * 64 * 64  # half a tile


def test_fast_step_has_its_own_layout_and_batch_and_takes_the_same_steps(monkeypatch, narrow):
    """On a processor it differs from the plain one by the layout alone; the weights agree."""
    given = []
    real = cases.VGGNet.forward
    monkeypatch.setattr(
        cases.VGGNet, "forward", lambda self, x: given.append((self, x)) or real(self, x)
    )
    for run in cases.fast_beside_plain(SMALL):
        torch.manual_seed(1)  # the same dropout
        run()
    (fast, x), (plain, y) = given
    assert x.is_contiguous(memory_format=torch.channels_last) and y.is_contiguous()
    assert len(x) == len(y) == 3
    for one, other in zip(fast.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


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
