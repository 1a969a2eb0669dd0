"""Lesson 4's exercises: the right answers, and the mistakes that are known."""

import pytest
from checking import complaint

from vgg_utils.configs import summarise, total

AVERAGED, WHOLE, D_AVERAGED = (
    total(summarise(config, pool_size=size)).parameters
    for config, size in (("E", 1), ("E", 7), ("D", 1))
)
TWIN = [(5, 64), "M", (5, 128), "M", (5, 256), "M", (5, 512), "M", (5, 512), "M"]


@pytest.mark.parametrize(("exercise", "answer"), [("4.1", TWIN), ("4.2", AVERAGED), ("4.3", "fc6")])
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("4.1", "B", "Give a list"),
        ("4.1", [(5, 64), (5, 64), "M"] * 5, "one convolution"),
        ("4.1", [(3, 64), "M"] * 5, "still a 3x3"),
        ("4.1", [(5, 64), "M"], "5 pools"),
        ("4.1", [(5, "64")], "cannot be read"),
        ("4.1", [list(layer) if layer != "M" else layer for layer in TWIN], "as a tuple"),
        ("4.1", [(5, 32), *TWIN[1:]], "Keep B's channels"),
        ("4.3", 13, "Give a layer's name"),
        ("4.3", "conv5_1", "area of the map"),
        ("4.3", "fc7", "Another layer"),
        ("4.3", "fc9", "no layer"),
        ("4.2", 5, "now has one input a channel"),
        ("4.2", AVERAGED - 4096, "keeps its biases"),
        ("4.2", WHOLE, "7x7 map"),
        ("4.2", WHOLE - AVERAGED, "difference from E"),
        ("4.2", AVERAGED - WHOLE, "difference from E"),
        ("4.2", 512 * 4096 + 4096, "fc6 alone"),
        ("4.2", AVERAGED - 512 * 4096 - 4096, "still there"),
        ("4.2", D_AVERAGED, "about E"),
        ("4.2", AVERAGED / WHOLE, "the share"),
        ("4.2", 43, "in millions"),
        ("4.2", 43.0, "in millions"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
