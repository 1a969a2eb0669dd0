"""Lesson 6: how well the recipe trains, and what each part of it does."""

from pathlib import Path
from typing import Any

import torch

from experiments.base import EVERY_EPOCH, NO_TEST, Experiment, Settings, train_and_report
from vgg_utils.model import VGGNet
from vgg_utils.pictures import thumbnails
from vgg_utils.trained import load_trained
from vgg_utils.training import fit

SMALL_A = {"layer_config": "A", "width": 0.125, "pool_size": 1, "hidden_features": 512}


def ten_by_heart(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Let a network learn ten photographs, at one rate after another; report the losses.

    The seed draws the weights. There is nothing to test on.
    """
    photos = thumbnails()
    mean = torch.tensor(load_trained("A").preprocess.mean).view(3, 1, 1)
    ten, truth = photos.images[0::4] - mean, torch.arange(10)
    torch.manual_seed(seed)
    model = VGGNet(3, 10, **settings["model"])
    losses: list[float] = []
    for rate in settings["rates"]:
        rows = fit(
            model, (ten, truth), learning_rate=rate, seed=0, progress=False, **settings["fit"]
        )
        losses += [row["train_loss"] for row in rows]
    return {"measures": {"last_loss": losses[-1]}, "train_loss": losses}


EXPERIMENTS = {
    "training_stuck": Experiment(
        question="What cures a run that a rate of 0.05 has thrown out?",
        data="one photograph of CIFAR-10's test set for each class, of those that come with the "
        "book, to learn by heart",
        test_set=NO_TEST,
        seeds=list(range(10)),
        variants={
            "0.05": {"rates": [0.05]},
            "0.05, then 0.01": {"rates": [0.05, 0.01]},
            "0.005": {"rates": [0.005]},
        },
        common={"model": {**SMALL_A, "dropout": 0.0}, "fit": {"epochs": 30, "batch_size": 10}},
        run=ten_by_heart,
        minutes=1,
    ),
    "digits_a": Experiment(
        question="How well does configuration A classify unseen digits?",
        data="scikit-learn's 1,797 digits at 32x32: 1,297 to train on, 500 to test on",
        test_set=EVERY_EPOCH,
        seeds=[1, 2, 3, 4, 5],
        variants={
            "A with batch norm": {"model": {**SMALL_A, "batch_norm": True}},
            "A without batch norm": {"model": {**SMALL_A, "batch_norm": False}},
        },
        common={
            "data": {"name": "digits"},
            "augment": {"shift": 2},
            "fit": {"epochs": 10, "batch_size": 32, "milestones": [8]},
        },
        run=train_and_report,
    ),
}
