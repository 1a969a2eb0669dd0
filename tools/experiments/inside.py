"""Lesson 11: where a trained network looks (Grad-CAM)."""

from pathlib import Path
from typing import Any

import torch

from experiments.base import Experiment, Settings
from experiments.localisation import (
    CLASSIFIER,
    DATA,
    SEEDS,
    SIZE,
    middle_squares,
    percent,
    study,
    untrained,
)
from vgg_utils.inside import grad_cam
from vgg_utils.localise import crop


def looking(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Report how often the brightest point of the heat map lies in the digit's box, percent."""
    base = study(settings, seed)
    net = base.net
    if not settings["trained"]:
        net = untrained(settings, seed)
    middle, corners = middle_squares(base.test)
    _, boxes = crop(base.test.images, base.test.boxes, corners, SIZE)  # in units of the square
    heat = grad_cam(net, middle, base.test.labels)
    rows = heat.shape[1]
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(rows)).flip(1)  # (16, 2): x, y
    places = (places + 0.5) / rows - 0.5
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2

    def inside(points: torch.Tensor) -> torch.Tensor:
        return ((points >= low) & (points <= high)).all(dim=1)

    hit = inside(places[heat.flatten(1).argmax(dim=1)])
    central = inside(torch.zeros(2))
    chance = torch.stack([inside(place) for place in places]).float().mean(dim=0)  # (N,)
    return {
        "measures": {
            "hit": percent(hit),
            "by_chance": percent(chance),
            "middle_in_box": percent(central),
            "off_centre_hit": percent(hit[~central]),
            "off_centre_by_chance": percent(chance[~central]),
        }
    }


EXPERIMENTS = {
    "grad_cam": Experiment(
        question="How often is the brightest point of Grad-CAM on the digit?",
        data=DATA,
        seeds=SEEDS,
        variants={"trained": {"trained": True}, "untrained": {"trained": False}},
        common={"classifier": CLASSIFIER},
        run=looking,
        minutes=1,
    )
}
