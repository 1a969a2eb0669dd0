"""Chapter 6's exercises: the right answers, and the mistakes that are known."""

import pytest
import torch
from checking import complaint

from vgg_utils.configs import summarise, total

CROP, ONCE, DENSE = (
    total(rows).macs
    for rows in (summarise("D"), summarise("D", 384), summarise("D", 384, dense=True))
)

PAIR = [[0.5, 0.4, 0.1], [0.1, 0.4, 0.5]]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("6.1", 126),
        ("6.2", 152),
        ("6.3", PAIR),
        ("6.3", tuple(map(torch.tensor, PAIR))),
        ("6.3", ([0.0, 0.45, 0.55], [0.55, 0.45, 0.0])),
        ("6.4", 3.2),
        ("6.4", DENSE / CROP),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


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
        ("6.4", ONCE / CROP, "once"),
        ("6.4", 2.94, "36 places"),
        ("6.4", 36, "shares the convolutions"),
        ("6.4", 6.4, "mirror"),
        ("6.4", 50, "Divide the sum"),
        ("6.4", DENSE, "by the crop's"),
        ("6.4", CROP, "by the crop's"),
        ("6.4", "3.2", "number"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
