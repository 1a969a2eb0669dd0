"""Chapter 6: what more views of an image, more scales and a second network bring (Tables 3 to 6).

The paper's protocol with every length divided by eight: crops of 28 pixels instead of 224, images
brought to S or Q = 32, 48 and 64 instead of 256, 384 and 512. The networks are the first three
blocks of a configuration without the third pool, so their stride is 4 instead of 32. Then all maps
have the paper's sizes: fc6 is a 7x7 convolution, and the class map is 2x2, 6x6 or 10x10.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import TensorDataset

from experiments.base import Experiment, Settings, load
from vgg_utils.augmentation import random_scale_crop, rescale
from vgg_utils.configs import LayerSpec, layer_configs
from vgg_utils.data import ImageData
from vgg_utils.evaluation import crop_grid, evaluate, evaluation_scales, fuse, top_k_error
from vgg_utils.model import VGGNet
from vgg_utils.training import fit

Ways = dict[str, torch.Tensor]  # posteriors (N, classes) by the way of looking
STEP = 4  # between the scales of one network, as the paper's 32


def first_blocks(name: str, blocks: int) -> list[LayerSpec]:
    """Return the configuration's first blocks, without the pool at their end."""
    layers: list[LayerSpec] = []
    for entry in layer_configs[name]:
        blocks -= entry == "M"
        if not blocks:
            break
        layers.append(entry)
    return layers


def train(config: str, data: ImageData, settings: Settings, seed: int) -> tuple[VGGNet, list[Any]]:
    """Train on random crops at scale S; the history's test images are centre crops."""
    scale = settings["scale"]
    torch.manual_seed(seed)
    layers = first_blocks(config, settings["blocks"])
    model = VGGNet(1, len(data.classes), layers, **settings["model"])
    images, labels = data.test.tensors
    middle = sum(scale) // 2
    centres = [crop_grid(rescale(image, middle), model.image_size, 1)[0] for image in images]
    history = fit(
        model,
        data._replace(test=TensorDataset(torch.stack(centres), labels)),
        augment=lambda batch: random_scale_crop(batch, model.image_size, scale),
        seed=seed,
        progress=False,
        **settings["fit"],
    )
    return model, history


def train_and_evaluate(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train one network for each configuration; the measures are errors, named by protocol and Q.

    "A crop 48" is one crop, from the centre; "A dense 48" the whole image at Q = 48; "A dense
    32,48,64" the average over three scales, likewise "crops" (5x5 a scale), "both" and, with two
    configurations, "A+B both".
    """
    data = load(settings, seed, folder)
    low, high = settings["scale"]
    scales = evaluation_scales(low if low == high else (low, high), STEP)
    every = ",".join(map(str, scales))
    labels = data.test.tensors[1]
    measures: dict[str, float] = {}
    histories = {}
    found: dict[str, Ways] = {}

    def error(posteriors: torch.Tensor) -> float:
        return top_k_error(posteriors, labels)

    for config in settings["configs"]:
        model, histories[config] = train(config, data, settings, seed)
        # Digits have no mirror image, so the protocol's flip is left out.
        give = partial(evaluate, model, data.test, flip=False, batch_size=64, progress=False)
        at, ways = look(give, scales, settings)
        measures |= {f"{config} dense {scale}": error(at[scale]) for scale in at}
        measures |= {f"{config} {way} {every}": error(ways[way]) for way in ways}
        centre = give([scales[1]], protocol="crops", grid=1)[0]
        measures[f"{config} crop {scales[1]}"] = error(centre)
        if settings["crops"]:
            found[config] = ways
            first = give(scales, softmax_first=True)[0]
            measures[f"{config} dense, soft-max first {every}"] = error(first)
    together = fuse_ways(found)
    measures |= {f"{'+'.join(found)} {way} {every}": error(together[way]) for way in together}
    return {"measures": measures, "history": histories}


def look(
    give: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    scales: Sequence[int],
    settings: Settings,
) -> tuple[dict[int, torch.Tensor], Ways]:
    """Return one network's posteriors: dense at each scale, and over the scales by each way.

    `give` is `evaluate` for the network and its test images. Crops, which cost most, and both
    together are there with settings["crops"] only.
    """
    at = {scale: give([scale])[0] for scale in sorted({*settings["curve"], *scales})}
    ways = {"dense": fuse([at[scale] for scale in scales])}
    if settings["crops"]:
        ways["crops"] = give(scales, protocol="crops")[0]
        ways["both"] = fuse([ways["dense"], ways["crops"]])
    return at, ways


def fuse_ways(found: Mapping[str, Ways]) -> Ways:
    """Return the average of the networks for each way; nothing where there is only one."""
    several = list(found.values())
    if len(several) < 2:
        return {}
    return {way: fuse([ways[way] for ways in several]) for way in several[0]}


EXPERIMENTS = {
    "evaluation": Experiment(
        question="What do more views, more scales and a second network bring at test time?",
        paper="Sect. 3.2, 4.1 to 4.4, Tables 3 to 6",
        data="digit scenes of 48x48, a digit of 16 to 28 pixels near the middle and 3 distractors",
        seeds=[2, 3, 4, 5, 6],  # the settings were chosen while looking at 1
        variants={
            "S = 32": {"scale": [32, 32], "configs": ["A"], "crops": False},
            "S = 48": {"scale": [48, 48], "configs": ["A"], "crops": False},
            "S in [32;64]": {"scale": [32, 64], "configs": ["A", "B"], "crops": True},
        },
        common={
            "data": {
                "name": "scenes",
                "size": 48,
                "scale": [16, 28],
                "distractors": 3,
                "spread": 0.5,
                "train_size": 4000,
                "test_size": 500,
            },
            "blocks": 3,
            "model": {"width": 0.125, "hidden_features": 128, "batch_norm": True, "dropout": 0.0},
            "fit": {"epochs": 6, "batch_size": 16, "drop_at": [5]},
            "curve": [28, 32, 36, 40, 44, 48, 52, 56, 64, 72],
        },
        run=train_and_evaluate,
        minutes=6,
    )
}
