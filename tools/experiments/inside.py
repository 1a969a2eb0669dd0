"""Lesson 12: where a trained network looks (Grad-CAM, occlusion), and what it keeps (inversion)."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from experiments.base import Experiment, Settings, own_network
from experiments.localisation import (
    CLASSIFIER,
    DATA,
    SEEDS,
    SIZE,
    middle_squares,
    percent,
    study,
    untrained,
)
from experiments.photographs import cifar10
from vgg_utils.augmentation import Preprocess
from vgg_utils.images import read_image
from vgg_utils.inside import grad_cam
from vgg_utils.localise import crop
from vgg_utils.model import VGGNet
from vgg_utils.pictures import picture


def looking(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Report how often the brightest point of the heat map lies in the digit's box, percent."""
    base = study(settings, seed)
    net = base.net
    if not settings["trained"]:
        net = untrained(settings, seed)
    middle, corners = middle_squares(base.test)
    _, boxes = crop(base.test.images, base.test.boxes, corners, SIZE)  # in units of the square
    heat = grad_cam(net, middle, base.test.labels)
    rows = heat.shape[1]
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(rows)).flip(1)  # (16, 2): x, y
    places = (places + 0.5) / rows - 0.5
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2

    def inside(points: torch.Tensor) -> torch.Tensor:
        return ((points >= low) & (points <= high)).all(dim=1)

    hit = inside(places[heat.flatten(1).argmax(dim=1)])
    central = inside(torch.zeros(2))
    chance = torch.stack([inside(place) for place in places]).float().mean(dim=0)  # (N,)
    return {
        "measures": {
            "hit": percent(hit),
            "by_chance": percent(chance),
            "middle_in_box": percent(central),
            "off_centre_hit": percent(hit[~central]),
            "off_centre_by_chance": percent(chance[~central]),
        }
    }


def sheets(count: int, seed: int, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sheets of 2x2 test photographs of four classes (N, 3, 64, 64), and the classes."""
    images, labels = cifar10(folder).test.tensors
    generator = torch.Generator().manual_seed(seed)
    chosen, classes = [], []
    for _ in range(count):
        four = torch.randperm(10, generator=generator)[:4]
        for wanted in four:
            places = (labels == wanted).nonzero()[:, 0]
            chosen.append(places[torch.randint(len(places), (), generator=generator)])
        classes.append(four)
    tiles = images[torch.stack(chosen)].view(count, 2, 2, 3, 32, 32)
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(count, 3, 64, 64), torch.stack(classes)


@torch.no_grad()
def occlusion(net: VGGNet, images: torch.Tensor, patch: int, step: int) -> torch.Tensor:
    """Return how much each class's score falls under a grey patch: (N, classes, rows, columns)."""
    whole, side = net(images), images.shape[-1]
    places = range(0, side - patch + 1, step)
    falls = []
    for top in places:
        for left in places:
            hidden = images.clone()
            hidden[:, :, top : top + patch, left : left + patch] = 0
            falls.append(whole - net(hidden))
    return torch.stack(falls, 2).unflatten(2, (len(places), len(places)))


def pointing(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Report how often the brightest place of a map lies in the asked photograph, percent."""
    net = own_network(settings, seed).model
    images, classes = sheets(settings["sheets"], seed, folder)
    patch, step = settings["patch"], settings["step"]
    falls = occlusion(net, images, patch, step)
    hits: dict[str, list[torch.Tensor]] = {"grad_cam": [], "occlusion": []}
    share = []
    for tile in range(4):
        asked = classes[:, tile]
        heat = grad_cam(net, images, asked)  # (N, 4, 4)
        fall = falls[torch.arange(len(images)), asked]  # (N, rows, columns)
        for name, found, size, stride in (
            ("grad_cam", heat, 64 // heat.shape[-1], 64 // heat.shape[-1]),
            ("occlusion", fall, patch, step),
        ):
            row, column = (
                (place * stride + size // 2) // 32
                for place in divmod(found.flatten(1).argmax(1).numpy(), found.shape[-1])
            )
            hits[name].append(torch.from_numpy((row == tile // 2) & (column == tile % 2)))
        whole, quarters = heat.sum((1, 2)), heat.unflatten(1, (2, -1)).unflatten(3, (2, -1))
        own = quarters[:, tile // 2, :, tile % 2].sum((1, 2))
        share.append((own / whole)[whole > 0])
    return {
        "measures": {
            **{name: percent(torch.cat(found)) for name, found in hits.items()},
            "share_of_heat": 100 * torch.cat(share).mean().item(),
        }
    }


@torch.enable_grad()
def paint(
    layers: nn.Module, target: torch.Tensor, like: torch.Tensor, smooth: float, steps: int
) -> torch.Tensor:
    """Return pictures, painted as in the lesson, whose maps are about the target."""
    size = like.shape[2:]
    coats = [
        (0.01 * torch.randn(*like.shape[:2], *(max(n // k, 1) for n in size))).requires_grad_()
        for k in (1, 2, 4, 8, 16)
    ]
    adam = torch.optim.Adam(coats, lr=0.05)
    for _ in range(steps):
        large = [F.interpolate(coat, size, mode="bilinear") for coat in coats]
        pictures = torch.stack(large).sum(0).sigmoid()
        difference = (layers(pictures - like) - target).square().mean() / target.square().mean()
        steps_between = (pictures.diff(dim=axis).square().mean() for axis in (2, 3))
        adam.zero_grad()
        (difference + smooth * sum(steps_between)).backward()
        adam.step()
    return pictures.detach()


def inversion(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Paint photographs from the maps after a block; report how far their pixels are off (RMS)."""
    net, _, preprocess = own_network(settings, seed)
    net.requires_grad_(False)
    side, mean = settings["side"], torch.tensor(preprocess.mean)[:, None, None]
    cut = Preprocess(side, side, [0.0, 0.0, 0.0])
    images = torch.stack([cut(read_image(picture(name))) for name in settings["pictures"]])
    pools = [i for i, layer in enumerate(net.features) if isinstance(layer, nn.MaxPool2d)]
    torch.manual_seed(seed)
    measures = {}
    for block, smooth in settings["smooth"].items():
        layers = net.features[: pools[int(block) - 1] + 1]
        target = layers(images - mean)
        painted = paint(layers, target, mean.expand_as(images), smooth, settings["steps"])
        off = (painted - images).square().mean((1, 2, 3)).sqrt().mean()
        measures[f"off_{block}"] = off.item()
    return {"measures": measures}


EXPERIMENTS = {
    "inversion": Experiment(
        question="How near do pictures come that are painted from what a block hands on?",
        data="seven photographs of the book, of 48x48 pixels",
        seeds=[1, 2, 3, 4, 5],
        variants={"trained": {"trained": True}, "untrained": {"trained": False}},
        common={
            "weights": "A",
            "pictures": ["cat", "coffee", "daisy", "dandelion", "rose", "sunflower", "tulip"],
            "side": 48,
            "smooth": {"1": 0.3, "2": 1, "3": 3, "4": 10, "5": 30},
            "steps": 100,
        },
        run=inversion,
        minutes=5,
    ),
    "pointing": Experiment(
        question="How often does a map's brightest place lie in the photograph that was asked for?",
        data="sheets of 2x2 of CIFAR-10's test photographs, of four classes",
        seeds=[1, 2, 3, 4, 5],
        variants={"trained": {"trained": True}, "untrained": {"trained": False}},
        common={"weights": "A", "sheets": 100, "patch": 16, "step": 8},
        run=pointing,
        minutes=4,
    ),
    "grad_cam": Experiment(
        question="How often is the brightest point of Grad-CAM on the digit?",
        data=DATA,
        seeds=SEEDS,
        variants={"trained": {"trained": True}, "untrained": {"trained": False}},
        common={"classifier": CLASSIFIER},
        run=looking,
        minutes=1,
    ),
}
