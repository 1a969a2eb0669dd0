"""Chapter 5's exercise on mirroring: the right answer, and the mistakes that are known."""

import pytest
import torch
from checking import complaint


def mirror(batch):
    chosen = torch.rand(len(batch)) < 0.5
    batch[chosen] = batch[chosen].flip(3)  # in place, which is allowed
    return batch


def test_right_answer():
    assert complaint("5.2", mirror) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
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
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
