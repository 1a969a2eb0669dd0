"""Chapter 3's exercises: the right answers, and the mistakes that are known."""

import pytest
from checking import complaint

from vgg_utils.configs import summarise, total

AVERAGED, WHOLE, D_AVERAGED = (
    total(summarise(config, pool_size=size)).parameters
    for config, size in (("E", 1), ("E", 7), ("D", 1))
)
TWIN = [(5, 64), "M", (5, 128), "M", (5, 256), "M", (5, 512), "M", (5, 512), "M"]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("3.1", 512 * 14 * 14 * 4096 + 4096), ("3.2", TWIN), ("3.3", "fc6"), ("3.4", AVERAGED)],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("3.1", 1000, "Flatten"),
        ("3.1", 512 * 14 * 14 * 4096, "bias as well"),
        ("3.1", 512 * 14 * 14 * 4097, "each output"),
        ("3.1", 512 * 7 * 7 * 4096 + 4096, "at 224 pixels"),
        ("3.1", 2 * 512 * 7 * 7 * 4096 + 4096, "four times"),
        ("3.1", 512 * 28 * 28 * 4096 + 4096, "after pool5"),
        ("3.1", 512 * 4096 + 4096, "14x14"),
        ("3.2", "B", "Give a list"),
        ("3.2", [(5, 64), (5, 64), "M"] * 5, "one convolution"),
        ("3.2", [(3, 64), "M"] * 5, "still a 3x3"),
        ("3.2", [(5, 64), "M"], "5 pools"),
        ("3.2", [(5, "64")], "cannot be read"),
        ("3.2", [list(layer) if layer != "M" else layer for layer in TWIN], "as a tuple"),
        ("3.2", [(5, 32), *TWIN[1:]], "Keep B's channels"),
        ("3.3", 13, "Give a layer's name"),
        ("3.3", "conv5_1", "area of the map"),
        ("3.3", "fc7", "Another layer"),
        ("3.3", "fc9", "no layer"),
        ("3.4", 5, "now has one input a channel"),
        ("3.4", AVERAGED - 4096, "keeps its biases"),
        ("3.4", WHOLE, "7x7 map"),
        ("3.4", WHOLE - AVERAGED, "difference from E"),
        ("3.4", AVERAGED - WHOLE, "difference from E"),
        ("3.4", 512 * 4096 + 4096, "fc6 alone"),
        ("3.4", AVERAGED - 512 * 4096 - 4096, "still there"),
        ("3.4", D_AVERAGED, "about E"),
        ("3.4", 43, "in millions"),
        ("3.4", 43.0, "in millions"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
