"""Chapter 2's exercises: the right answers, and the mistakes that are known."""

import numpy as np
import pytest
from checking import complaint


@pytest.mark.parametrize(
    ("exercise", "answer"), [("2.1", 55.6), ("2.2", 195.0), ("2.3", np.int64(15)), ("2.4", 7)]
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("2.1", 125, "more the 9x9 has"),
        ("2.1", 56, "one decimal"),
        ("2.1", -55.6, "sign"),
        ("2.1", 0.556, "per cent"),
        ("2.1", 44.4, "share that is left"),
        ("2.1", 36 / 81, "share that is left"),
        ("2.1", 45, "difference"),
        ("2.1", 88.9, "the stack has four"),
        ("2.2", 116, "308"),
        ("2.2", 167, "pools of 2x2"),
        ("2.2", 27, "strides are missing"),
        ("2.2", 57, "stride of 4"),
        ("2.2", 51, "without pools"),
        ("2.2", 355, "fc6"),
        ("2.2", 281, "own stride"),
        ("2.2", 67, "after pool2"),
        ("2.2", 99, "after conv3"),
        ("2.2", 163, "after conv5"),
        ("2.2", 32, "the jump"),
        ("2.3", 16, "1 pixel before"),
        ("2.3", 15.5, "1 pixel before"),
        ("2.3", 30, "either side"),
        ("2.3", 10, "overlap"),
        ("2.3", -1, "positive whole number"),
        ("2.3", 5.5, "positive whole number"),
        ("2.3", 150, "see 301 pixels"),
        ("2.3", 14, "see 29 pixels"),
        ("2.4", 106, "without dilation"),
        ("2.4", 6, "127"),
        ("2.4", 8, "255"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
