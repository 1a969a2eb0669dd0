"""Chapter 6 on photographs: S, scales, dense, crops, a second network (Tables 3 to 6).

The paper's protocol with every length multiplied by 4/7: crops of 128 pixels instead of 224, images
brought to S or Q = 146, 219 and 293 instead of 256, 384 and 512. Imagenette's photographs have 320
pixels on their smallest side, so none is enlarged. The same by 2/7 for photographs of 180 pixels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from experiments.base import Experiment, Settings
from experiments.evaluation import Ways, fuse_ways, look
from experiments.fast import device
from vgg_utils.data import ImageFiles, load_folder, load_imagenette
from vgg_utils.evaluation import evaluate, evaluation_scales, top_k_error
from vgg_utils.model import VGGNet
from vgg_utils.training import fit

Outcome = dict[str, Any]


def load_photos(settings: Settings, folder: Path) -> ImageFiles:
    """Return the photographs, to be trained on at the variant's S.

    Every variant reads the same files, those that the widest S calls for: Imagenette has a smaller
    version, which would do for the small S alone.
    """
    name, widest, size = settings["data"], tuple(settings["widest"]), settings["crop"]
    if name == "imagenette":
        data = load_imagenette(folder, size=size, scale=widest)
    else:
        data = load_folder(folder / name, size=size, scale=widest)
    scale = tuple(settings["scale"])
    data.train.transform = replace(data.train.transform, scale=scale)
    data.test.transform = replace(data.test.transform, smallest=sum(scale) // 2)
    return data


class Whole(Dataset[Any]):
    """The test images uncut, each with the mean subtracted; read once, and kept as bytes."""

    def __init__(self, data: ImageFiles) -> None:
        data.test.transform = lambda image: (255 * image).round().byte()
        self.kept = [data.test[index] for index in range(len(data.test))]
        self.mean = data.mean[:, None, None]

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = self.kept[index]
        return image / 255 - self.mean, label


def train(config: str, data: ImageFiles, settings: Settings, seed: int) -> tuple[VGGNet, Outcome]:
    """Train on random crops at scale S; the history's test images are centre crops."""
    torch.manual_seed(seed)
    model = VGGNet(3, len(data.classes), config, **settings["model"])
    history = fit(model, data, seed=seed, device=device(), progress=False, **settings["fit"])
    return model, {config: history}


def train_and_evaluate(settings: Settings, seed: int, folder: Path) -> Outcome:
    """Train one network for each configuration; the measures are errors, named by protocol and Q.

    "D crop 219" is one crop, from the centre; "D dense 219" the whole image at Q = 219;
    "D dense 146,219,293" the average over three scales, likewise "crops" (5x5 a scale), "both" and,
    with two configurations, "D+E both". All views come with their mirror images, as in the paper.
    """
    low, high = settings["scale"]
    scales = evaluation_scales(low if low == high else (low, high), settings["step"])
    every = ",".join(map(str, scales))
    measures: dict[str, float] = {}
    histories: Outcome = {}
    found: dict[str, Ways] = {}
    for config in settings["configs"]:
        data = load_photos(settings, folder)
        model, history = train(config, data, settings, seed)
        histories |= history
        photos = Whole(data)
        labels = torch.tensor([label for _, label in photos.kept])
        give = partial(evaluate, model, photos, batch_size=128, progress=False)
        error = partial(top_k_error, labels=labels)

        at, ways = look(give, scales, settings)
        measures |= {f"{config} dense {q}": error(at[q]) for q in at}
        measures |= {f"{config} {way} {every}": error(ways[way]) for way in ways}
        if settings["crops"]:
            found[config] = ways
            centre = give([scales[1]], protocol="crops", grid=1)[0]
            measures[f"{config} crop {scales[1]}"] = error(centre)
    together = fuse_ways(found)
    measures |= {f"{'+'.join(found)} {way} {every}": error(together[way]) for way in together}
    return {"measures": measures, "history": histories}


def variants(small: int, middle: int, large: int) -> dict[str, Settings]:
    """The paper's S = 256, S = 384 and S in [256;512], at these lengths."""
    return {
        f"S = {small}": {"scale": [small, small], "configs": ["D"], "crops": False},
        f"S = {middle}": {"scale": [middle, middle], "configs": ["D"], "crops": False},
        f"S in [{small};{large}]": {"scale": [small, large], "configs": ["D", "E"], "crops": True},
    }


QUESTION = "What do jitter, scales, views and a second network bring on photographs?"
PAPER = "Sect. 3.2, 4.1 to 4.4, Tables 3 to 6"

EXPERIMENTS = {
    "evaluation_photos": Experiment(
        question=QUESTION,
        paper=PAPER,
        data="Imagenette, ten classes of ImageNet, smallest side 320 pixels: 9,469 photographs to "
        "train on, 3,925 to test on",
        seeds=[1, 2, 3],
        variants=variants(146, 219, 293),
        common={
            "data": "imagenette",
            "widest": [146, 293],
            "crop": 128,
            "step": 18,
            "curve": [128, 146, 182, 219, 256, 293],
            "model": {"batch_norm": True, "pool_size": 4, "hidden_features": 1024},
            "fit": {
                "epochs": 30,
                "batch_size": 64,
                "learning_rate": 0.02,
                "drop_at": [20, 26],
                "precision": "auto",
            },
        },
        run=train_and_evaluate,
        device="cuda",
        minutes=60,  # an estimate: it has not run yet
    ),
    "evaluation_flowers": Experiment(
        question=QUESTION,
        paper=PAPER,
        data="flowers5 in the folder of the data: five classes of the TensorFlow flower photos, "
        "180 to 320 pixels a side, 1,000 to train on, 300 to test on (a split of our own)",
        seeds=[1, 2, 3],
        variants=variants(73, 110, 146),
        common={
            "data": "flowers5",
            "widest": [73, 146],
            "crop": 64,
            "step": 9,
            "curve": [64, 73, 91, 110, 128, 146],
            "model": {"batch_norm": True, "pool_size": 2, "hidden_features": 1024},
            "fit": {
                "epochs": 60,
                "batch_size": 32,
                "learning_rate": 0.02,
                "drop_at": [40, 52],
                "precision": "auto",
            },
        },
        run=train_and_evaluate,
        device="cuda",
        minutes=20,  # an estimate: it has not run yet
    ),
}
