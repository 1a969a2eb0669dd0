"""Lesson 7's exercises: the right answers, and the mistakes that are known."""

import pytest
import torch
from checking import complaint


def mirror(batch):
    chosen = torch.rand(len(batch)) < 0.5
    batch[chosen] = batch[chosen].flip(3)  # in place, which is allowed
    return batch


def by_half(axes):
    """Flip about half of the images along the axes of a batch."""
    return lambda batch: torch.where(
        (torch.rand(len(batch)) < 0.5)[:, None, None, None], batch.flip(axes), batch
    )


def one_by_one(axis):
    """Flip about half of the images along an axis of one image."""
    return lambda batch: torch.stack(
        [image.flip(axis) if torch.rand(()) < 0.5 else image for image in batch]
    )


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("7.1", mirror),
        ("7.1", by_half(3)),
        ("7.1", by_half(-1)),
        ("7.1", one_by_one(2)),
        ("7.2", 10_626),
        ("7.2", torch.tensor(2 * 161 * 33)),
        ("7.3", 65 / 257),
        ("7.3", 0.25),
        ("7.3", (224 / 0.7 - 256 + 1) / 257),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("7.1", 3, "should be a function"),
        ("7.1", lambda batch, p: batch, "fails"),
        ("7.1", lambda batch: None, "end it with a return"),
        ("7.1", lambda batch: batch[0], "should have shape (200, 3, 5, 5)"),
        ("7.1", lambda batch: batch.numpy(), "returns ndarray"),
        ("7.1", lambda batch: batch, "alike"),
        ("7.1", lambda batch: batch.flip(3), "alike"),
        ("7.1", lambda batch: batch.flip(3) if torch.rand(()) < 2 else batch, "alike"),
        ("7.1", by_half(2), "axis 2 is the height of a batch"),
        ("7.1", one_by_one(1), "upside down"),
        ("7.1", lambda batch: batch.flip(2), "upside down"),
        ("7.1", by_half(1), "red and blue"),
        ("7.1", one_by_one(0), "red and blue"),
        ("7.1", by_half(0), "changed places in the batch"),
        ("7.1", by_half((2, 3)), "by 180 degrees"),
        ("7.1", lambda batch: batch + 1, "neither"),
        ("7.1", lambda batch: torch.cat([batch[:100], batch[100:].flip(3)]), "same images"),
        ("7.1", lambda batch: torch.cat([batch[:180], batch[180:].flip(3)]), "10% of 200"),
        ("7.2", 161 * 33, "also be mirrored"),
        ("7.2", 2 * 160 * 32, "One too few"),
        ("7.2", 160 * 32, "One too few"),
        ("7.2", 161, "one side"),
        ("7.2", 33, "one side"),
        ("7.2", 161 + 33, "instead of adding"),
        ("7.2", 2 * (161 + 33), "instead of adding"),
        ("7.2", 384 * 256, "inside the photograph"),
        ("7.2", 4 * 161 * 33, "not up and down"),
        ("7.2", 2 * 33 * 33, "more room across"),
        ("7.2", 384 * 256 / 224**2, "overlap"),
        ("7.2", 1000, "double for the mirror"),
        ("7.3", 192 / 257, "does not fit"),
        ("7.3", 0.75, "does not fit"),
        ("7.3", 320, "largest S that fits"),
        ("7.3", 65, "count of draws"),
        ("7.3", 320 / 512, "not at 0"),
        ("7.3", 65 / 512, "257 values"),
        ("7.3", 224 * 0.7, "0.7 of S"),
        ("7.3", 224 / 256, "only 0.7 of it"),
        ("7.3", 0.7, "at every S"),
        ("7.3", 0, "179 pixels"),
        ("7.3", 25.3, "percent, where a share"),
        ("7.3", 0.5, "count from 256"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
