"""The exercises' checks: every wrong answer is refused with a reason, and none breaks them.

That the printed solutions are right is `test_exercises.py`'s matter.
"""

import functools
import math

import numpy as np
import pytest
import torch
from torchvision.models import VGG16_Weights

from vgg_utils import checks
from vgg_utils.checks import broken_network, check
from vgg_utils.model import weight_layers
from vgg_utils.records import load_record


def said(capsys, exercise, answer):
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def assert_named(capsys, exercise, answer, hint):
    """A usual mistake is refused, in words that name it."""
    out = said(capsys, exercise, answer)
    assert "not yet" in out
    assert hint in out


@pytest.mark.parametrize("exercise", sorted(checks._checks))
def test_no_answer_yet(capsys, exercise):
    assert said(capsys, exercise, ...) == (
        f"{exercise}: no answer yet.\nReplace the ... and run the cell again."
    )


@pytest.mark.parametrize("exercise", sorted(checks._checks))
@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        "abc",
        -1,
        0,
        0.5,
        10**9,
        10**400,
        math.nan,
        math.inf,
        True,
        [],
        [None],
        {},
        (1, "x"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(capsys, exercise, answer):
    out = said(capsys, exercise, answer)
    assert out.startswith(f"{exercise}: not yet. ")
    assert len(out.split()) > 6
    assert out.endswith((".", "?", "`", ")"))


@pytest.mark.parametrize("number", [np.float32(6.9078), torch.tensor([6.9078]), 6.9])
def test_numbers_of_any_kind_are_numbers(capsys, number):
    assert said(capsys, "5.1", number) == "5.1: right."


def test_unknown_exercise_lists_what_there_is():
    with pytest.raises(ValueError, match=r"no exercise '9\.9': choose one of .*5\.1"):
        check("9.9", 1)


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("5.1", 3.0, "decimal"),
        ("5.1", math.log2(1000), "binary"),
        ("5.1", math.log(10), "ten classes"),
        ("5.1", -math.log(1000), "sign"),
        ("5.2", 3, "function is asked for"),
        ("5.2", lambda batch, p: batch, "fails"),
        ("5.2", lambda batch: None, "return"),
        ("5.2", lambda batch: batch[0], "should come back"),
        ("5.2", lambda batch: batch.numpy(), "should come back"),
        ("5.2", lambda batch: batch, "alike"),
        ("5.2", lambda batch: batch.flip(3), "alike"),
        ("5.2", lambda batch: batch.flip(3) if torch.rand(()) < 0.5 else batch, "alike"),
        ("5.2", lambda batch: batch.flip(-2), "upside down"),
        ("5.2", lambda batch: batch.flip(1), "red and blue"),
        ("5.2", lambda batch: batch + 1, "neither"),
        ("5.2", lambda batch: torch.cat([batch[:100], batch[100:].flip(3)]), "same images"),
        ("5.2", lambda batch: torch.cat([batch[:180], batch[180:].flip(3)]), "10% of 200"),
        ("5.1", torch.tensor(3.0), "decimal"),
        ("5.3", lambda s, y: 50.0, "answer(scores, labels, 1)"),
        ("5.3", lambda s, y, k: (s.argmax(1) != y).float(), "take the mean"),
        ("5.3", lambda s, y, k: None, "return"),
        ("5.3", lambda s, y, k: 100 * (s.argmax(1) == y).float().mean(), "accuracy"),
        ("5.3", lambda s, y, k: (s.argmax(1) != y).float().mean(), "multiply"),
        ("5.3", lambda s, y, k: 100 * (s.argmax(1) != y).float().mean(), "k highest"),
        ("5.3", lambda s, y, k: 50.0, "test case"),
        ("5.4", math.sqrt(0.02 * 0.98 / 500), "percentage points"),
        ("5.4", 100 * 0.02 * 0.98 / 500, "variance"),
        ("5.4", 100 * math.sqrt(0.02 * 0.98) / 500, "under the square root"),
        ("5.4", 0.767, "of the gap"),
        ("5.4", 100 * math.sqrt(0.02 * 0.98), "square root of 500"),
    ],
)
def test_common_mistakes_of_chapter_5_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("3.1", 512 * 14 * 14 * 4096, "bias as well"),
        ("3.1", 512 * 14 * 14 * 4097, "each output"),
        ("3.1", 512 * 7 * 7 * 4096 + 4096, "at 224 pixels"),
        ("3.1", 2 * 512 * 7 * 7 * 4096 + 4096, "four times"),
        ("3.1", 512 * 28 * 28 * 4096 + 4096, "after pool5"),
        ("3.1", 512 * 4096 + 4096, "14x14"),
        ("3.2", [(5, 64), (5, 64), "M"] * 5, "one convolution"),
        ("3.2", [(3, 64), "M"] * 5, "still a 3x3"),
        ("3.2", [(5, 64), "M"], "5 pools"),
        ("3.3", "conv5_1", "area of the map"),
        ("3.3", "fc7", "Another layer"),
        ("3.3", "fc9", "no layer"),
        ("3.4", 43_003_944 - 4096, "keeps its biases"),
        ("3.4", 143_667_240, "7x7 map"),
        ("3.4", 143_667_240 - 43_003_944, "difference from E"),
        ("3.4", 512 * 4096 + 4096, "fc6 alone"),
        ("3.4", 43_003_944 - 512 * 4096 - 4096, "still there"),
        ("3.4", 37_694_248, "E is asked for"),
        ("3.4", 43, "in millions"),
        ("3.4", 43.0, "in millions"),
    ],
)
def test_common_mistakes_of_chapter_3_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


BOTH = "multi-crop & dense"


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("1.1", (0.7, "E"), "turned round"),
        ("1.1", ("E", -0.7), "sign"),
        ("1.1", ("D", 0.6), "another net"),
        ("1.1", ("C", 0.5), "another net"),
        ("1.1", ("D", 0.7), "not D's"),
        ("1.1", ("E", 1.4), "top-1"),
        ("1.1", ("E", 1.0), "S = 256"),
        ("1.1", ("E", 1.1), "Table 4"),
        ("1.1", ("E", 100 * 0.7 / 8.7), "share"),
        ("1.1", ("E", 0.7 / 8.7), "share"),
        ("1.1", ("B", 0.3), "Choose among"),
        ("1.1", ("E", 0.3), "subtract"),
        ("1.1", ("E", None), "name and a number"),
        ("1.1", ("E", 10**400), "name and a number"),
        ("1.1", "E", "pair"),
        ("1.2", 35.3, "per cent"),
        ("1.2", 35, "per cent"),
        ("1.2", 1 / 3, "two decimals"),
        ("1.2", 0.3, "two decimals"),
        ("1.2", 0.4, "two decimals"),
        ("1.2", -0.6 / 1.7, "sign"),
        ("1.2", 1.1 / 1.7, "from C to D"),
        ("1.2", 1.7 / 0.6, "upside down"),
        ("1.2", 0.5 / 1.1, "top-5"),
        ("1.2", 1.5 / 2.6, "starts at A"),
        ("1.2", 0.6 / 1.1, "two parts"),
        ("1.2", 0.6, "points"),
        ("1.2", 1.7, "points"),
        ("1.2", 10**400, "ordinary size"),
        ("1.3", [("multi-crop", "E")], "turned round"),
        ("1.3", [(c, e) for c in "DE" for e in ("dense", "multi-crop", BOTH)], "strictly"),
        ("1.3", [("D", BOTH), ("E", BOTH)], "test error"),
        ("1.3", [(c, e) for c in "DE" for e in ("multi-crop", BOTH)], "top-1"),
        ("1.3", [("D", "dense"), ("E", "dense"), ("D", "multi-crop")], "do not beat"),
        ("1.3", [("E", BOTH)], "missing"),
        ("1.3", [("E", "both")], "Choose among"),
        ("1.3", ("E", "multi-crop"), "list of pairs"),
        ("1.3", [([], {})], "list of pairs"),
        ("1.3", [("D", "dense"), ("E", BOTH)], "Compare"),
        ("1.4", 899, "do not cut"),
        ("1.4", -900, "sign"),
        ("1.4", 0.018, "count"),
        ("1.4", 1.8, "count"),
        ("1.4", 90_000, "divide by 100"),
        ("1.4", 1800, "test set"),
        ("1.4", 600, "top-5"),
        ("1.4", 950, "not E"),
        ("1.4", 550, "three test scales"),
        ("1.4", 3529, "as the whole"),
        ("1.4", 11_850, "alone"),
        ("1.4", 38_150, "alone"),
        ("1.4", 10**400, "ordinary size"),
    ],
)
def test_common_mistakes_of_chapter_1_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("1.1", ["E", 8.7 - 8.0]),
        ("1.2", 0.35),
        ("1.3", {("E", "multi-crop"), ("E", BOTH), ("D", BOTH)}),
        ("1.4", 50_000 * (0.255 - 0.237)),
    ],
)
def test_other_forms_of_right_answers_to_chapter_1(capsys, exercise, answer):
    assert said(capsys, exercise, answer) == f"{exercise}: right."


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("2.1", 125, "more the 9x9 has"),
        ("2.1", 56, "one decimal"),
        ("2.1", -55.6, "sign"),
        ("2.1", 0.556, "per cent"),
        ("2.1", 44.4, "share that is left"),
        ("2.1", 36 / 81, "share that is left"),
        ("2.1", 45, "difference"),
        ("2.1", 88.9, "the stack has four"),
        ("2.2", 116, "308"),
        ("2.2", 281, "own stride"),
        ("2.2", 67, "after pool2"),
        ("2.2", 99, "after conv3"),
        ("2.2", 163, "after conv5"),
        ("2.2", 32, "the jump"),
        ("2.3", 16, "1 pixel before"),
        ("2.3", 15.5, "1 pixel before"),
        ("2.3", 30, "either side"),
        ("2.3", 10, "overlap"),
        ("2.3", -1, "positive whole number"),
        ("2.3", 5.5, "positive whole number"),
        ("2.3", 14, "sees 29 pixels"),
        ("2.4", 106, "without dilation"),
        ("2.4", 6, "127"),
        ("2.4", 8, "255"),
    ],
)
def test_common_mistakes_of_chapter_2_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


@pytest.mark.parametrize(
    ("exercise", "answer"), [("2.1", 55.6), ("2.2", 195.0), ("2.3", np.int64(15)), ("2.4", 7)]
)
def test_right_answers_to_chapter_2_in_other_forms(capsys, exercise, answer):
    assert said(capsys, exercise, answer) == f"{exercise}: right."


# Chapter 4: functions that answer exercise 4.3, right and wrong


def sizes_of(net, images, relu=False):
    """Return what each layer puts out, as its root mean square, in order."""
    sizes = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, x: sizes.append((x.relu() if relu else x).square().mean().sqrt())
        )
        for layer in weight_layers(net).values()
    ]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    return [float(value) for value in sizes]


@torch.no_grad()
def one_by_one(net, images, power=1.0, relu=False):
    """Set each layer before the next one is measured."""
    for index, layer in enumerate(weight_layers(net).values()):
        layer.weight.div_(sizes_of(net, images, relu)[index] ** power)


@torch.no_grad()
def by_ratios(net, images, kind=""):
    """Set all layers whose name begins with `kind` after a single pass."""
    sizes = sizes_of(net, images)
    for (name, layer), before, size in zip(
        weight_layers(net).items(), [1, *sizes], sizes, strict=False
    ):
        if name.startswith(kind):
            layer.weight.mul_(before / size)


@torch.no_grad()
def by_deviation(net, images):
    """Divide by the standard deviation, which leaves the mean out."""
    deviations = []
    for layer in weight_layers(net).values():
        hook = layer.register_forward_hook(lambda layer, inputs, x: deviations.append(x.std()))
        net(images)
        hook.remove()
        layer.weight.div_(deviations[-1])


@torch.no_grad()
def measured_late(net, images):
    """Keep the output itself and measure it after the pass, when its ReLU has overwritten it."""
    kept = []
    for layer in weight_layers(net).values():
        hook = layer.register_forward_hook(lambda layer, inputs, x: kept.append(x))
        net(images)
        hook.remove()
        layer.weight.div_(kept[-1].square().mean().sqrt())


@torch.no_grad()
def by_formula(net, images):
    generator = torch.Generator().manual_seed(0)
    for layer in weight_layers(net).values():
        layer.weight.normal_(0, 1 / layer.weight[0].numel() ** 0.5, generator=generator)


@torch.no_grad()
def all_at_once(net, images, power=1):
    for layer, size in zip(weight_layers(net).values(), sizes_of(net, images), strict=True):
        layer.weight.div_(size**power)


AILING = {
    "P": "weights too small",
    "Q": "dead layer",
    "R": "softmax inside",
    "S": "weights too large",
}


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("4.1", 2 / 2304, "square root"),
        ("4.1", (1 / 2304) ** 0.5, "drops half"),
        ("4.1", (1 / 4608) ** 0.5, "wrong side"),
        ("4.1", (2 / (2304 + 4608)) ** 0.5, "Xavier"),
        ("4.1", (2 / 256) ** 0.5, "nine values"),
        ("4.1", 0.01, "fan-in of 3 * 3 * 256"),
        ("4.2", 1e9, "each passes on"),
        ("4.2", 1e9 / 19, "multiply"),
        ("4.2", 10 ** (-9 / 19), "turn the fraction over"),
        ("4.2", 1e9 ** (1 / 16), "16 layers"),
        ("4.2", 1e9 ** (1 / 24), "pools"),
        ("4.2", 1e9 ** (1 / 11), "another network"),
        ("4.2", 1e9 ** (1 / 13), "another network"),
        ("4.2", 1e9 ** (1 / 18), "one layer off"),
        ("4.2", 19, "How many such layers"),
        ("4.3", lambda net, images: None, "as it was"),
        ("4.3", all_at_once, "after those are set"),
        ("4.3", functools.partial(one_by_one, relu=True), "behind the ReLU"),
        ("4.3", functools.partial(one_by_one, power=2), "not by its square"),
        ("4.3", functools.partial(all_at_once, power=-1), "do not multiply"),
        ("4.3", measured_late, "work in place"),
        ("4.3", by_deviation, "not by the standard deviation"),
        ("4.3", by_formula, "a formula does not do"),
        ("4.3", functools.partial(by_ratios, kind="conv"), "fully connected layers count too"),
        ("4.3", lambda net: None, "answer(net, images)"),
        ("4.4", {"P": "dead layer"}, "Q has none"),
        ("4.4", {**AILING, "R": "softmax"}, "not on the list"),
        ("4.4", {**AILING, "P": "dead layer"}, "shrink"),
        ("4.4", {**AILING, "Q": "weights too small"}, "exactly zero"),
        ("4.4", {**AILING, "R": "weights too small"}, "sum to 1"),
        ("4.4", {**AILING, "S": "dead layer"}, "first loss"),
    ],
)
def test_common_mistakes_of_chapter_4_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("4.1", 0.0295),
        ("4.1", 0.029),
        ("4.1", torch.tensor(2 / 2304).sqrt()),
        ("4.2", 2.98),
        ("4.2", torch.tensor(9 / 19).mul(math.log(10)).exp()),
        ("4.3", by_ratios),
        ("4.3", one_by_one),
        ("4.4", AILING),
    ],
)
def test_right_answers_to_chapter_4_in_other_forms(capsys, exercise, answer):
    assert said(capsys, exercise, answer) == f"{exercise}: right."


def test_broken_networks_have_the_ailments_that_the_check_names():
    torch.manual_seed(0)
    images = torch.randn(8, 1, 32, 32)
    state = torch.get_rng_state()
    outputs = {name: broken_network(name)(images).detach() for name in AILING}
    assert torch.equal(torch.get_rng_state(), state)  # asking draws no random numbers
    assert 0 < outputs["P"].std(0).max() < 1e-6
    assert torch.equal(outputs["Q"], torch.zeros(8, 10))
    assert torch.allclose(outputs["R"].sum(1), torch.ones(8)) and outputs["R"].min() >= 0
    assert outputs["S"].std() > 100
    with pytest.raises(ValueError, match="no network 'T': choose one of P, Q, R, S"):
        broken_network("T")


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("6.1", 300, "last map"),
        ("6.1", 104, "One too few"),
        ("6.1", 4, "overlap"),
        ("6.1", 257 * 417, "32 pixels"),
        ("6.1", 14, "one side"),
        ("6.1", 252, "mirror"),
        ("6.1", 49, "Divide each side"),
        ("6.1", (9, 14), "number"),
        ("6.2", 72, "step"),
        ("6.2", 288, "four steps"),
        ("6.2", 166.4, "not five"),
        ("6.2", 224 - 102.4, "share 512 - 224"),
        ("6.2", 184, "Q = 384"),
        ("6.2", 152 * 224, "area"),
        ("6.2", 100, "Find the step"),
        ("6.3", [0.5, 0.5], "Each has three"),
        ("6.3", 0.45, "pair"),
        ("6.3", ([0.5, 0.6, 0.1], [0.2, 0.3, 0.5]), "sum to 1"),
        ("6.3", ([0.5, 0.7, -0.2], [0.2, 0.3, 0.5]), "at least 0"),
        ("6.3", ([0.6, 0.3, 0.1], [0.5, 0.3, 0.2]), "same first choice"),
        ("6.3", ([0.8, 0.1, 0.1], [0.1, 0.3, 0.6]), "follows one"),
        ("6.3", ([0.6, 0.2, 0.2], [0.2, 0.2, 0.6]), "two highest"),
        ("6.3", ([0.5, 0.5, 0.0], [0.0, 0.4, 0.6]), "two first choices"),
        ("6.4", 0.3122, "upside down"),
        ("6.4", 2.94, "36 places"),
        ("6.4", 36, "shares the convolutions"),
        ("6.4", 6.4, "mirror"),
        ("6.4", 49_553_604_608, "Divide the"),
        ("6.4", "3.2", "number"),
    ],
)
def test_common_mistakes_of_chapter_6_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


def test_any_two_posteriors_whose_average_neither_has_first_are_right(capsys):
    pair = [[0.5, 0.4, 0.1], [0.1, 0.4, 0.5]]
    assert said(capsys, "6.3", pair) == "6.3: right."
    assert said(capsys, "6.3", tuple(map(torch.tensor, pair))) == "6.3: right."
    assert said(capsys, "6.3", ([0.0, 0.45, 0.55], [0.55, 0.45, 0.0])) == "6.3: right."


def interval_holds_no_zero(changes, t):
    return abs(np.mean(changes)) > t * np.std(changes, ddof=1) / math.sqrt(len(changes))


def judge(rule):
    """A verdict by a rule that says of the changes whether their mean differs from zero."""

    def verdict(changes, paper):
        if not rule(changes):
            return "cannot tell"
        return "agrees" if np.mean(changes) * paper > 0 else "disagrees"

    return verdict


T = {2: 12.706, 5: 2.776, 10: 2.262}  # of a printed table: 97.5%, n - 1 degrees of freedom
BEST_XAVIER = [
    [row["test_error"] for row in run["history"]]
    for run in load_record("initialisation")["results"]["D, Xavier, pixels x57"]["runs"]
]


def test_right_answers_to_chapter_7(capsys):
    verdict = judge(lambda changes: interval_holds_no_zero(changes, T[len(changes)]))
    last, best = (np.mean([f(each) for each in BEST_XAVIER]) for f in (lambda e: e[-1], min))
    for exercise, answer in (("7.1", verdict), ("7.2", 16), ("7.2", 16.0), ("7.3", last - best)):
        assert said(capsys, exercise, answer) == f"{exercise}: right."


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("7.1", 3, "A function"),
        ("7.1", lambda changes: "agrees", "fails"),
        ("7.1", lambda changes, paper: "agrees", "should say 'disagrees'"),
        # the standard deviation instead of the standard error; 2.78 for every n; 1.96
        ("7.1", judge(lambda c: abs(np.mean(c)) > np.std(c, ddof=1)), "should say"),
        ("7.1", judge(lambda c: interval_holds_no_zero(c, 2.776)), "[-1.0, -2.0]"),
        ("7.1", judge(lambda c: interval_holds_no_zero(c, 1.96)), "should say 'cannot tell'"),
        ("7.2", 14, "1.96"),
        ("7.2", 28, "2.78"),
        ("7.2", 15, "first time"),
        ("7.2", 5, "With 5 seeds the margin is 1.86 points"),
        ("7.2", 15.6, "whole number"),
        ("7.3", -np.mean([each[-1] - min(each) for each in BEST_XAVIER]), "not negative"),
        ("7.3", max(each[-1] - min(each) for each in BEST_XAVIER), "largest"),
        ("7.3", np.mean([each[-1] for each in BEST_XAVIER]), "subtract that of each"),
        ("7.3", np.mean([min(each) for each in BEST_XAVIER]), "subtract it from"),
        ("7.3", 50.0, "lowest one"),
    ],
)
def test_common_mistakes_of_chapter_7_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


def test_right_answers_to_chapter_8_in_other_forms(capsys):
    for exercise, answer in (("8.1", 0.333), ("8.2", 16_371_612), ("8.3", to_released)):
        assert said(capsys, exercise, answer) == f"{exercise}: right."


V1 = VGG16_Weights.IMAGENET1K_V1.transforms()
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (V1.mean, V1.std))
BGR = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)


def to_released(image):
    return (image * STD + MEAN)[[2, 1, 0]] * 255 - BGR


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("8.1", 33.3, "percentage"),
        ("8.1", 0.5, "the IoU is 1/3"),
        ("8.1", 0.293, "both directions"),
        ("8.1", 2 / 3, "how far has it moved"),
        ("8.1", 0.25, "the IoU is 0.60"),
        ("8.1", -1, "width 1"),
        ("8.2", 3996 * 4096, "biases"),
        ("8.2", 4000 * 4097, "subtract SCR's"),
        ("8.2", -16_371_612, "positive"),
        ("8.2", 999 * 4097, "four outputs"),
        ("8.2", 3000 * 4097, "classifier's last layer"),
        ("8.2", 16.37, "millions"),
        ("8.2", 5, "one output"),
        ("8.3", 3, "A function"),
        ("8.3", lambda image: image.nonsense, "fails"),
        ("8.3", lambda image: image[[3, 2, 1]], "fails"),
        ("8.3", lambda image: None, "returns NoneType"),
        ("8.3", lambda image: image[None], "keep the shape"),
        ("8.3", lambda image: to_released(image)[[2, 1, 0]], "still RGB"),
        ("8.3", lambda image: (image * STD + MEAN) * 255 - BGR, "order BGR"),
        ("8.3", lambda image: (image * STD + MEAN).flip(0) * 255, "not subtracted"),
        ("8.3", lambda image: (image * STD + MEAN).flip(0) - BGR, "range 0 to 1"),
        ("8.3", lambda image: image.flip(0) * 255 - BGR, "First undo"),
        ("8.3", lambda image: ((image + MEAN) * STD).flip(0) * 255 - BGR, "opposite order"),
        ("8.3", lambda image: image * 0, "reverse the channels"),
    ],
)
def test_common_mistakes_of_chapter_8_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)


def weighted(gradients, sizes):
    return sum(g * s for g, s in zip(gradients, sizes, strict=True)) / sum(sizes)


def weighted_in_place(gradients, sizes):
    for gradient, size in zip(gradients, sizes, strict=True):
        gradient *= size
    return sum(gradients) / sum(sizes)


def test_right_answers_to_chapter_9_in_other_forms(capsys):
    for exercise, answer in (
        ("9.1", 346),
        ("9.1", 345),
        ("9.2", weighted),
        ("9.3", 51.7),
        ("9.3", 52),
    ):
        assert said(capsys, exercise, answer) == f"{exercise}: right."


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("9.1", 296, "weights alone"),
        ("9.1", 344, "One short"),
        ("9.1", 319, "both cross"),
        ("9.1", 830, "4 bytes"),
        ("9.1", 64, "reach 295"),
        ("9.2", 3, "A function"),
        ("9.2", lambda gradients: gradients, "fails"),
        ("9.2", lambda gradients, sizes: 1.0, "return a tensor"),
        ("9.2", lambda gradients, sizes: weighted(gradients, sizes)[0], "shape (2, 3)"),
        ("9.2", lambda gradients, sizes: sum(gradients) / len(gradients), "plain average"),
        ("9.2", lambda gradients, sizes: sum(gradients), "weigh each"),
        ("9.2", lambda gradients, sizes: weighted(gradients, sizes) * 256, "summed loss"),
        ("9.2", lambda gradients, sizes: weighted(gradients, sizes) * 256 / 3, "of devices"),
        ("9.2", weighted_in_place, "changes the gradients"),
        ("9.2", lambda gradients, sizes: gradients[0], "divide by all images"),
        ("9.3", 188.7, "full D"),
        ("9.3", 129.4, "40%"),
        ("9.3", 25.9, "8 in all"),
        ("9.3", 155.2, "three passes"),
        ("9.3", 2.87, "over NVLink"),
        ("9.3", 1000, "formula"),
    ],
)
def test_common_mistakes_of_chapter_9_are_named(capsys, exercise, answer, hint):
    assert_named(capsys, exercise, answer, hint)
