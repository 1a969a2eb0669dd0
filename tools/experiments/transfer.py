"""Lesson 11: what a trained network's features are worth on new classes (Table 11)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from experiments.base import Experiment, Settings
from experiments.localisation import CLASSIFIER, DATA, SEEDS, SIZE, STRIDE, study, untrained
from vgg_utils.localise import squares
from vgg_utils.model import VGGNet

PER_CLASS = [2, 5, 10, 20, 50]
DRAWS = 5  # of the labelled examples, in each run


@torch.no_grad()
def descriptors(net: VGGNet, images: torch.Tensor, settings: Settings) -> np.ndarray:
    """Return one descriptor for each image, of length 1: fc7 after its ReLU, averaged over places.

    Over scales they are averaged or stacked, as `settings["scales_by"]` says (App. B).
    """
    if settings["features"] == "pixels":
        return normalize(images.flatten(1).numpy())
    by_scale = []
    for side in settings["sides"]:
        cut, _ = squares(images, side, SIZE, STRIDE)
        flat = torch.cat(
            [net.avgpool(net.features(part)).flatten(1) for part in cut.flatten(0, 1).split(500)]
        )
        fc7 = net.classifier[:-1](flat).view(*cut.shape[:2], -1)
        by_scale.append(fc7.mean(dim=1))
    if settings.get("scales_by") == "stacking":
        return normalize(torch.cat(by_scale, dim=1).numpy())
    return normalize(torch.stack(by_scale).mean(dim=0).numpy())


def features(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train linear SVMs on few labelled scenes of 7, 8 and 9; report the errors, percent."""
    base = study(settings, seed)
    net = base.net
    if settings["features"] == "untrained":
        net = untrained(settings, seed)
    known = descriptors(net, base.new_train.images, settings)
    asked = descriptors(net, base.new_test.images, settings)
    labels, truth = base.new_train.labels.numpy(), base.new_test.labels.numpy()
    rng = np.random.default_rng(seed)
    errors: dict[str, list[float]] = {f"error_{count}": [] for count in PER_CLASS}
    for _ in range(DRAWS):
        order = [rng.permutation(np.flatnonzero(labels == label)) for label in range(3)]
        for count in PER_CLASS:
            chosen = np.concatenate([places[:count] for places in order])
            svm = LinearSVC(C=settings["C"], random_state=0, max_iter=10_000)
            svm.fit(known[chosen], labels[chosen])
            errors[f"error_{count}"].append(100 * float((svm.predict(asked) != truth).mean()))
    return {"measures": {name: float(np.mean(values)) for name, values in errors.items()}}


def svm(kind: str, sides: tuple[int, ...] = (), **more: str) -> dict[str, Any]:
    return {"features": kind, "sides": list(sides), **more}


EXPERIMENTS = {
    "features": Experiment(
        question="How many labelled examples do new classes need on the features of a trained net?",
        paper="Table 11, App. B",
        data=DATA,
        seeds=SEEDS,
        variants={
            "trained, one scale": svm("trained", (40,)),
            "trained, three scales averaged": svm("trained", (32, 40, 48), scales_by="averaging"),
            "trained, three scales stacked": svm("trained", (32, 40, 48), scales_by="stacking"),
            "untrained, one scale": svm("untrained", (40,)),
            "pixels": svm("pixels"),
        },
        common={"classifier": CLASSIFIER, "C": 1.0},
        run=features,
        minutes=1,
    )
}
