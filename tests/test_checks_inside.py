"""Lesson 12's exercises: the right answers, and the mistakes that are known."""

import pytest
import torch
from checking import complaint

from vgg_utils import layer_configs, receptive_field
from vgg_utils.records import load_record


def weighed(maps, gradient):
    return gradient.mean((2, 3), keepdim=True) * maps


def against(maps, gradient):
    return (-weighed(maps, gradient).sum(1)).relu()


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("12.1", (21, 45)),
        ("12.1", [21, 45]),
        ("12.1", torch.tensor([21, 45])),
        ("12.2", against),
        ("12.2", lambda maps, gradient: weighed(maps, -gradient).sum(1).clamp(min=0)),
        ("12.3", 0.17),
        ("12.3", 1.9 / 11),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


def test_values_are_those_of_the_network_and_of_the_record():
    (row,) = (row for row in receptive_field(layer_configs["A"]) if row.name == "conv4_1")
    assert (row.interval(5)[0], row.interval(8)[0], row.receptive_field) == (21, 45, 46)
    found = load_record("grad_cam")["results"]["trained"]
    assert round(found["hit_mean"], 1) == 90.9 and round(found["middle_in_box_mean"], 1) == 89.0


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("12.1", 21, "two whole numbers"),
        ("12.1", (21, 45, 46), "two whole numbers"),
        ("12.1", (45, 21), "changed places"),
        ("12.1", (40, 64), "not at 0"),
        ("12.1", (59, 83), "with its sign"),
        ("12.1", (44, 68), "middle of the patch"),
        ("12.1", (45, 69), "count from 0"),
        ("12.1", (211, 349), "overlap"),
        ("12.1", (67, 91), "ends"),
        ("12.1", (5, 8), "Start at -19"),
        ("12.1", (21, "45"), "number"),
        ("12.2", 3, "function"),
        ("12.2", lambda maps, gradient: None, "returns None"),
        ("12.2", lambda maps, gradient: maps, "should have shape"),
        ("12.2", lambda maps, gradient: maps @ maps, "stops with"),
        ("12.2", lambda m, g: weighed(m, g).sum(1).relu(), "speaks for the class"),
        ("12.2", lambda m, g: -weighed(m, g).sum(1), "only the part against"),
        ("12.2", lambda m, g: -weighed(m, g).sum(1).relu(), "not after"),
        ("12.2", lambda m, g: weighed(m, g).sum(1).abs(), "absolute value"),
        ("12.2", lambda m, g: (-(g * m).sum(1)).relu(), "at each place"),
        ("12.2", lambda m, g: (-weighed(m, g)).relu().sum(1), "before the sum"),
        ("12.2", lambda m, g: (-weighed(m, g).mean(1)).relu(), "mean over channels"),
        ("12.2", lambda m, g: m[:, 0], "turn the sign"),
        ("12.3", 1.9, "points gained"),
        ("12.3", 1.02, "how many times"),
        ("12.3", 0.88, "four quarters"),
        ("12.3", 0.82, "not one half"),
        ("12.3", 1.9 / 89, "what there was to gain"),
        ("12.3", 1.9 / 90.9, "what there was to gain"),
        ("12.3", 0.83, "misses left"),
        ("12.3", 17.3, "give a share"),
        ("12.3", 0.5, "Divide what Grad-CAM gains"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
