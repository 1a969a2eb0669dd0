"""Lesson 1's exercises: the right answers, and the mistakes that are known."""

import pytest
from checking import complaint

from vgg_utils.records import load_record

TABLE3 = load_record("paper")["table3"]["rows"]
A, B, C, D = (
    next(row for row in TABLE3 if (row["config"], row["train_S"]) == (net, "256")) for net in "ABCD"
)


def share(first, key="top1_val"):
    """Return the fall from one net to C as a share of that to D."""
    return (first[key] - C[key]) / (first[key] - D[key])


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("1.1", 2 * 2**0.5 * 0.1985),
        ("1.1", 0.56),
        ("1.2", 0.35),
        ("1.2", share(B)),
        ("1.4", 50_000 * (0.255 - 0.237)),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("1.1", 0.6, "two decimals"),
        ("1.1", 0.397, "of one net; a difference"),
        ("1.1", 0.28, "take two"),
        ("1.1", 0.1985, "go on to a difference"),
        ("1.1", 0.2, "go on to a difference"),
        ("1.1", 0.794, "by squares"),
        ("1.1", 0.657, "right answers is missing"),
        ("1.1", 0.2493, "covers p(1 - p)"),
        ("1.1", 0.001115, "square root is missing"),
        ("1.1", 0.358, "top-5"),
        ("1.1", 281, "in photographs"),
        ("1.1", 0.0056, "share"),
        ("1.1", 0.3, "between D and E"),
        ("1.1", -0.3, "between D and E"),
        ("1.1", 1.7, "between B and D"),
        ("1.1", 5, "Take the standard error"),
        ("1.1", "0.56", "should be a number"),
        ("1.2", 0.9, "Divide the fall"),
        ("1.2", 35.3, "percent"),
        ("1.2", 35, "percent"),
        ("1.2", 1 / 3, "two decimals"),
        ("1.2", 0.3, "two decimals"),
        ("1.2", 0.4, "two decimals"),
        ("1.2", -0.6 / 1.7, "sign"),
        ("1.2", 1.1 / 1.7, "from C to D"),
        ("1.2", 1.7 / 0.6, "upside down"),
        ("1.2", share(B, "top5_val"), "top-5"),
        ("1.2", share(A), "starts at A"),
        ("1.2", 0.6 / 1.1, "two parts"),
        ("1.2", 0.6, "points"),
        ("1.2", 1.7, "points"),
        ("1.2", 10**400, "ordinary size"),
        ("1.4", 7, "Take the difference"),
        ("1.4", 899, "do not cut"),
        ("1.4", -900, "sign"),
        ("1.4", 0.018, "count"),
        ("1.4", 1.8, "count"),
        ("1.4", 90_000, "divide by 100"),
        ("1.4", 1800, "test set"),
        ("1.4", 600, "top-5"),
        ("1.4", 950, "not E"),
        ("1.4", 550, "three test scales"),
        ("1.4", 3529, "as the whole"),
        ("1.4", 11_850, "alone"),
        ("1.4", 38_150, "alone"),
        ("1.4", 10**400, "ordinary size"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
