"""Lesson 10's exercises: the right answers, and the mistakes that are known."""

import pytest
import torch
from checking import complaint

from vgg_utils.localise import uncrop


def by_the_book(predicted, corner, q):
    return uncrop(predicted[None], corner[None], 32)[0] * 40 / q


def home(half=16, unit=32.0, scale=lambda q: 40 / q, turn=False, sides=0.0):
    """Return a way back that is right unless something is changed."""

    def answer(predicted, corner, q):
        corner = corner.flip(0) if turn else corner
        place = corner + half
        box = predicted * unit + torch.cat([place, sides * place])
        return box * scale(q)

    return answer


def without_corner(predicted, corner, q):
    box = predicted * 32
    box[:2] += 16
    return box * 40 / q


def corner_after_scaling(predicted, corner, q):
    box = predicted * 32 * 40 / q
    box[:2] += corner + 16
    return box


def sizes_as_they_are(predicted, corner, q):
    box = predicted * 32
    box[:2] = (box[:2] + corner + 16) * 40 / q
    return box


def corner_as_a_share(predicted, corner, q):
    box = predicted.clone()
    box[:2] += corner + 16
    return box * 32 * 40 / q


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("10.1", 0.333),
        ("10.1", 0.33),
        ("10.2", by_the_book),
        ("10.2", home()),
        ("10.3", 16_371_612),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("10.1", 33.3, "percent"),
        ("10.1", 0.5, "the IoU is 1/3"),
        ("10.1", 0.293, "both directions"),
        ("10.1", 2 / 3, "how far has it moved"),
        ("10.1", 0.25, "the IoU is 0.60"),
        ("10.1", -1, "width 1"),
        ("10.2", 3, "should be a function"),
        ("10.2", lambda predicted, corner: predicted, "fails"),
        ("10.2", lambda predicted, corner, q: predicted + corner, "fails"),
        ("10.2", lambda predicted, corner, q: None, "end it with a return"),
        ("10.2", lambda predicted, corner, q: corner, "should have shape"),
        ("10.2", home(half=0), "add half of 32"),
        ("10.2", home(half=0, scale=lambda q: 1), "add half of 32"),
        ("10.2", without_corner, "place is missing"),
        ("10.2", lambda predicted, corner, q: predicted * 32 * 40 / q, "place is missing"),
        ("10.2", home(scale=lambda q: 1), "bring it to 40"),
        ("10.2", home(scale=lambda q: q / 40), "the way back is 40 / Q"),
        ("10.2", corner_after_scaling, "add it first"),
        ("10.2", sizes_as_they_are, "scale all four"),
        ("10.2", home(sides=1.0), "moves the centre only"),
        ("10.2", home(turn=True), "keep their order"),
        ("10.2", corner_as_a_share, "in units of the square's side"),
        ("10.2", home(unit=40.0), "32 pixels"),
        ("10.2", home(unit=48.0), "Times 32"),
        ("10.3", 3996 * 4096, "biases"),
        ("10.3", 4000 * 4097, "subtract SCR's"),
        ("10.3", 4000 * 4096, "without biases"),
        ("10.3", 996 * 4097, "so 4,000"),
        ("10.3", -16_371_612, "positive"),
        ("10.3", 999 * 4097, "four outputs"),
        ("10.3", 3000 * 4097, "classifier's last layer"),
        ("10.3", 16.37, "millions"),
        ("10.3", 5, "weights + bias"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
