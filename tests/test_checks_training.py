"""Chapter 5's exercises: the right answers, and the mistakes that are known."""

import math

import numpy as np
import pytest
import torch
from checking import complaint


def top_k(scores, labels, k):
    found = [label in row.argsort()[-k:] for row, label in zip(scores.numpy(), labels, strict=True)]
    return 100 - 100 * np.mean(found)


def mirror(batch):
    chosen = torch.rand(len(batch)) < 0.5
    batch[chosen] = batch[chosen].flip(3)  # in place, which is allowed
    return batch


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("5.1", np.float32(6.9078)),
        ("5.1", torch.tensor([6.9078])),
        ("5.1", 6.9),
        ("5.2", mirror),
        ("5.3", top_k),
        ("5.4", 0.63),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("5.1", 5.0, "minus its natural log"),
        ("5.1", 3.0, "decimal"),
        ("5.1", math.log2(1000), "binary"),
        ("5.1", math.log(10), "ten classes"),
        ("5.1", -math.log(1000), "sign"),
        ("5.1", torch.tensor(3.0), "decimal"),
        ("5.2", 3, "should be a function"),
        ("5.2", lambda batch, p: batch, "fails"),
        ("5.2", lambda batch: None, "end it with a return"),
        ("5.2", lambda batch: batch[0], "should have shape (200, 3, 5, 5)"),
        ("5.2", lambda batch: batch.numpy(), "returns ndarray"),
        ("5.2", lambda batch: batch, "alike"),
        ("5.2", lambda batch: batch.flip(3), "alike"),
        ("5.2", lambda batch: batch.flip(3) if torch.rand(()) < 0.5 else batch, "alike"),
        ("5.2", lambda batch: batch.flip(-2), "upside down"),
        ("5.2", lambda batch: batch.flip(1), "red and blue"),
        ("5.2", lambda batch: batch + 1, "neither"),
        ("5.2", lambda batch: torch.cat([batch[:100], batch[100:].flip(3)]), "same images"),
        ("5.2", lambda batch: torch.cat([batch[:180], batch[180:].flip(3)]), "10% of 200"),
        ("5.3", lambda s, y: 50.0, "answer(scores, labels, 1)"),
        ("5.3", lambda s, y, k: (s.argmax(1) != y).float(), "take the mean"),
        ("5.3", lambda s, y, k: None, "return"),
        ("5.3", lambda s, y, k: 100 * (s.argmax(1) == y).float().mean(), "accuracy"),
        ("5.3", lambda s, y, k: (s.argmax(1) != y).float().mean(), "multiply"),
        ("5.3", lambda s, y, k: 100 * (s.argmax(1) != y).float().mean(), "k highest"),
        ("5.3", lambda s, y, k: 50.0, "it gives 50.00 where"),
        ("5.4", 5, "into the formula"),
        ("5.4", math.sqrt(0.02 * 0.98 / 500), "percentage points"),
        ("5.4", 100 * 0.02 * 0.98 / 500, "variance"),
        ("5.4", 100 * math.sqrt(0.02 * 0.98) / 500, "under the square root"),
        ("5.4", 0.14, "spread of one digit"),
        ("5.4", 1.25, "two standard errors"),
        ("5.4", 0.767, "of the gap"),
        ("5.4", 100 * math.sqrt(0.02 * 0.98), "square root of 500"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
