"""Lesson 16's exercises: the right answers, and the mistakes that are known."""

import numpy as np
import pytest
from checking import complaint
from torch import nn

from vgg_utils.network_receptive_field import network_receptive_field
from vgg_utils.receptive_field import Layer, receptive_field


def after(*kernels):
    """Return the field of units that see 59 pixels and lie 8 apart, after more layers."""
    before = [Layer(2, stride=2), Layer(2, stride=2), Layer(2, stride=2), Layer(1)]
    rows = receptive_field([*before, *(Layer(kernel) for kernel in kernels)])
    return 59 + rows[-1].receptive_field - rows[3].receptive_field


def centre(layer):
    (axis, _) = network_receptive_field(nn.Sequential(nn.AvgPool2d(1, 16), layer), 224)[-1].axes
    return axis.start


HALF_A_JUMP = centre(nn.AvgPool2d(2)) - centre(nn.AvgPool2d(3, 2, 1))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("16.1", after(5)),
        ("16.1", 91.0),
        ("16.2", HALF_A_JUMP),
        ("16.2", np.float32(8)),
        ("16.3", 40),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("16.1", 80, "Follow each branch"),
        ("16.1", after(1), "the narrowest path"),
        ("16.1", after(3), "another one is wider"),
        ("16.1", after(3, 5, 3), "all branches"),
        ("16.1", after(3, 5), "the 3x3 and the 5x5"),
        ("16.1", 63, "a jump has 8 pixels"),
        ("16.1", 59 + 5 * 8, "reads 5 units"),
        ("16.1", 118, "don't add them"),
        ("16.1", 32, "see 59 pixels already"),
        ("16.2", 5, "compare the centres"),
        ("16.2", 0.5, "jump of 1"),
        ("16.2", 16, "half a jump"),
        ("16.2", 32, "map that they read"),
        ("16.2", 14, "this one alone"),
        ("16.2", 0, "between units 0 and 1"),
        ("16.2", 24, "Mind the padding"),
        ("16.2", -8, "sign"),
        ("16.3", 30, "half of the layers"),
        ("16.3", 20, "without skips"),
        ("16.3", 10, "The other way round"),
        ("16.3", 20 * 2**0.5, "grows with the root"),
        ("16.3", 80, "twice as far"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
