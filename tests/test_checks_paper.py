"""Lesson 1's exercises: the right answers, and the mistakes that are known."""

import pytest
from checking import complaint

from vgg_utils.records import load_record

BOTH = "multi-crop & dense"
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
        ("1.1", ["E", 8.7 - 8.0]),
        ("1.2", 0.35),
        ("1.2", share(B)),
        ("1.3", {("E", "multi-crop"), ("E", BOTH), ("D", BOTH)}),
        ("1.4", 50_000 * (0.255 - 0.237)),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("1.1", (0.7, "E"), "turned round"),
        ("1.1", ("E", -0.7), "sign"),
        ("1.1", ("D", 0.6), "another net"),
        ("1.1", ("C", 0.5), "another net"),
        ("1.1", ("D", 0.7), "not D's"),
        ("1.1", ("E", 1.4), "top-1"),
        ("1.1", ("E", 1.0), "S = 256"),
        ("1.1", ("E", 1.1), "Table 4"),
        ("1.1", ("E", 100 * 0.7 / 8.7), "share"),
        ("1.1", ("E", 0.7 / 8.7), "share"),
        ("1.1", ("B", 0.3), "Choose among"),
        ("1.1", ("E", 0.3), "subtract"),
        ("1.1", ("E", None), "should be a number"),
        ("1.1", ("E", 10**400), "ordinary size"),
        ("1.1", "E", "pair"),
        ("1.2", 0.9, "Divide the fall"),
        ("1.2", 35.3, "per cent"),
        ("1.2", 35, "per cent"),
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
        ("1.3", [("multi-crop", "E")], "turned round"),
        ("1.3", [(c, e) for c in "DE" for e in ("dense", "multi-crop", BOTH)], "strictly"),
        ("1.3", [("D", BOTH), ("E", BOTH)], "test error"),
        ("1.3", [(c, e) for c in "DE" for e in ("multi-crop", BOTH)], "top-1"),
        ("1.3", [("D", "dense"), ("E", "dense"), ("D", "multi-crop")], "do not beat"),
        ("1.3", [("E", BOTH)], "missing"),
        ("1.3", [("E", "both")], "Choose among"),
        ("1.3", ("E", "multi-crop"), "list of pairs"),
        ("1.3", [([], {})], "list of pairs"),
        ("1.3", [("D", "dense"), ("E", BOTH)], "Compare"),
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
