"""Lesson 9: Table 3's rows at full width, for a GPU, and the lesson's own small question.

Every network of the table sees the same images and takes the same number of steps. Plain networks
deeper than A start as the paper's did, with the layers of a trained A (Sect. 3.1); what is not
copied starts by He's rule. With batch normalisation every network starts by He's rule alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.base import (
    EVERY_EPOCH,
    Experiment,
    Settings,
    fit_network,
    load,
    new_network,
    train_and_report,
)
from experiments.training import SMALL_A
from vgg_utils.configs import LayerSpec
from vgg_utils.data import ImageData
from vgg_utils.model import VGGNet, copy_layers
from vgg_utils.training import Row

# Sect. 4.1: B with each pair of 3x3 layers replaced by one 5x5 layer, which sees as far.
TWIN: list[LayerSpec] = [(5, 64), "M", (5, 128), "M", (5, 256), "M", (5, 512), "M", (5, 512), "M"]


def train_one(settings: Settings, seed: int, folder: Path, device: str) -> tuple[VGGNet, list[Row]]:
    """Train one network, from a trained A if settings["from_a"]; return it and its history."""
    data = loaded(json.dumps({"data": settings["data"]}), seed, folder)
    model = new_network(settings, seed, data)
    if settings.get("from_a"):
        first = {**settings, "from_a": False, "model": {**settings["model"], "layer_config": "A"}}
        copy_layers(trained(json.dumps(first), seed, folder, device), model)
    return model, fit_network(model, data, settings, seed, device)


@lru_cache(maxsize=10)
def trained(settings: str, seed: int, folder: Path, device: str) -> VGGNet:
    """Return the network of these settings: the same A serves every network that starts from it."""
    return train_one(json.loads(settings), seed, folder, device)[0]


@lru_cache(maxsize=10)
def loaded(settings: str, seed: int, folder: Path) -> ImageData:
    return load(json.loads(settings), seed, folder)


def on(device: str) -> Any:
    """Return an experiment's run for a device: train one network, report error and training loss.

    The error is that of the last epoch.
    """

    def run(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
        history = train_one(settings, seed, folder, device)[1]
        last = history[-1]
        return {
            "measures": {"error": last["test_error"], "train_loss": last["train_loss"]},
            "train_loss": [row["train_loss"] for row in history],
        }

    return run


def rows(shared: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variants: plain networks by name, and those with batch normalisation."""

    def variant(config: str | Sequence[LayerSpec], **more: bool) -> dict[str, Any]:
        from_a = {"from_a": True} if more.pop("from_a", False) else {}
        return {"model": {**shared, "layer_config": config, **more}, **from_a}

    plain = {
        "A": variant("A"),
        "A-LRN": variant("A-LRN"),
        "B": variant("B", from_a=True),
        "B with 5x5": variant(TWIN),
        **{name: variant(name, from_a=True) for name in ("C", "D", "E")},
    }
    deep = {"A": "A", "B": "B", "B with 5x5": TWIN, "C": "C", "D": "D", "E": "E"}
    normalised = {
        f"{name}, batch norm": variant(config, batch_norm=True) for name, config in deep.items()
    }
    return {**plain, **normalised}


EXPERIMENTS = {
    "own_claim": Experiment(
        question="Does dropout help configuration A in a short run?",
        data="scikit-learn's 1,797 digits at 32x32: 1,297 to train on, 500 to test on",
        test_set=EVERY_EPOCH,
        seeds=list(range(1, 11)),  # 100 and 101 were looked at before
        variants={
            f"{name}, {epochs} epochs": {
                "model": {**SMALL_A, "batch_norm": True, "dropout": dropout},
                "fit": {"epochs": epochs},
            }
            for epochs in (3, 12)
            for name, dropout in (("A", 0.5), ("A without dropout", 0.0))
        },
        common={"data": {"name": "digits"}},
        run=train_and_report,
        minutes=4,
    ),
    "depth_cifar10": Experiment(
        question="Does the error fall with depth on CIFAR-10, and what do LRN, 1x1 and 5x5 do?",
        paper="Table 3, Sect. 4.1",
        data="CIFAR-10: 50,000 images to train on, 10,000 to test on",
        seeds=[1, 2, 3],
        variants=rows({"pool_size": 1, "hidden_features": 512}),
        common={
            "data": {"name": "cifar10"},
            "augment": {"flip": True, "shift": 4},
            "fit": {"epochs": 20, "batch_size": 128, "milestones": [12, 17], "precision": "auto"},
        },
        run=on("cuda"),
        device="cuda",
        minutes=45,  # an estimate: it has not run yet
    ),
}
