"""Jitter, scales, views and two networks on photographs: Tables 3 to 6 at an eighth of the width.

The paper's protocol in units of the network's stride. There a crop is 7 strides of 32 pixels wide,
S is 8, 12 or 8 to 16 strides, and the test scales lie a stride apart. Here D and E are without
their last two pools, so the stride is 8: a crop is 3 strides, 24 pixels, S is 4, 6 or 4 to 8
strides, and the class map of the whole image is 2x2, 4x4 or 6x6 large. CIFAR-10's photographs have
32 pixels, so above S = 32 they are enlarged, as many of ImageNet's are at 512.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import TensorDataset

from experiments.base import Experiment, Settings
from experiments.evaluation import (
    FLOWERS,
    PAPER,
    QUESTION,
    Ways,
    look,
    photos,
    together,
    variants,
    without_last_pools,
)
from experiments.photographs import (
    AUGMENT,
    COUNTING,
    DATA,
    FEWER,
    FIT,
    NET,
    PILOT,
    hours,
    images,
    kept,
    trained,
)
from vgg_utils.evaluation import evaluate, top_k_error

CROP, SMALL, MIDDLE, LARGE, STRIDE = 24, 32, 48, 64, 8
JITTER = [SMALL, MIDDLE, LARGE]
NEW = [24, 72]  # scales that no network was trained at
ANOTHER = 1000  # added to a seed, it gives another network of the same settings


def stage(
    config: str, crop: Sequence[int], rate: float, epochs: int, after: Settings | None = None
) -> dict[str, Any]:
    """Return the settings of a network trained on crops at S, from the start or after a stage.

    The rate falls once, before the last epoch.
    """
    fit = {**FIT, "epochs": epochs, "learning_rate": rate}
    model = {**NET, "layer_config": without_last_pools(config, 2), "batch_norm": True}
    cut = {"crop": list(crop), "size": CROP}
    return {
        "model": {**model, "pool_size": CROP // STRIDE},
        "augment": {**cut, "flip": True, "colours": AUGMENT["colours"]},
        "fit": {**fit, "milestones": [epochs - 1]},
        "after": after,
    }


def stages(config: str) -> dict[str, dict[str, Any]]:
    """Return the paper's stages (Sect. 3.1), each after the one before, at a tenth of the rate.

    S = 384 goes on from S = 256, the jittered network from S = 384. "Longer" is the jittered one's
    equal: the same epochs at the same rates, with S fixed.
    """
    small = stage(config, [SMALL, SMALL], 0.02, 8)
    middle = stage(config, [MIDDLE, MIDDLE], 0.002, 3, small)
    again = stage(config, [SMALL, SMALL], 0.002, 3, small)
    return {
        f"S = {SMALL}": small,
        f"S = {MIDDLE}": middle,
        f"S = {SMALL}, longer": stage(config, [SMALL, SMALL], 0.002, 5, again),
        f"S = {MIDDLE}, longer": stage(config, [MIDDLE, MIDDLE], 0.002, 5, middle),
        "jitter": stage(config, [SMALL, LARGE], 0.002, 5, middle),
    }


def one_network(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train one network; report its errors by dense evaluation, at one Q and over three.

    "new sizes" is the mean error at the two scales that no network was trained at.
    """
    errors, _ = looked(settings, seed, folder)
    measures = {name.removeprefix("net "): error for name, error in errors.items()}
    if set(NEW) <= set(settings["looks"]["curve"]):
        measures["new sizes"] = sum(measures[f"dense {scale}"] for scale in NEW) / len(NEW)
    return {"measures": measures}


def looked(settings: Settings, seed: int, folder: Path) -> tuple[dict[str, float], Ways]:
    """Return a network's errors and its posteriors by way of looking, see `evaluation.look`."""

    def make() -> list[Any]:
        model, _ = trained(settings, seed, folder)
        looks = settings["looks"]
        test = tested(looks, folder)
        give = partial(evaluate, model, test, batch_size=250, progress=False)
        return list(look("net", give, test.tensors[1], looks["scales"], looks))

    errors, ways = kept("looks", settings, seed, make, "looks")
    return errors, ways


def tested(looks: Settings, folder: Path) -> TensorDataset:
    """Return the test photographs, or the first looks["images"] of them."""
    count = looks.get("images")
    return TensorDataset(*(part[:count] for part in images({}, folder).test.tensors))


def several(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Look in each way with one network, or with the average of two; report the errors.

    settings["networks"] are settings of networks; those with "another" come from another seed.
    """
    found: dict[str, Ways] = {}
    labels = tested(settings["looks"], folder).tensors[1]
    scales = settings["looks"]["scales"]
    for name, network in settings["networks"].items():
        own = {**network, "looks": settings["looks"]}
        place = seed + ANOTHER if name.startswith("another") else seed
        errors, found[name] = looked(own, place, folder)
        by_way = {way: top_k_error(found[name][way], labels) for way in found[name]}
    if len(found) == 1:
        measures = {**by_way, "one scale": errors[f"net dense {scales[1]}"]}
    else:
        averages = together(found, labels, scales)
        measures = {name.split()[-2]: error for name, error in averages.items()}
    return {"measures": measures}


def dense(scales: Sequence[int], curve: Sequence[int] = ()) -> dict[str, Any]:
    return {"scales": list(scales), "curve": list(curve), "crops": False}


D, E = stages("D"), stages("E")
AROUND_SMALL, AROUND_MIDDLE = ([s - STRIDE, s, s + STRIDE] for s in (SMALL, MIDDLE))
CROPS = {"scales": JITTER, "curve": [], "crops": True, "images": 2500}
ONE = {"D": D["jitter"]}
# Seconds of an epoch of D and E without their last two pools, scaling included.
EPOCH = {"D": 45, "E": 54}


def asked(stages: Mapping[str, Any]) -> dict[str, Settings]:
    small, middle, small_longer, middle_longer, jitter = stages
    new = sorted([*NEW, SMALL])
    return {
        f"D, {small}": {**stages[small], "looks": dense(AROUND_SMALL)},
        f"D, {middle}": {**stages[middle], "looks": dense(AROUND_MIDDLE)},
        f"D, {small_longer}": {**stages[small_longer], "looks": dense(AROUND_SMALL)},
        f"D, {middle_longer}": {**stages[middle_longer], "looks": dense(AROUND_MIDDLE, new)},
        f"D, {jitter}": {**stages[jitter], "looks": dense(JITTER, new)},
    }


EXPERIMENTS = {
    "jitter_photographs": Experiment(
        question="Does a jittered scale beat a fixed one that is trained as long?",
        paper="Tables 3 and 4, Sect. 3.1, 4.1 and 4.2",
        data=DATA,
        seeds=COUNTING,
        pilot=PILOT,
        variants=asked(D),
        run=one_network,
        minutes=hours({"D": EPOCH["D"]}, COUNTING, 8 + 2 * 3 + 3 * 5) + 10 * 6,
    ),
    "views_photographs": Experiment(
        question="What do three scales, crops and a second network bring after jitter?",
        paper="Tables 4 to 6, Sect. 4.2 to 4.4",
        data=f"{DATA}, of which the first 2,500 are looked at",
        seeds=COUNTING,
        pilot=PILOT,
        pilot_variants=["D"],
        variants={
            "D": {"networks": ONE},
            "E": {"networks": {"E": E["jitter"]}},
            "another D": {"networks": {"another D": D["jitter"]}},
            "D and E": {"networks": {**ONE, "E": E["jitter"]}},
            "D and another D": {"networks": {**ONE, "another D": D["jitter"]}},
        },
        common={"looks": CROPS},
        run=several,
        minutes=hours(EPOCH, COUNTING, 8 + 3 + 5) + 10 * 3 * 4,
    ),
    "flowers_photographs": Experiment(
        question=QUESTION,
        paper=PAPER,
        data=FLOWERS,
        seeds=FEWER,
        pilot=PILOT[:1],
        pilot_variants=["S = 110"],
        variants=variants(73, 110, 146),
        common={
            "data": "flowers5",
            "device": "cpu",
            "folds": 5,
            "widest": [73, 146],
            "crop": 64,
            "step": 9,
            "curve": [],
            "without_pools": 2,
            "model": {**NET, "batch_norm": True, "pool_size": 8},
            "fit": {"epochs": 24, "batch_size": 32, "learning_rate": 0.01, "milestones": [16, 21]},
        },
        run=photos,
        minutes=hours({"three D": 3 * 20, "E": 24}, FEWER, 24) + 5 * 12,
    ),
}
