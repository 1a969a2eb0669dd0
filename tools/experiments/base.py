"""What an experiment is, and the training run that most of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from vgg_utils.augmentation import (
    colour_statistics,
    pca_lighting,
    random_flip,
    random_scale_crop,
    random_shift,
)
from vgg_utils.data import ImageData, load_cifar10, load_digits, load_scenes
from vgg_utils.model import VGGNet
from vgg_utils.trained import Trained, load_trained
from vgg_utils.training import Row, fit

Settings = Mapping[str, Any]
# When the test set of an experiment is looked at.
AT_THE_END = (
    "looked at after the last epoch alone; a run's epochs and rates were fixed before it began"
)
EVERY_EPOCH = (
    "looked at after every epoch; no decision of a run rested on it: its epochs and rates were "
    "fixed before it began, and its errors are those of the last epoch"
)
NO_TEST = "none: it is about the training alone"
PAD = 4  # the empty border that an image gets on each side before it is scaled and cropped


@dataclass(frozen=True)
class Experiment:
    """A question, and the runs that answer it: every variant from every seed.

    `run` takes the settings of a variant (its own over the common ones), a seed and the folder of
    downloaded data. It returns `measures`, numbers by name, of which the record gives mean and
    standard deviation over the seeds; and whatever else it wants kept, such as a `history`.
    """

    question: str
    data: str  # in words, for the reader of the record
    seeds: Sequence[int]
    variants: Mapping[str, Settings]
    run: Callable[[Settings, int, Path], dict[str, Any]]
    common: Settings = field(default_factory=dict)
    paper: str = ""  # the section or table that it repeats
    # Variants that so many of the first seeds suffice for.
    fewer: Mapping[str, int] = field(default_factory=dict)
    pilot: Sequence[int] = ()  # seeds to choose settings and numbers of seeds by; they never count
    pilot_variants: Sequence[str] = ()  # by default all
    test_set: str = AT_THE_END  # when it is looked at, and what was chosen by it
    device: str = "cpu"  # "cuda" for runs that are too large without a GPU
    threads: int = 1  # of a run; one with more has the computer to itself
    minutes: float = 1.0  # of one run at a time, roughly

    def seeds_of(self, variant: str, seeds: Sequence[int]) -> Sequence[int]:
        """Return those of the seeds that this variant is run from."""
        return seeds[: self.fewer.get(variant, len(seeds))]


def load(settings: Settings, seed: int, folder: Path) -> ImageData:
    """Return the data set that settings["data"] names; the seed chooses the split or the scenes."""
    options = dict(settings["data"])
    name = options.pop("name")
    if name == "cifar10":
        return load_cifar10(folder)
    return {"digits": load_digits, "scenes": load_scenes}[name](seed=seed, **options)


def subset(data: ImageData, settings: Settings, seed: int) -> ImageData:
    """Return settings["train_size"] images, others for every seed, and the first ones for tests."""
    images, labels = data.train.tensors
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    chosen = order[: settings["train_size"]]
    tests = (tensor[: settings["test_size"]] for tensor in data.test.tensors)
    return data._replace(
        train=TensorDataset(images[chosen], labels[chosen]), test=TensorDataset(*tests)
    )


def device() -> str:
    """Return where the experiments for a GPU run; without one, as in the tests, the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def augmentation(
    settings: Settings, data: ImageData, seed: int
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return what settings["augment"] asks for, or None where it asks for nothing.

    `crop`: S_min and S_max of the image, of which a window of `size` pixels is cut. `scale`: the
    same of the image padded by `PAD`; with `once`, one S is drawn for the whole run. `flip`: mirror
    half. `colours`: the standard deviation of alpha in the colour shift. `shift`: move by up to so
    many pixels.
    """
    wanted = settings.get("augment", {})
    if not wanted:
        return None
    empty = -data.mean.mean().item()  # black, or paper, less the mean
    scale = wanted.get("scale")
    if wanted.get("once"):
        generator = torch.Generator().manual_seed(seed)
        scale = [int(torch.randint(scale[0], scale[1] + 1, (), generator=generator))] * 2
    colours = colour_statistics(data.train.tensors[0]) if "colours" in wanted else None

    def augment(images: torch.Tensor) -> torch.Tensor:
        if wanted.get("crop"):
            images = random_scale_crop(images, wanted["size"], tuple(wanted["crop"]))
        if scale:
            padded = F.pad(images, (PAD,) * 4, value=empty)
            images = random_scale_crop(padded, images.shape[-1], tuple(scale))
        if wanted.get("flip"):
            images = random_flip(images)
        if colours:
            images = pca_lighting(images, colours, wanted["colours"])
        if wanted.get("shift"):
            images = random_shift(images, wanted["shift"], empty)
        return images

    return augment


def new_network(settings: Settings, seed: int, data: ImageData) -> VGGNet:
    """Return the network of settings["model"] for this data, with weights drawn from the seed."""
    torch.manual_seed(seed)
    return VGGNet(data.train.tensors[0].shape[1], len(data.classes), **settings["model"])


def own_network(settings: Settings, seed: int) -> Trained:
    """Return the book's network of settings["weights"], or its like with weights of the seed.

    The global generator stands where the seed has put it.
    """
    found = load_trained(settings["weights"])
    torch.manual_seed(seed)
    if settings["trained"]:
        return found
    assert found.model.arguments is not None
    return found._replace(model=VGGNet(**found.model.arguments).eval())


def fit_network(
    model: VGGNet,
    data: ImageData,
    settings: Settings,
    seed: int,
    device: str | None = None,
    *,
    curve: bool = False,
) -> list[Row]:
    """Train a network by settings["fit"] and settings["augment"]; return the history.

    Nothing is held out. `test_loss` and `test_error` stand in the last row, or with `curve` in all:
    then `test_set` of the experiment must say so.
    """
    history = fit(
        model,
        data.train,
        data.test if curve else None,  # it decides nothing, since the schedule is fixed
        test=None if curve else data.test,
        augment=augmentation(settings, data, seed),
        seed=seed,
        device=device,
        progress=False,
        **settings["fit"],
    )
    return [{key.replace("validation_", "test_"): row[key] for key in row} for row in history]


def train_and_report(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train one network; the measures are those of the last epoch, never of the best one."""
    data = load(settings, seed, folder)
    model = new_network(settings, seed, data)
    history = fit_network(model, data, settings, seed, curve=True)
    return {"measures": {"test_error": history[-1]["test_error"]}, "history": history}
