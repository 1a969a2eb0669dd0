"""Chapter 8's exercises on boxes: the right answers, and the mistakes that are known."""

import pytest
from checking import complaint


@pytest.mark.parametrize(
    ("exercise", "answer"), [("8.1", 0.333), ("8.1", 0.33), ("8.2", 16_371_612)]
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("8.1", 33.3, "per cent"),
        ("8.1", 0.5, "the IoU is 1/3"),
        ("8.1", 0.293, "both directions"),
        ("8.1", 2 / 3, "how far has it moved"),
        ("8.1", 0.25, "the IoU is 0.60"),
        ("8.1", -1, "width 1"),
        ("8.2", 3996 * 4096, "biases"),
        ("8.2", 4000 * 4097, "subtract SCR's"),
        ("8.2", -16_371_612, "positive"),
        ("8.2", 999 * 4097, "four outputs"),
        ("8.2", 3000 * 4097, "classifier's last layer"),
        ("8.2", 16.37, "millions"),
        ("8.2", 5, "weights + bias"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
