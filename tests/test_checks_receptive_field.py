"""Lesson 2's exercises: the right answers, and the mistakes that are known."""

import numpy as np
import pytest
from checking import complaint

from vgg_utils.configs import layer_configs
from vgg_utils.receptive_field import Layer, receptive_field

ALEXNET = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]  # kernel and stride
TARGET = receptive_field(layer_configs["D"])[-1].receptive_field
DILATED = [
    row.receptive_field
    for row in receptive_field([Layer(3, dilation=d) for d in (1, 2, 4, 8, 16, 32, 64)])
]


def field(layers):
    return receptive_field([Layer(k, stride=s) for k, s in layers])[-1].receptive_field


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("2.1", 55.6), ("2.2", 195.0), ("2.2", field(ALEXNET)), ("2.3", np.int64(15)), ("2.4", 7)],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("2.1", 70, "Count both"),
        ("2.1", 125, "more the 9x9 has"),
        ("2.1", 56, "one decimal"),
        ("2.1", -55.6, "sign"),
        ("2.1", 0.556, "per cent"),
        ("2.1", 44.4, "share that is left"),
        ("2.1", 36 / 81, "share that is left"),
        ("2.1", 45, "difference"),
        ("2.1", 88.9, "the stack has four"),
        ("2.2", 116, "308"),
        ("2.2", 200, "Write the table's rows"),
        ("2.2", field([(2 if s == 2 else k, s) for k, s in ALEXNET]), "pools of 2x2"),
        ("2.2", field([(k, 1) for k, _ in ALEXNET]), "strides are missing"),
        ("2.2", field([(11, 1), *ALEXNET[1:]]), "stride of 4"),
        ("2.2", field([(k, s) for k, s in ALEXNET if s != 2]), "without pools"),
        ("2.2", field([*ALEXNET, (6, 1)]), "fc6"),
        ("2.2", field(ALEXNET[:1]), "after conv1"),
        ("2.2", field(ALEXNET[:2]), "after pool1"),
        ("2.2", field(ALEXNET[:6]), "after conv4"),
        ("2.2", 281, "own stride"),
        ("2.2", field(ALEXNET[:4]), "after pool2"),
        ("2.2", field(ALEXNET[:5]), "after conv3"),
        ("2.2", field(ALEXNET[:7]), "after conv5"),
        ("2.2", 32, "the jump"),
        ("2.3", 16, "1 pixel before"),
        ("2.3", 15.5, "1 pixel before"),
        ("2.3", 30, "either side"),
        ("2.3", 10, "overlap"),
        ("2.3", -1, "positive whole number"),
        ("2.3", 5.5, "positive whole number"),
        ("2.3", 150, "see 301 pixels"),
        ("2.3", 14, "see 29 pixels"),
        ("2.4", 50, "d doubles"),
        ("2.4", TARGET // 2, "without dilation"),
        ("2.4", 6, f"{DILATED[5]}, short of {TARGET}"),
        ("2.4", 8, f"7 layers see {DILATED[6]}"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
