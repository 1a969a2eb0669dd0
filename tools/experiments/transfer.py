"""Lesson 11: what a trained network's features are worth on new classes (Table 11)."""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.svm import LinearSVC
from torch import nn

from experiments.base import Experiment, Settings, own_network
from experiments.localisation import CLASSIFIER, DATA, SEEDS, SIZE, STRIDE, study, untrained
from vgg_utils.augmentation import random_flip, random_shift
from vgg_utils.data import load_folder
from vgg_utils.evaluation import predict, top_k_error
from vgg_utils.images import read_image
from vgg_utils.localise import squares
from vgg_utils.model import VGGNet
from vgg_utils.trained import load_trained
from vgg_utils.training import fit

PER_CLASS = [2, 5, 10, 20, 50]
DRAWS = 5  # of the labelled examples, in each run
FLOWERS = (
    "five kinds from the TensorFlow team's flower_photos: 1,000 photographs of which the examples "
    "are drawn, 300 others to test on; middle squares of 32x32 pixels"
)
FEW = [5, 20, 80]  # flowers of each kind
BATCH = 25


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


@lru_cache(maxsize=1)
@cache  # once for all runs of a process
def flowers(weights: str, folder: Path) -> tuple[torch.Tensor, ...]:
    """Return images and labels to draw from, and images and labels to test on."""
    data, preprocess = load_folder(folder / "flowers5", size=32), load_trained(weights).preprocess
    parts = []
    for samples in (data.train.samples, data.test.samples):
        parts.append(torch.stack([preprocess(read_image(path)) for path, _ in samples]))
        parts.append(torch.tensor([label for _, label in samples]))
    return tuple(parts)


def draw(labels: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Return the places of `count` examples of each class; fewer are the first of more."""
    generator = torch.Generator().manual_seed(seed)
    places = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    return torch.cat([p[torch.randperm(len(p), generator=generator)[:count]] for p in places])


@torch.no_grad()
def by_depth(net: VGGNet, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the pixels, each block's maps averaged over places, and fc6 and fc7."""
    found, x = {"pixels": images.flatten(1)}, images
    for layer in net.features:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            found[f"block {len(found)}"] = x.mean(dim=(2, 3))
    found["fc6"] = net.classifier[:2](net.avgpool(x).flatten(1)).clone()
    found["fc7"] = net.classifier[2:5](found["fc6"].clone())
    return found


def flower_features(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train linear classifiers on frozen features of each depth; report the errors, percent."""
    images, labels, test_images, test_labels = flowers(settings["weights"], folder)
    net = own_network(settings, seed).model
    known, asked = by_depth(net, images), by_depth(net, test_images)
    measures = {}
    for count in FEW:
        chosen = draw(labels, count, seed)
        for name in known:
            linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
            linear.fit(known[name][chosen].numpy(), labels[chosen].numpy())
            wrong = linear.predict(asked[name].numpy()) != test_labels.numpy()
            measures[f"{name}_{count}"] = 100 * float(wrong.mean())
    return {"measures": measures}


def cut_after(net: VGGNet, block: int, classes: int) -> nn.Sequential:
    """Return the first blocks of a network, an average over places and a new linear layer."""
    pools = [at for at, layer in enumerate(net.features) if isinstance(layer, nn.MaxPool2d)]
    kept = net.features[: pools[block - 1] + 1]
    channels = [layer.out_channels for layer in kept if isinstance(layer, nn.Conv2d)][-1]
    head = nn.Linear(channels, classes)
    return nn.Sequential(kept, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def change(images: torch.Tensor) -> torch.Tensor:
    return random_shift(random_flip(images), 4)


@torch.enable_grad()
def few_flowers(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train on few flowers, step by step of the schedule; report the errors, percent.

    `frozen_` is that of the new layer alone, before the others learn.
    """
    images, labels, test_images, test_labels = flowers(settings["weights"], folder)
    measures = {}
    for count in FEW:
        chosen = draw(labels, count, seed)
        model = cut_after(own_network(settings, seed).model, settings["block"], 5)
        epochs = [steps * BATCH // len(chosen) for steps in settings["steps"]]
        for learns, rate, length in zip(("head", "all"), settings["rates"], epochs, strict=True):
            if not length:
                continue
            model.requires_grad_(learns == "all")
            model[-1].requires_grad_(True)
            options = {"epochs": length, "batch_size": BATCH, "seed": seed, "progress": False}
            options |= {"learning_rate": rate, "one_cycle": True, "augment": change}
            fit(model, (images[chosen], labels[chosen]), **options)
            name = "frozen_" if learns == "head" else ""
            error = top_k_error(predict(model, test_images), test_labels)
            measures[f"{name}error_{count}"] = error
    return {"measures": measures}


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
    ),
    "flower_features": Experiment(
        question="Which layer of a network trained on CIFAR-10 describes flowers best?",
        paper="App. B",
        data=FLOWERS,
        seeds=SEEDS,
        variants={"trained": {"trained": True}, "untrained": {"trained": False}},
        common={"weights": "A"},
        run=flower_features,
        minutes=1,
    ),
    "few_flowers": Experiment(
        question="How many flowers does a network need, from trained weights and from nothing?",
        data=FLOWERS,
        seeds=SEEDS,
        variants={
            "frozen, then thawed": {"trained": True, "steps": [80, 160], "rates": [0.1, 0.01]},
            "all at once": {"trained": True, "steps": [0, 240], "rates": [0.1, 0.1]},
            "all at once, slowly": {"trained": True, "steps": [0, 240], "rates": [0.1, 0.01]},
            "from nothing": {"trained": False, "steps": [0, 240], "rates": [0.1, 0.1]},
        },
        common={"weights": "A", "block": 3},
        run=few_flowers,
        minutes=5,
    ),
}
