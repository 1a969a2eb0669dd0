"""Lesson 8's exercises: the right answers, and the mistakes that are known."""

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
        ("8.2", 126),
        ("8.1", PAIR),
        ("8.1", tuple(map(torch.tensor, PAIR))),
        ("8.1", torch.tensor(PAIR)),
        ("8.1", ([0.0, 0.45, 0.55], [0.55, 0.45, 0.0])),
        ("8.3", 3.2),
        ("8.3", DENSE / CROP),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("8.2", 300, "last map"),
        ("8.2", 104, "One too few"),
        ("8.2", 4, "overlap"),
        ("8.2", 257 * 417, "32 pixels"),
        ("8.2", 14, "one side"),
        ("8.2", 252, "mirror"),
        ("8.2", 49, "Divide each side"),
        ("8.2", (9, 14), "number"),
        ("8.1", [0.5, 0.5], "Each has three"),
        ("8.1", 0.45, "pair"),
        ("8.1", ([0.5, 0.6, 0.1], [0.2, 0.3, 0.5]), "sum to 1"),
        ("8.1", ([0.5, 0.7, -0.2], [0.2, 0.3, 0.5]), "at least 0"),
        ("8.1", ([0.6, 0.3, 0.1], [0.5, 0.3, 0.2]), "same first choice"),
        ("8.1", ([0.8, 0.1, 0.1], [0.1, 0.3, 0.6]), "follows one"),
        ("8.1", ([0.6, 0.2, 0.2], [0.2, 0.2, 0.6]), "two highest"),
        ("8.1", ([0.5, 0.5, 0.0], [0.0, 0.4, 0.6]), "two first choices"),
        ("8.3", 0.3122, "upside down"),
        ("8.3", ONCE / CROP, "once"),
        ("8.3", 2.94, "36 places"),
        ("8.3", 36, "shares the convolutions"),
        ("8.3", 6.4, "mirror"),
        ("8.3", 50, "Divide the sum"),
        ("8.3", DENSE, "by the crop's"),
        ("8.3", CROP, "by the crop's"),
        ("8.3", "3.2", "number"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
