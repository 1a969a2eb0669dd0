"""The benchmarks' arithmetic, on a clock that is set by hand, and the form of what they write."""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import bench  # noqa: E402
import cases  # noqa: E402

from vgg_utils.configs import summarise, total  # noqa: E402
from vgg_utils.records import load_record  # noqa: E402

TINY = replace(
    cases.SIZES["cpu"],
    image=32,
    batch=2,
    large_batch=3,
    width=1 / 16,
    small_batch=8,
    test_width=1 / 64,
    epoch_seconds=0,
)


@pytest.fixture
def small(monkeypatch):
    """Networks and data that a test has time for; and which networks were asked for."""
    asked = []
    digits = cases.load_digits()
    parts = [TensorDataset(*part[:20]) for part in (digits.train, digits.test)]

    def network(name):
        torch.manual_seed(0)
        asked.append(name)
        return cases.VGGNet(3, 1000, "A", width=1 / 16, pool_size=1, hidden_features=16)

    monkeypatch.setattr(cases, "network", network)
    monkeypatch.setattr(cases, "in_new_process", lambda function, *given: function(*given))
    monkeypatch.setattr(
        cases, "load_digits", lambda: digits._replace(train=parts[0], test=parts[1])
    )
    monkeypatch.setitem(cases.SIZES, "cpu", TINY)
    return asked


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


def test_command_writes_a_whole_record_and_prints_it(tmp_path, small, capsys):
    out = tmp_path / "new" / "cpu.json"
    names = ["loop", "checkpoint", "fast_peer"]
    assert bench.main([*names, "--device", "cpu", "--repeats", "2", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    assert set(record) == {"device", "versions", "date", "command", "load", "size", "results"}
    assert set(record["versions"]) == {"python", "torch", "torchvision"}
    assert record["command"].endswith("bench.py loop checkpoint fast_peer --repeats 2")
    assert list(record["results"]) == names
    printed = capsys.readouterr().out
    for name, result in record["results"].items():
        assert set(result) == {"question", "ratio", "quartiles", "target", "met", "repeats"}
        low, high = result["quartiles"]
        assert low <= result["ratio"] <= high and result["repeats"] == 2 * cases.CASES[name].more
        assert f"{name:<14}{result['question']}" in printed
    assert out.with_suffix(".md").read_text() == bench.markdown(record)


@pytest.mark.parametrize("path", sorted(bench.RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_book_shows_the_stored_results(path):
    record = json.loads(path.read_text("utf-8"))
    assert list(record["results"]) == bench.cases_for(path.stem)
    assert path.with_suffix(".md").read_text("utf-8") == bench.markdown(record)
    page = (bench.RESULTS.parents[1] / "book/reference/timings.md").read_text("utf-8")
    assert f"benchmarks/results/{path.stem}.md" in page


def test_bare_loop_that_computes_something_else_is_noticed(monkeypatch, small):
    monkeypatch.setattr(cases, "sgd", lambda model: torch.optim.SGD(model.parameters(), lr=0.001))
    with pytest.raises(RuntimeError, match="mend bare_epoch"):
        cases.loop(TINY)


@pytest.mark.parametrize("name", [name for name in cases.CASES if name != "dense"])
def test_every_other_case_runs(name, small):
    costs = [side() for side in cases.CASES[name].build(TINY)]
    assert not cases.CASES[name].returned or min(costs) >= 0


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("step_vgg11", ["A", "vgg11"]),
        ("step_vgg16", ["D", "vgg16"]),
        ("fast_peak", ["D"]),
        ("fast_peer", ["D", "vgg16"]),
        ("fast_plain", ["D", "D"]),
    ],
)
def test_cases_compare_the_networks_that_they_name(name, asked, small):
    cases.CASES[name].build(TINY)
    assert small == asked


def test_cases_for_a_gpu_run_on_a_processor_only_when_named(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(bench, "run", lambda names, size, repeats: ran.append(names) or {})
    monkeypatch.setattr(bench, "table", lambda record: "")
    monkeypatch.setattr(bench, "markdown", lambda record: "")
    for words in (["--device", "cpu"], ["--device", "cuda"], ["fast_peak", "--device", "cpu"]):
        bench.main([*words, "--out", str(tmp_path / "out.json")])
    assert set(ran[1]) - set(ran[0]) == {"fast_peak", "fast_peer", "fast_plain"}
    assert ran[1] == list(cases.CASES) and ran[2] == ["fast_peak"]


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
    size = replace(TINY, image=224, large_batch=10)
    assert cases.training_flops("D", size) == pytest.approx(6 * 10 * 15.47e9, rel=1e-3)


@pytest.mark.parametrize("flops", [20e6, 4.1e6])
def test_product_takes_as_many_operations_in_every_step(flops, monkeypatch):
    made = []
    real = torch.mm
    monkeypatch.setattr(
        torch, "mm", lambda a, b, out: made.append((a.shape, b.shape)) or real(a, b, out=out)
    )
    cases.product(flops, replace(TINY, steps=3, matmul=64))()
    (rows, inner), (_, columns) = made[0]
    assert made == [made[0]] * 3 and inner == columns == 64 and rows % 256 == 0
    assert abs(2 * rows * inner * columns - flops) <= 2 * 128 * 64 * 64  # half a tile


def test_fast_step_has_its_own_layout_and_batch_and_takes_the_same_steps(monkeypatch, small):
    """On a processor it differs from the plain one by the layout alone; the weights agree."""
    given = []
    real = cases.VGGNet.forward
    monkeypatch.setattr(
        cases.VGGNet, "forward", lambda self, x: given.append((self, x)) or real(self, x)
    )
    for run in cases.fast_beside_plain(TINY):
        torch.manual_seed(1)  # the same dropout
        run()
    (fast, x), (plain, y) = given
    assert x.is_contiguous(memory_format=torch.channels_last) and y.is_contiguous()
    assert len(x) == len(y) == 3
    for one, other in zip(fast.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_checkpoint_is_one_that_fit_wrote_and_the_epoch_lasts_long_enough(small, monkeypatch):
    sizes, saved = [], []
    times = iter([0.0, 2.0, 10.0, 14.0, 20.0, 28.5])  # epochs of 2, 4 and 8.5 seconds
    monkeypatch.setattr(cases.time, "perf_counter", lambda: next(times))
    real_fit, real_save = cases.fit, cases.checkpoint.save

    def fit(model, train, **options):
        sizes.append((len(train), "out" in options))
        return real_fit(model, train, **options)

    def save(folder, number, state):
        saved.append(real_save(folder, number, state).stat().st_size)

    monkeypatch.setattr(cases, "fit", fit)
    writing, epoch = cases.checkpointing(replace(TINY, epoch_seconds=8))
    assert sizes == [(20, True), (20, False), (40, False), (80, False)]
    monkeypatch.setattr(cases.checkpoint, "save", save)
    writing()
    epoch()
    assert sizes[4:] == [(80, False)]
    # Each parameter is there twice, once as momentum, in 4 bytes; little else is.
    model = cases.small(TINY, batch_norm=True)[0]
    assert saved[0] == pytest.approx(8 * sum(p.numel() for p in model.parameters()), rel=0.1)


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


def test_folded_network_has_no_norm_and_the_other_has_thirteen():
    """The convolutions by the formula of lesson 13, not by PyTorch's function."""
    folded, beside = (run.args[0] for run in cases.folding(TINY))
    kinds = [[type(layer) for layer in net.features] for net in (folded, beside)]
    assert [one.count(torch.nn.BatchNorm2d) for one in kinds] == [0, 13]
    assert [one.count(torch.nn.Conv2d) for one in kinds] == [13, 13]
    assert not folded.training and not beside.training
    conv, norm = beside.features[:2]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    bias = norm.bias + scale * (conv.bias - norm.running_mean)
    assert torch.allclose(folded.features[0].weight, conv.weight * scale.view(-1, 1, 1, 1))
    assert torch.allclose(folded.features[0].bias, bias)
    assert not torch.allclose(scale, torch.ones(()), atol=0.1)  # norms that do something


def test_folded_network_that_computes_something_else_is_noticed(monkeypatch):
    monkeypatch.setattr(cases, "fuse_conv_bn_eval", lambda conv, norm: conv)
    with pytest.raises(RuntimeError, match="mend without_norms"):
        cases.folding(TINY)


def test_narrow_d_keeps_the_ratio_of_dense_to_crops():
    def ratio(width):
        options = {"width": width, "hidden_features": round(4096 * width)}
        scales = [total(summarise("D", q, dense=True, **options)).macs for q in (256, 384, 512)]
        return 150 * total(summarise("D", **options)).macs / (2 * sum(scales))

    assert ratio(1) == pytest.approx(7.134, abs=0.001)
    assert ratio(cases.SIZES["cpu"].test_width) == pytest.approx(ratio(1), rel=0.01)


def test_peak_memory_sees_what_was_freed_again():
    before = cases.peak_resident()
    torch.ones(int(before) // 3)  # of 4 bytes: a third more than the process has held at most
    assert 1.3 * before < cases.peak_resident() < 2.5 * before


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
