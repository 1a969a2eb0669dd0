"""Evaluation as in the paper: many views of an image, several networks, top-k error.

    data --rescale to each Q--> views --network, softmax--> posteriors --average--> top_k_error

The views of an image at one scale are the whole of it (dense) or a grid of crops, each with its
mirror image. What is averaged over views, over scales and over networks is always the softmax
posterior (Sect. 4.2 to 4.4). Where the paper leaves something open, the docstrings say so.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 3.2 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from vgg_utils.augmentation import rescale
from vgg_utils.configs import positive
from vgg_utils.inputs import check_images, evaluating, unwrap
from vgg_utils.model import VGGNet, fully_convolutional
from vgg_utils.user_data import as_dataset, check_labels, collate

View = tuple[int, torch.Tensor]  # the number of the image, and (channels, height, width)
Cut = Callable[[torch.Tensor], list[torch.Tensor]]


def evaluation_scales(train_scale: int | tuple[int, int], step: int = 32) -> tuple[int, int, int]:
    """Return the test scales Q of the paper's multi-scale evaluation for a training scale S.

    Fixed S: S - step, S and S + step. Jittered (S_min, S_max): S_min, the mid-point (rounded down)
    and S_max. The middle one is the Q of the single-scale evaluation (Sect. 4.1, 4.2). The paper's
    `step` of 32 belongs to S of 256 and 384; smaller images want a smaller one.

    Raises ValueError unless 0 < step < S, or 0 < S_min <= S_max.
    """
    if isinstance(train_scale, int):
        middle, step = positive("train_scale", train_scale), positive("step", step)
        if step >= middle:
            raise ValueError(f"step must be smaller than the scale {middle}, got {step}")
        return middle - step, middle, middle + step
    low, high = (positive("each end of train_scale", end) for end in train_scale)
    if low > high:
        raise ValueError(f"train_scale must be (S_min, S_max), got {train_scale}")
    return low, (low + high) // 2, high


def crop_grid(image: torch.Tensor, size: int, grid: int = 5) -> list[torch.Tensor]:
    """Cut grid x grid windows of size x size from (..., H, W), row by row; they share its memory.

    The paper says "regular 5x5 grid" and no more. Here the grid reaches from edge to edge, as the
    random crops of training do, in equal steps: window k of a side begins at pixel
    k (side - size) / (grid - 1), rounded down. A grid of 1 is the centre.

    Raises ValueError for a size or grid below 1, and an image smaller than the window.
    """
    size, grid = positive("size", size), positive("grid", grid)
    height, width = image.shape[-2:]
    if size > min(height, width):
        raise ValueError(f"a crop of {size} pixels does not fit into an image of {height}x{width}")
    tops, lefts = (
        [k * (side - size) // (grid - 1) for k in range(grid)] if grid > 1 else [(side - size) // 2]
        for side in (height, width)
    )
    return [image[..., top : top + size, left : left + size] for top in tops for left in lefts]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: Sequence[Any] | Dataset[Any],
    scales: Sequence[int],
    *,
    protocol: str = "dense",
    flip: bool = True,
    grid: int = 5,
    crop_size: int | None = None,
    softmax_first: bool = False,
    batch_size: int = 32,
    progress: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the averaged posteriors (N, classes), float32, and the labels (N,), on the CPU.

    Arguments:
        model: maps images (N, channels, H, W) to scores (N, classes); wrapped or not. "dense" needs
            a `VGGNet`.
        data: one part of an `ImageData`, such as `data.test`, images and labels as two tensors, or
            a list or data set of pairs (image, label). Images are (channels, H, W), each of its own
            size, whole, float, with the training set's mean subtracted. The test part of an
            `ImageFiles` cuts its images; for whole ones give it another transform:
            `data.test.transform = lambda image: image - data.mean[:, None, None]`.
        scales: the test scales Q, to each of which the shorter side of every image is brought.
            `evaluation_scales` has the paper's. Posteriors are averaged over them (Sect. 4.2).
        protocol: "dense": the fully convolutional form on the whole image; its class score map is
            averaged over all places. "crops": the network on a grid of crops. "both": the average
            of what these two give (Sect. 4.3).
        flip: take the mirror image of each view, of the whole or of the crop, too.
        grid: crops along a side; the paper's 5, flipped, are 50 a scale (see `crop_grid`).
        crop_size: side of a crop in pixels; by default `model.image_size`, the paper's 224.
        softmax_first: in "dense", apply the softmax at every place of the map and average after.
            The paper leaves the order open, but speaks of posteriors only of images.
        batch_size: the most views in one forward pass, which changes nothing but rounding.
        progress: show a bar.

    Images are read one at a time, and one sum is kept for each. Works as `predict` does.

    Raises ValueError, before any work, for no images, a setting out of range, and a Q too small for
    the crop or the dense form; later, with its number, for an image that `check_images` refuses, a
    label that is no integer, and scores that are NaN.
    """
    network = unwrap(model)
    pairs: Any = as_dataset(data, "data set")
    count = len(pairs)
    if protocol not in ("dense", "crops", "both"):
        raise ValueError(f"unknown protocol {protocol!r}: choose 'dense', 'crops' or 'both'")
    if isinstance(scales, int) or not len(scales):
        raise ValueError(f"scales must be a list of at least one Q, such as [256], got {scales!r}")
    scales = [positive("each of scales", scale) for scale in scales]
    batch_size, grid = positive("batch_size", batch_size), positive("grid", grid)

    if not isinstance(network, VGGNet) and (protocol != "crops" or crop_size is None):
        how = "'crops' with a `crop_size` takes any network"
        raise ValueError(f"{protocol!r} needs a VGGNet, got {type(network)}: {how}")
    ways: list[tuple[nn.Module, int, Cut]] = []
    if protocol != "crops":
        ways.append((fully_convolutional(network), network.image_size, lambda image: [image]))
    if protocol != "dense":
        size = positive("crop_size", network.image_size if crop_size is None else crop_size)
        ways.append((model, size, lambda image: crop_grid(image, size, grid)))
    least = max(side for _, side, _ in ways)
    if min(scales) < least:
        raise ValueError(f"Q = {min(scales)} is too small: {protocol!r} needs at least {least}")

    device = next(model.parameters(), torch.empty(0)).device
    labels = torch.zeros(count, dtype=torch.int64)

    def views(cut: Cut) -> Iterator[View]:
        for index in tqdm(range(count), unit="image", disable=not progress, leave=False):
            images, labels[index] = collate([(index, pairs[index])], "data set")
            _check_image(index, images, model)
            image = images[0].to(device)
            for scale in scales:
                for view in cut(rescale(image, scale)):
                    yield index, view
                    if flip:
                        yield index, view.flip(-1)

    averages = []
    with evaluating(model):
        for net, _, cut in ways:
            sums, numbers = torch.zeros(0), torch.zeros(count, 1)  # of each image's posteriors
            for indices, batch in _batches(views(cut), batch_size):
                scores = net(batch).float()
                scores = scores.reshape(*scores.shape[:2], -1)  # (n, classes, places of the map)
                found = scores.softmax(1).mean(2) if softmax_first else scores.mean(2).softmax(1)
                posteriors = found.double().cpu()
                if posteriors.isnan().any():
                    first = min(indices[posteriors.isnan().any(1)].tolist())
                    raise ValueError(f"the scores of image {first} are NaN: has training diverged?")
                if not len(sums):
                    sums = torch.zeros(count, posteriors.shape[1]).double()
                sums.index_add_(0, indices, posteriors)
                numbers.index_add_(0, indices, torch.ones(len(indices), 1))
            averages.append((sums / numbers).float())
    return ensemble(averages), labels


def _check_image(index: int, images: torch.Tensor, model: nn.Module) -> None:
    if images.dim() != 4:
        got = tuple(images.shape[1:])
        raise ValueError(f"expected images (channels, height, width), image {index} is {got}")
    try:
        check_images(images, model, any_size=True)
    except ValueError as error:
        raise ValueError(f"image {index} of the data set: {error}") from error


def _batches(views: Iterable[View], most: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Stack views of equal size; as soon as `most` wait, yield the largest stack of them."""
    waiting: dict[torch.Size, list[View]] = {}
    total = 0
    for view in views:
        waiting.setdefault(view[1].shape, []).append(view)
        total += 1
        if total == most:
            group = waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
            total -= len(group)
            yield torch.tensor([index for index, _ in group]), torch.stack([v for _, v in group])
    for group in waiting.values():
        yield torch.tensor([index for index, _ in group]), torch.stack([v for _, v in group])


def ensemble(posteriors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the average of several networks' posteriors (N, classes), for the same images.

    The paper combines networks so (Sect. 4.4), and dense evaluation with crops (Sect. 4.3). Logits
    will not do: their average would favour the network whose logits are largest.

    Raises ValueError for none at all, shapes that differ, and rows that do not sum to 1.
    """
    if not len(posteriors):
        raise ValueError("there is nothing to average: give at least one network's posteriors")
    shapes = [tuple(each.shape) for each in posteriors]
    if len(shapes[0]) != 2 or len(set(shapes)) > 1:
        what = "an ensemble needs the same classes and the same images from all networks"
        raise ValueError(f"{what}: one shape (N, classes), got {', '.join(map(str, shapes))}")
    for number, each in enumerate(posteriors):
        if not torch.allclose(each.sum(1), torch.ones(len(each)).to(each), atol=1e-3):
            raise ValueError(f"rows of entry {number} do not sum to 1: give posteriors, not logits")
    return torch.stack(list(posteriors)).mean(0)


@torch.no_grad()
def predict(model: nn.Module, images: torch.Tensor, *, batch_size: int = 256) -> torch.Tensor:
    """Return the logits (N, classes), on the CPU, of images (N, channels, height, width).

    Works on the model's device, in `eval` mode, and puts all modes back. Raises as `check_images`.
    """
    check_images(images, model)
    device = next(model.parameters(), torch.empty(0)).device  # the CPU for a model without any
    parts = images.split(positive("batch_size", batch_size))
    with evaluating(model):
        return torch.cat([model(part.to(device)).float().cpu() for part in parts])


def top_k_error(logits: torch.Tensor, labels: torch.Tensor, k: int = 1) -> float:
    """Return the percentage of images whose label is not among the k highest scores.

    logits, or posteriors, (N, classes); labels (N,). The paper's measures are k = 1 and k = 5
    (Sect. 4). Raises ValueError for shapes that do not fit together, no images at all, a k beyond
    the number of classes, a label that is no class, or a NaN.
    """
    if logits.dim() != 2 or labels.shape != logits.shape[:1] or not len(labels):
        got = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"expected logits (N, classes) and labels (N,), N at least 1, got {got}")
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"k must lie between 1 and {logits.shape[1]} classes, got {k}")
    check_labels(labels, "images", logits.shape[1])
    if logits.isnan().any():
        raise ValueError("the logits hold NaN, so no class is highest: did the training diverge?")
    hit = (logits.topk(k, dim=1).indices == labels[:, None]).any(dim=1)
    return 100 * int((~hit).sum()) / len(hit)
