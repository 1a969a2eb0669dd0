"""Lesson 3's exercises: the right answers, and the mistakes that are known."""

import numpy as np
import pytest
from checking import complaint

from vgg_utils.configs import layer_configs
from vgg_utils.receptive_field import Layer, receptive_field

ALEXNET = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]  # kernel and stride
A, D = (receptive_field(layer_configs[name])[-1].receptive_field for name in "AD")
DILATED = [
    row.receptive_field
    for row in receptive_field([Layer(3, dilation=d) for d in (1, 2, 4, 8, 16, 32, 64)])
]


def field(layers):
    return receptive_field([Layer(k, stride=s) for k, s in layers])[-1].receptive_field


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("3.1", 195.0),
        ("3.1", field(ALEXNET)),
        ("3.2", np.int64(7)),
        ("3.3", 95.4),
        ("3.3", 100 - 100 * 32**2 / A**2),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("3.1", 116, "308"),
        ("3.1", 200, "table's columns"),
        ("3.1", field([(2 if s == 2 else k, s) for k, s in ALEXNET]), "pools of 2x2"),
        ("3.1", field([(k, 1) for k, _ in ALEXNET]), "strides are missing"),
        ("3.1", field([(11, 1), *ALEXNET[1:]]), "stride of 4"),
        ("3.1", field([(k, s) for k, s in ALEXNET if s != 2]), "without pools"),
        ("3.1", field([*ALEXNET, (6, 1)]), "one window too many"),
        ("3.1", 355, "fc6"),
        ("3.1", field(ALEXNET[:1]), "after conv1"),
        ("3.1", field(ALEXNET[:2]), "after pool1"),
        ("3.1", field(ALEXNET[:4]), "after pool2"),
        ("3.1", field(ALEXNET[:5]), "after conv3"),
        ("3.1", field(ALEXNET[:6]), "after conv4"),
        ("3.1", field(ALEXNET[:7]), "after conv5"),
        ("3.1", 281, "own stride"),
        ("3.1", 32, "the jump"),
        ("3.1", field(ALEXNET) - 1, "start the field at 1"),
        ("3.2", 50, "d doubles"),
        ("3.2", D // 2, "without dilation"),
        ("3.2", 6, f"{DILATED[5]}, short of {D}"),
        ("3.2", 8, f"7 layers see {DILATED[6]}"),
        ("3.2", 64, "count the layers"),
        ("3.3", 50, "Compare areas"),
        ("3.3", 95, "one decimal"),
        ("3.3", 100 - 100 * 32 / A, "one axis"),
        ("3.3", 1 - 32 / A, "one axis"),
        ("3.3", 100 * 32**2 / A**2, "picture's share; the rest"),
        ("3.3", (32 / A) ** 2, "picture's share; the rest"),
        ("3.3", 100 * 32 / A, "picture's share along"),
        ("3.3", 1 - (32 / A) ** 2, "share, where percent"),
        ("3.3", 97.7, f"D's field of {D}"),
        ("3.3", A**2 - 32**2, "divide it by all pixels"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
