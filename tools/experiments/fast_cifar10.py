"""Lesson 15: what a fast run reaches, what each of its tricks is worth, and VGG-16 beside it."""

from __future__ import annotations

import dataclasses
import time
from functools import cache
from pathlib import Path
from typing import Any

from experiments.base import Experiment, Settings, device, fit_network, load, new_network, subset
from vgg_utils.data import load_cifar10
from vgg_utils.fast_cifar10 import LAYERS, TRICKS, TWO_CORES, Recipe, multiplies_in_bfloat16
from vgg_utils.fast_cifar10 import train as train_fast

cifar10 = cache(load_cifar10)  # once for all runs of a process


def fast(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train by the fast loop; without the tricks in settings["without"].

    `train_seconds` is what the loop counts: see `vgg_utils.fast_cifar10.train`.
    """
    data = load(settings, seed, folder) if "data" in settings else cifar10(folder)
    if "train_size" in settings:
        data = subset(data, settings, seed)
    numbers = {**settings["recipe"], **settings.get("change", {})}
    recipe = Recipe(**numbers, **dict.fromkeys(settings.get("without", []), False))
    run = train_fast(
        data,
        recipe,
        seed=seed,
        device=settings.get("device", device()),
        layers=settings.get("layers", LAYERS),
    )
    measures = {"test_error": run.history[-1]["test_error"]}
    if settings.get("device") == "cpu":  # seconds on a processor that others use say nothing
        history = [{key: row[key] for key in row if key != "seconds"} for row in run.history]
        return {"measures": measures, "history": history}
    return {"measures": {**measures, "train_seconds": run.seconds}, "history": run.history}


def against_the_clock(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train by the fast loop, or, where the settings have a `fit`, by that; count the minutes."""
    data, half = cifar10(folder), multiplies_in_bfloat16()
    if "recipe" in settings:
        run = train_fast(data, Recipe(**settings["recipe"]), seed=seed, device="cpu")
        history, seconds = run.history, run.seconds
    else:
        # The fastest that this processor has, for either side.
        fit_settings = {**settings["fit"], "precision": "bfloat16" if half else "float32"}
        model, begin = new_network(settings, seed, data), time.perf_counter()
        history = fit_network(model, data, {**settings, "fit": fit_settings}, seed)
        seconds = time.perf_counter() - begin
    measures = {"test_error": history[-1]["test_error"], "minutes": seconds / 60}
    return {"measures": measures, "bfloat16": half, "history": history}


def vgg16(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train configuration D by `fit`; or, where the settings have a recipe, by the fast loop."""
    if "recipe" in settings:
        return fast(settings, seed, folder)
    data = cifar10(folder)
    model = new_network(settings, seed, data)
    history = fit_network(model, data, settings, seed, device())
    return {"measures": {"test_error": history[-1]["test_error"]}, "history": history}


def each_off(*names: str) -> dict[str, dict[str, list[str]]]:
    return {f"without {name}": {"without": [name]} for name in names}


FOR_SPEED = ("on_device", "half", "channels_last")
# The defaults of `Recipe`, written out, so that a record says what it was made with.
NUMBERS = {
    "epochs": 24,
    "batch_size": 512,
    "learning_rate": 0.6,
    "weight_decay": 5e-4,
    "width": 1.0,
    "patterns": 27,
}
# What the runs on digits leave out.
LEFT_OUT = {
    "everything": [],
    "without small_logits": ["small_logits"],
    "without shift": ["shift"],
    "without all tricks": [name for name in TRICKS if name != "flip"],
}

EXPERIMENTS = {
    "fast_cifar10": Experiment(
        question="How well and how fast does the short loop train, and what is each trick worth?",
        data="CIFAR-10: 50,000 training images, 10,000 test images, each seen once",
        seeds=[1, 2, 3, 4, 5],
        variants={
            "everything": {},
            "everything, compiled": {"change": {"compile": True}},
            **each_off(*TRICKS),
            "batches of 64": {"change": {"batch_size": 64}},
        },
        common={"recipe": NUMBERS},
        run=fast,
        device="cuda",
        minutes=45,  # an estimate: it has not run yet
    ),
    "vgg16_cifar10": Experiment(
        question="How well does VGG-16 classify small photographs?",
        data="CIFAR-10: 50,000 training images, 10,000 test images, each seen once",
        seeds=[1, 2, 3],
        variants={
            "D with batch norm": {
                # At 32 pixels the last map is 1x1, so fc6 has 512 inputs, and needs no more units.
                "model": {
                    "layer_config": "D",
                    "batch_norm": True,
                    "pool_size": 1,
                    "hidden_features": 512,
                },
                "augment": {"shift": 4, "flip": True},
                "fit": {
                    "epochs": 30,
                    "batch_size": 128,
                    "learning_rate": 0.06,
                    "one_cycle": True,
                    "precision": "auto",
                },
            },
            "D's convolutions in the fast loop": {
                "layers": "D",
                "recipe": {**NUMBERS, "epochs": 30},
            },
        },
        run=vgg16,
        device="cuda",
        minutes=15,  # an estimate: it has not run yet
    ),
    "fast_cifar10_subset": Experiment(
        question="What is each trick worth in a very short run of a narrow network?",
        data="2,000 training images of CIFAR-10, another choice for every seed; the first 5,000 "
        "test images",
        seeds=[1, 2, 3, 4, 5],  # the settings were chosen while looking at 100 and 101
        variants={
            "everything": {},
            **each_off(*(name for name in TRICKS if name not in FOR_SPEED)),
        },
        common={
            "train_size": 2000,
            "test_size": 5000,
            "recipe": {**NUMBERS, "epochs": 5, "batch_size": 50, "width": 0.125},
            "device": "cpu",
        },
        run=fast,
        minutes=12,
    ),
    "two_cores": Experiment(
        question="How well does the loop train on two cores in ten minutes, and the paper's recipe "
        "in thirty?",
        paper="Sect. 3.1",
        data="CIFAR-10: 50,000 training images, 10,000 test images, each seen once",
        seeds=[1, 2, 3, 4, 5],  # the preset was chosen on a held-out tenth, with seed 100
        variants={
            "the preset": {"recipe": dataclasses.asdict(TWO_CORES)},
            # As lesson 9 fits it to small photographs, at twice the width; as many epochs as
            # half an hour had room for.
            "the paper's recipe": {
                "model": {
                    "layer_config": "D",
                    "width": 0.25,
                    "pool_size": 1,
                    "hidden_features": 256,
                    "dropout": 0.1,
                },
                "augment": {"flip": True, "shift": 4, "colours": 0.1},
                "fit": {
                    "epochs": 70,
                    "batch_size": 64,
                    "learning_rate": 0.02,
                    "milestones": [42, 56, 65],
                },
            },
        },
        fewer={"the paper's recipe": 1},
        run=against_the_clock,
        threads=2,
        minutes=80,
    ),
    "fast_digits": Experiment(
        question="Does what a trick is worth depend on the length of the run?",
        data="the embedded digits: 1,297 to train on, 500 to test on, another split for every seed",
        seeds=[1, 2, 3, 4, 5],
        variants={
            f"{name}, {epochs} epochs": {
                "change": {"epochs": epochs},
                "without": ["flip", *off],  # a mirrored 2 is no digit
            }
            for epochs in (2, 4, 8)
            for name, off in LEFT_OUT.items()
        },
        common={
            "data": {"name": "digits"},
            "recipe": {**NUMBERS, "batch_size": 32, "width": 0.0625},
            "device": "cpu",
        },
        run=fast,
        minutes=5,
    ),
}
