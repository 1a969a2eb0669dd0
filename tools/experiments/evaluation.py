"""Lesson 8: what more views of an image, more scales and a second network bring (Tables 3 to 6).

On digit scenes, the paper's protocol with every length divided by eight: crops of 28 pixels instead
of 224, images brought to S or Q = 32, 48 and 64 instead of 256, 384 and 512. The networks are the
first three blocks of a configuration without the third pool, so their stride is 4 instead of 32.
Then all maps have the paper's sizes: fc6 is a 7x7 convolution, and the class map is 2x2, 6x6 or
10x10.

On photographs, every length times 4/7: crops of 128 pixels, images brought to S or Q = 146, 219 and
293. Imagenette's have 320 pixels on their shorter side, so none is enlarged. The same by 2/7 for
photographs of 180 pixels. The networks are without their last pool or two, so that the stride
shrinks alike, to 16 or 8 pixels, and the class maps are about as large as the paper's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import Dataset

from experiments.base import Experiment, Settings, device, load
from vgg_utils.augmentation import TrainTransform, colour_statistics, random_scale_crop
from vgg_utils.configs import LayerSpec, layer_configs
from vgg_utils.data import FileDataset, ImageData, ImageFiles, load_folder, load_imagenette
from vgg_utils.evaluation import ensemble, evaluate, evaluation_scales, top_k_error
from vgg_utils.images import read_image
from vgg_utils.model import VGGNet
from vgg_utils.training import Row, fit

Ways = dict[str, torch.Tensor]  # posteriors (N, classes) by the way of looking
STEP = 4  # between the scales of one network on scenes, as the paper's 32


def first_blocks(name: str, blocks: int) -> list[LayerSpec]:
    """Return the configuration's first blocks, without the pool at their end."""
    layers: list[LayerSpec] = []
    for entry in layer_configs[name]:
        blocks -= entry == "M"
        if not blocks:
            break
        layers.append(entry)
    return layers


def without_last_pools(name: str, count: int) -> list[LayerSpec]:
    """Return a configuration without its last `count` pools, for a smaller stride."""
    layers = list(layer_configs[name])
    for _ in range(count):
        del layers[len(layers) - 1 - layers[::-1].index("M")]
    return layers


def train_on_scenes(
    config: str, data: ImageData, settings: Settings, seed: int
) -> tuple[VGGNet, list[Row]]:
    """Train on random crops at scale S."""
    scale = settings["scale"]
    torch.manual_seed(seed)
    layers = first_blocks(config, settings["blocks"])
    model = VGGNet(1, len(data.classes), layers, **settings["model"])
    history = fit(
        model,
        data.train,
        augment=lambda batch: random_scale_crop(batch, model.image_size, scale),
        seed=seed,
        progress=False,
        **settings["fit"],
    )
    return model, history


def scenes(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train one network for each configuration on digit scenes; report errors, see `look`.

    "A dense, soft-max first 32,48,64" averages over the places after the soft-max, not before.
    """
    data = load(settings, seed, folder)
    scales = variant_scales(settings, STEP)
    labels = data.test.tensors[1]
    measures: dict[str, float] = {}
    histories: dict[str, Any] = {}
    found: dict[str, Ways] = {}
    for config in settings["configs"]:
        model, histories[config] = train_on_scenes(config, data, settings, seed)
        # Digits have no mirror image, so the protocol's flip is left out.
        give = partial(evaluate, model, data.test, flip=False, batch_size=64, progress=False)
        errors, found[config] = look(config, give, labels, scales, settings)
        measures |= errors | centre_error(config, give, labels, scales)
        if settings["crops"]:
            first = give(scales, softmax_first=True)[0]
            name = f"{config} dense, soft-max first {','.join(map(str, scales))}"
            measures[name] = top_k_error(first, labels)
    return {"measures": measures | together(found, labels, scales), "history": histories}


def load_photos(settings: Settings, folder: Path, seed: int = 0) -> ImageFiles:
    """Return the photographs, to be trained on at the variant's S.

    Every variant reads the same files, those that the widest S calls for: Imagenette has a smaller
    version, which would do for the small S alone. With settings["folds"] the seed chooses a fold.
    """
    name, widest, size = settings["data"], tuple(settings["widest"]), settings["crop"]
    if name == "imagenette":
        data = load_imagenette(folder, size=size, scale=widest)
    else:
        data = load_folder(folder / name, size=size, scale=widest)
    if folds := settings.get("folds"):
        data = one_fold(data, seed % folds, folds)
    transform = cast(TrainTransform, data.train.transform)
    data.train.transform = replace(transform, scale=tuple(settings["scale"]))
    return data


def one_fold(data: ImageFiles, fold: int, folds: int) -> ImageFiles:
    """Return the same photographs with every `folds`th of each class to test on, from `fold` on.

    Mean and colours are those of the others, on which the network is trained.
    """
    samples: dict[int, list[tuple[str, int]]] = {}
    for path, label in sorted(data.train.samples + data.test.samples):
        samples.setdefault(label, []).append((path, label))
    test = [sample for each in samples.values() for sample in each[fold::folds]]
    train = [sample for each in samples.values() for sample in each if sample not in test]
    colours = colour_statistics(read_image(path) for path, _ in train[:: max(1, len(train) // 500)])
    transform = replace(cast(TrainTransform, data.train.transform), colours=colours)
    seen = replace(data.preprocess, mean=colours.mean.tolist())
    return ImageFiles(
        FileDataset(train, transform), FileDataset(test, seen), data.classes, colours.mean
    )


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


def train_on_photos(
    config: str, data: ImageFiles, settings: Settings, seed: int
) -> tuple[VGGNet, list[Row]]:
    """Train on random crops at scale S."""
    torch.manual_seed(seed)
    layers = without_last_pools(config, settings["without_pools"])
    model = VGGNet(3, len(data.classes), layers, **settings["model"])
    place = settings.get("device", device())
    history = fit(model, data.train, seed=seed, device=place, progress=False, **settings["fit"])
    return model, history


def photos(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train one network for each configuration on photographs; report errors, see `look`.

    All views come with their mirror images, as in the paper.
    """
    scales = variant_scales(settings, settings["step"])
    measures: dict[str, float] = {}
    histories: dict[str, Any] = {}
    found: dict[str, Ways] = {}
    for config in settings["configs"]:
        data = load_photos(settings, folder, seed)
        model, histories[config] = train_on_photos(config, data, settings, seed)
        whole = Whole(data)
        labels = torch.tensor([label for _, label in whole.kept])
        give = partial(evaluate, model, whole, batch_size=128, progress=False)
        errors, found[config] = look(config, give, labels, scales, settings)
        measures |= errors
        if settings["crops"]:
            measures |= centre_error(config, give, labels, scales)
    return {"measures": measures | together(found, labels, scales), "history": histories}


def variant_scales(settings: Settings, step: int) -> Sequence[int]:
    low, high = settings["scale"]
    return evaluation_scales(low if low == high else (low, high), step)


def look(
    config: str,
    give: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    labels: torch.Tensor,
    scales: Sequence[int],
    settings: Settings,
) -> tuple[dict[str, float], Ways]:
    """Return one network's errors, named by protocol and Q, and its posteriors over the scales.

    `give` is `evaluate` for the network and its test images. "A dense 48" is the whole image at
    Q = 48; "A dense 32,48,64" the average over three scales, likewise "crops" (5x5 a scale) and
    "both". Crops, which cost most, and both together are there with settings["crops"] only.
    """
    at = {scale: give([scale])[0] for scale in sorted({*settings["curve"], *scales})}
    ways = {"dense": ensemble([at[scale] for scale in scales])}
    if settings["crops"]:
        ways["crops"] = give(scales, protocol="crops")[0]
        ways["both"] = ensemble([ways["dense"], ways["crops"]])
    errors = {f"{config} dense {scale}": top_k_error(at[scale], labels) for scale in at}
    return errors | _errors(config, ways, labels, scales), ways


def centre_error(
    config: str,
    give: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    labels: torch.Tensor,
    scales: Sequence[int],
) -> dict[str, float]:
    """Return "A crop 48": the error on one crop from the centre at the middle scale."""
    centre = give([scales[1]], protocol="crops", grid=1)[0]
    return {f"{config} crop {scales[1]}": top_k_error(centre, labels)}


def together(
    found: Mapping[str, Ways], labels: torch.Tensor, scales: Sequence[int]
) -> dict[str, float]:
    """Return "A+B both 32,48,64": the errors of the networks' average; of one network, nothing."""
    several = list(found.values())
    if len(several) < 2:
        return {}
    averages = {way: ensemble([ways[way] for ways in several]) for way in several[0]}
    return _errors("+".join(found), averages, labels, scales)


def _errors(name: str, ways: Ways, labels: torch.Tensor, scales: Sequence[int]) -> dict[str, float]:
    every = ",".join(map(str, scales))
    return {f"{name} {way} {every}": top_k_error(ways[way], labels) for way in ways}


def variants(small: int, middle: int, large: int) -> dict[str, Settings]:
    """The paper's S = 256, S = 384 and S in [256;512], at these lengths."""
    return {
        f"S = {small}": {"scale": [small, small], "configs": ["D"], "crops": False},
        f"S = {middle}": {"scale": [middle, middle], "configs": ["D"], "crops": False},
        f"S in [{small};{large}]": {"scale": [small, large], "configs": ["D", "E"], "crops": True},
    }


QUESTION = "What do jitter, scales, views and a second network bring on photographs?"
FLOWERS = (
    "flowers5 in the folder of the data, both its parts: 1,300 photographs of five classes from "
    "the TensorFlow flower photos, 180 to 320 pixels a side, in five folds of 260 to test on, one "
    "a seed, and 1,040 to train on"
)
PAPER = "Sect. 3.2, 4.1 to 4.4, Tables 3 to 6"

EXPERIMENTS = {
    "evaluation": Experiment(
        question="What do more views, more scales and a second network bring at test time?",
        paper=PAPER,
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
            "fit": {"epochs": 6, "batch_size": 16, "milestones": [5]},
            "curve": [28, 32, 36, 40, 44, 48, 52, 56, 64, 72],
        },
        run=scenes,
        minutes=6,
    ),
    "evaluation_photos": Experiment(
        question=QUESTION,
        paper=PAPER,
        data="Imagenette, ten classes of ImageNet, shorter side 320 pixels: 9,469 photographs to "
        "train on, 3,925 to test on",
        seeds=[1, 2, 3],
        variants=variants(146, 219, 293),
        common={
            "data": "imagenette",
            "widest": [146, 293],
            "crop": 128,
            "step": 18,
            "curve": [128, 146, 182, 219, 256, 293],
            "without_pools": 1,
            "model": {"batch_norm": True, "pool_size": 8, "hidden_features": 1024},
            "fit": {
                "epochs": 30,
                "batch_size": 64,
                "learning_rate": 0.02,
                "milestones": [20, 26],
                "precision": "auto",
            },
        },
        run=photos,
        device="cuda",
        minutes=60,  # an estimate: it has not run yet
    ),
    "evaluation_flowers": Experiment(
        question=QUESTION,
        paper=PAPER,
        data=FLOWERS,
        seeds=[1, 2, 3, 4, 5],
        variants=variants(73, 110, 146),
        common={
            "data": "flowers5",
            "folds": 5,
            "widest": [73, 146],
            "crop": 64,
            "step": 9,
            "curve": [64, 73, 91, 110, 128, 146],
            "without_pools": 2,
            "model": {"batch_norm": True, "pool_size": 8, "hidden_features": 1024},
            "fit": {
                "epochs": 60,
                "batch_size": 32,
                "learning_rate": 0.02,
                "milestones": [40, 52],
                "precision": "auto",
            },
        },
        run=photos,
        device="cuda",
        minutes=35,  # an estimate: it has not run yet
    ),
}
