"""Lesson 2's exercises: the right answers, and the mistakes that are known."""

import numpy as np
import pytest
import torch
from checking import complaint
from torch.nn import functional as F

EDGE = torch.tensor([[-1.0, 0.0, 1.0]] * 3).view(1, 1, 3, 3)
LEVEL = EDGE.transpose(2, 3)
EVERY = (EDGE, -EDGE, LEVEL, -LEVEL)


def detector(*kernels, weight=1, between=F.relu, last=F.relu):
    def answer(x):
        add_up = torch.zeros(1, len(kernels), 3, 3)
        add_up[:, :, 1, 1] = weight
        return last(F.conv2d(between(F.conv2d(x, torch.cat(kernels))), add_up))

    return answer


def unchanged(x):
    return x


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        *[("2.1", 15), ("2.1", np.int64(15)), ("2.2", 55.6)],
        ("2.3", detector(*EVERY)),
        ("2.3", detector(*EVERY, last=unchanged)),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("2.1", 16, "1 pixel before"),
        ("2.1", 15.5, "1 pixel before"),
        ("2.1", 30, "either side"),
        ("2.1", 10, "overlap"),
        ("2.1", 31 * 31 / 9, "Count across"),
        ("2.1", -1, "positive whole number"),
        ("2.1", 5.5, "positive whole number"),
        ("2.1", 150, "see 301 pixels"),
        ("2.1", 14, "see 29 pixels"),
        ("2.2", 70, "Count both"),
        ("2.2", 125, "more the 9x9 has"),
        ("2.2", 56, "one decimal"),
        ("2.2", -55.6, "sign"),
        ("2.2", 0.556, "percent"),
        ("2.2", 44.4, "share that is left"),
        ("2.2", 36 / 81, "share that is left"),
        ("2.2", 45, "difference"),
        ("2.2", 88.9, "the stack has four"),
        ("2.2", 44.9, "three layers against a 7x7"),
        ("2.3", "EDGE", "should be a function"),
        ("2.3", lambda x: F.conv2d(x, torch.cat(EVERY).transpose(0, 1)), "fails: RuntimeError"),
        ("2.3", lambda x: None, "end it with a return"),
        ("2.3", lambda x: x, "(1, 1, 20, 20)"),
        ("2.3", detector(*EVERY, between=unchanged), "Put a ReLU between"),
        ("2.3", detector(EDGE, LEVEL, between=unchanged, last=unchanged), "below 0"),
        ("2.3", detector(EDGE, LEVEL), "one side only"),
        ("2.3", detector(-EDGE, LEVEL), "one side only"),
        ("2.3", detector(EDGE), "one side only"),
        ("2.3", detector(EDGE, -EDGE), "upright edges only"),
        ("2.3", detector(LEVEL, -LEVEL), "level edges only"),
        ("2.3", detector(*EVERY, weight=0.25), "weights of 1"),
        ("2.3", detector(EDGE, -EDGE, LEVEL), "compare it with two_layers"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
