"""The checks of lesson 13 name the usual mistakes."""

import numpy as np
import pytest
import torch
from checking import complaint

STYLE = [[[1, 1], [0, 0]], [[1, 0], [1, 0]]]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("13.1", 0.4),
        ("13.1", torch.tensor(0.4)),
        ("13.2", STYLE),
        ("13.2", torch.tensor(STYLE)),
        ("13.2", np.array([[[0, 0], [1, 1]], [[0, 1], [0, 1]]])),
        ("13.4", (8, -10)),
        ("13.4", [8.0, -10.0]),
        ("13.4", torch.tensor([8, -10])),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("13.1", 45, "to length 1"),
        ("13.1", 6.708, "no root"),
        ("13.1", 0.632, "adds its square"),
        ("13.1", 0.2, "do not average"),
        ("13.1", 0.8, "cosine"),
        ("13.1", 0.367, "sum of the channels"),
        ("13.1", 0.018, "squared length"),
        ("13.1", 3, "Divide each vector"),
        ("13.1", "0.4", "number"),
        ("13.2", 0.5, "two channels"),
        ("13.2", [[1, 1], [0, 0]], "two channels"),
        ("13.2", [[0.5, 0.25], [0.25, 0.5]], "two channels"),
        ("13.2", "stripes", "two channels"),
        ("13.2", [[[1, 1], [0, 0]], [[-1, 1], [0, 0]]], "ReLU"),
        ("13.2", [[[0.5**0.5, 0], [0, 0]], [[0.125**0.5, 0.375**0.5], [0, 0]]], "average"),
        ("13.2", [[[1, 0], [0, 0]], [[1, 0], [0, 0]]], "0.25 and 0.25"),
        ("13.2", [[[1, 1], [0, 0]], [[0, 0], [1, 1]]], "never fire"),
        ("13.2", [[[1, 1], [0, 0]], [[1, 1], [0, 0]]], "always fire"),
        ("13.2", [[[2**0.5, 0], [0, 0]], [[1, 1], [0, 0]]], "0.3536"),
        ("13.4", 8, "pair"),
        ("13.4", (8, -10, 0), "pair"),
        ("13.4", ("8", "-10"), "number"),
        ("13.4", (-10, 8), "weight comes first"),
        ("13.4", (7, -7.5), "variance"),
        ("13.4", (6, -8), "first branch"),
        ("13.4", (2, -2), "second branch"),
        ("13.4", (7, -8), "not x itself"),
        ("13.4", (12, -10), "side by side"),
        ("13.4", (8, -11), "beta"),
        ("13.4", (8, 1), "means are missing"),
        ("13.4", (8, -3), "multiplies the mean"),
        ("13.4", (8, -19), "weight 2"),
        ("13.4", (8, 10), "wrong sign"),
        ("13.4", (8, 0), "weight is right and the bias not"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
