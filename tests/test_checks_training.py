"""Lesson 6's exercises: the right answers, and the mistakes that are known."""

import math

import numpy as np
import pytest
import torch
from checking import complaint


def top_k(scores, labels, k):
    found = [label in row.argsort()[-k:] for row, label in zip(scores.numpy(), labels, strict=True)]
    return 100 - 100 * np.mean(found)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("6.1", np.float32(6.9078)),
        ("6.1", torch.tensor([6.9078])),
        ("6.1", 6.9),
        ("6.3", top_k),
        ("6.4", 0.63),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("6.1", 5.0, "minus its natural log"),
        ("6.1", 0.001, "probability of each class"),
        ("6.1", 3.0, "decimal"),
        ("6.1", math.log2(1000), "binary"),
        ("6.1", math.log(10), "ten classes"),
        ("6.1", -math.log(1000), "sign"),
        ("6.1", torch.tensor(3.0), "decimal"),
        ("6.3", lambda s, y: 50.0, "answer(scores, labels, 1)"),
        ("6.3", lambda s, y, k: (s.argmax(1) != y).float(), "take the mean"),
        ("6.3", lambda s, y, k: None, "return"),
        ("6.3", lambda s, y, k: 100 * (s.argmax(1) == y).float().mean(), "accuracy"),
        ("6.3", lambda s, y, k: (s.argmax(1) != y).float().mean(), "multiply"),
        ("6.3", lambda s, y, k: 100 * (s.argmax(1) != y).float().mean(), "k highest"),
        ("6.3", lambda s, y, k: 50.0, "it gives 50.00 where"),
        ("6.4", 5, "into the formula"),
        ("6.4", math.sqrt(0.02 * 0.98 / 500), "percentage points"),
        ("6.4", 100 * 0.02 * 0.98 / 500, "variance"),
        ("6.4", 100 * math.sqrt(0.02 * 0.98) / 500, "under the square root"),
        ("6.4", 0.14, "spread of one digit"),
        ("6.4", 1.25, "two standard errors"),
        ("6.4", 0.767, "of the gap"),
        ("6.4", 100 * math.sqrt(0.02 * 0.98), "square root of 500"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
