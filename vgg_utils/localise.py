"""Where an object is: boxes, a network that predicts them, and where a classifier looks.

A box is (centre x, centre y, width, height), as in App. A.1; x runs to the right and y down, and
the pixel in the corner covers 0 to 1.

Source: Simonyan and Zisserman, arXiv:1409.1556, App. A (localisation); Sermanet et al.,
arXiv:1312.6229, Sect. 4.3 (merging); Selvaraju et al., arXiv:1610.02391, Sect. 3 (Grad-CAM).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vgg_utils.model import VGGNet
from vgg_utils.training import TrainingError


class BoxedImages(NamedTuple):
    """Images of one size with one object each.

    `images` (N, channels, side, side); `labels` (N,), int64; `boxes` (N, 4) in pixels; `classes`,
    the names of the labels.
    """

    images: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor
    classes: list[str]


def iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of each pair: (..., 4) and (..., 4) give (...).

    The shapes before the 4 broadcast. Of two boxes without area it is 0. A predicted box with a
    negative side counts as empty. Raises ValueError where the last dimension is not 4.
    """
    if boxes.shape[-1:] != (4,) or others.shape[-1:] != (4,):
        raise ValueError(
            f"boxes must have shape (..., 4), got {tuple(boxes.shape)} and {tuple(others.shape)}"
        )
    lows, highs, areas = [], [], []
    for box in (boxes, others):
        sides = box[..., 2:].clamp(min=0)
        lows.append(box[..., :2] - sides / 2)
        highs.append(box[..., :2] + sides / 2)
        areas.append(sides.prod(-1))
    shared = (torch.minimum(*highs) - torch.maximum(*lows)).clamp(min=0).prod(-1)
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)


def crop(
    images: torch.Tensor, boxes: torch.Tensor, corners: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a square of `size` pixels from each image and move its box along.

    Arguments:
        images: (N, channels, height, width).
        boxes: (N, 4) in pixels of the image.
        corners: (N, 2), int64: left and top of each square.
        size: side of the squares.

    Returns the squares (N, channels, size, size), and the boxes (N, 4) as a network is to predict
    them: in units of `size`, with the centre counted from the square's middle. A box may reach
    beyond its square. Raises ValueError for a square that does not lie within the image.
    """
    height, width = images.shape[-2:]
    room = torch.tensor([width - size, height - size])
    if (corners < 0).any() or (corners.cpu() > room).any():
        raise ValueError(f"a square of {size} pixels does not fit there in {height}x{width} pixels")
    squares = torch.stack(
        [
            image[:, top : top + size, left : left + size]
            for image, (left, top) in zip(images, corners.tolist(), strict=True)
        ]
    )
    moved = boxes.clone()
    moved[:, :2] -= corners.to(boxes) + size / 2
    return squares, moved / size


def uncrop(predicted: torch.Tensor, corners: torch.Tensor, size: int) -> torch.Tensor:
    """Turn boxes (N, 4) that a network predicted for squares into pixels of the image."""
    boxes = predicted * size
    boxes[:, :2] += corners.to(boxes) + size / 2
    return boxes


def random_corners(images: torch.Tensor, size: int) -> torch.Tensor:
    """Draw a left and a top for each image, (N, 2), uniform over all squares that fit."""
    height, width = images.shape[-2:]
    left = torch.randint(0, width - size + 1, (len(images),))
    return torch.stack([left, torch.randint(0, height - size + 1, (len(images),))], dim=1)


def squares(
    images: torch.Tensor, side: int, size: int, stride: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rescale square images to `side` pixels and cut all squares of `size`, `stride` apart.

    images (N, channels, height, height) give squares (N, M, channels, size, size) and their left
    and top in the rescaled image, (M, 2). The paper computes all at once, with the fully connected
    layers as convolutions (Sect. 3.2); cut out, each square is padded at its own border.

    Raises ValueError for images that are not square, or a side below `size`.
    """
    if images.shape[-1] != images.shape[-2] or side < size:
        raise ValueError(
            f"expected square images and a side of at least {size} pixels, got "
            f"{tuple(images.shape[-2:])} and {side}"
        )
    if side != images.shape[-1]:
        images = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    cut = images.unfold(2, size, stride).unfold(3, size, stride)  # (N, C, rows, columns, ...)
    places = torch.arange(cut.shape[2]) * stride
    corners = torch.cartesian_prod(places, places).flip(1)  # rows outside, columns inside
    return cut.flatten(2, 3).transpose(1, 2), corners


def box_regressor(classifier: VGGNet, classes: int = 1) -> VGGNet:
    """Return a copy whose last layer, new and random, puts out `classes` boxes (N, 4 * classes).

    One box is single-class regression (SCR), one for each class per-class regression (PCR). All
    other layers start from the classifier's (App. A.1). The new layer is small, standard deviation
    0.01, so that the first boxes lie near the middle.
    """
    model = copy.deepcopy(classifier)
    last = model.classifier[-1]
    assert isinstance(last, nn.Linear)
    new = nn.Linear(last.in_features, 4 * classes).to(last.weight.device)
    nn.init.normal_(new.weight, std=0.01)
    nn.init.zeros_(new.bias)
    model.classifier[-1] = new
    return model


def boxes_of(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Take from outputs (N, 4 * classes) the box (N, 4) of each label; of one class, its only box.

    Raises ValueError for outputs that are no boxes.
    """
    if outputs.dim() != 2 or outputs.shape[1] % 4 or not outputs.shape[1]:
        raise ValueError(f"outputs must have shape (N, 4 * classes), got {tuple(outputs.shape)}")
    boxes = outputs.view(len(outputs), -1, 4)
    if boxes.shape[1] == 1:
        return boxes[:, 0]
    return boxes[torch.arange(len(boxes), device=boxes.device), labels]


def fit_boxes(
    model: VGGNet,
    data: BoxedImages,
    *,
    size: int,
    layers: str = "all",
    epochs: int = 4,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    drop_at: Sequence[int] = (),
    seed: int = 0,
) -> list[float]:
    """Train a box regressor on random squares of the images; return the mean loss of each epoch.

    The loss is half the squared Euclidean distance between the predicted and the true box of the
    right class, in units of the square, averaged over a batch. SGD as in `vgg_utils.training.fit`.

    Arguments:
        model: from `box_regressor`.
        data: images already centred (Sect. 2.1), with their boxes.
        size: side of the squares, that of the classifier's input.
        layers: which learn: "all", or "fc", which leaves the convolutions as they are (App. A.1).
        epochs, batch_size, learning_rate, seed: as in `fit`.
        drop_at: epochs after which the learning rate is divided by ten.

    Batch normalisation keeps the statistics of the classifier in either case, so that nothing but
    the choice of layers differs. Raises ValueError for another word than "all" or "fc", and
    TrainingError as soon as the loss is not finite.
    """
    if layers not in ("all", "fc"):
        raise ValueError(f'layers must be "all" or "fc", got {layers!r}')
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    model.features.requires_grad_(layers == "all")
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=learning_rate, momentum=0.9, weight_decay=5e-4)
    history = []
    for epoch in range(1, epochs + 1):
        model.eval()
        model.classifier.train()  # dropout
        total = 0.0
        for index in torch.randperm(len(data.images)).split(batch_size):
            images = data.images[index]
            corners = random_corners(images, size)
            squares, targets = crop(images, data.boxes[index], corners, size)
            outputs = model(squares.to(device))
            predicted = boxes_of(outputs, data.labels[index].to(device))
            loss = (predicted - targets.to(device)).square().sum(dim=1).mean() / 2
            if not loss.isfinite():
                raise TrainingError(
                    f"the loss is {loss.item()} in epoch {epoch}, with a learning rate of "
                    f"{optimizer.param_groups[0]['lr']:g}: try a smaller one"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        history.append(total / len(data.images))
        if epoch in drop_at:
            for group in optimizer.param_groups:
                group["lr"] /= 10
    model.eval()
    return history


def merge_boxes(
    boxes: torch.Tensor, scores: torch.Tensor, least_iou: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge the predictions (M, 4) of several squares greedily, and add up their scores (M,).

    The two boxes of greatest IoU become one, until no two reach `least_iou`. A merged box is the
    mean of all predictions it is made of, each counting alike, and its score their sum. Sermanet et
    al. pair boxes by a score of centre distance and shared area whose scale they do not give; IoU
    stands for it here. They average the coordinates of the two boxes, and do not say whether one
    that is merged already counts for more.

    Returns boxes (K, 4) and scores (K,), the highest score first.
    """
    weights = np.ones(len(boxes))
    means, sums = boxes.double().cpu().numpy().copy(), scores.double().cpu().numpy().copy()
    while len(means) > 1:
        low, high = means[:, :2] - means[:, 2:] / 2, means[:, :2] + means[:, 2:] / 2
        sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
        shared = sides.clip(0).prod(axis=2)
        area = means[:, 2:].clip(0).prod(axis=1)
        overlap = shared / (area[:, None] + area - shared).clip(1e-9)
        np.fill_diagonal(overlap, -1)
        first, second = sorted(divmod(int(overlap.argmax()), len(means)))
        if overlap[first, second] < least_iou:
            break
        pair = [first, second]
        means[first] = np.average(means[pair], axis=0, weights=weights[pair])
        weights[first], sums[first] = weights[pair].sum(), sums[pair].sum()
        means, weights, sums = (np.delete(array, second, 0) for array in (means, weights, sums))
    order = np.argsort(-sums, kind="stable")
    return torch.from_numpy(means[order]).float(), torch.from_numpy(sums[order]).float()


def grad_cam(
    model: VGGNet, images: torch.Tensor, classes: torch.Tensor, *, batch_size: int = 64
) -> torch.Tensor:
    """Return where the evidence for a class lies: (N, height, width), on the grid of the last map.

    The last convolution's map, before the last pool where there is one, is summed over channels,
    each weighted by the mean gradient of the class's logit; what is negative becomes zero.

    Arguments:
        images: (N, channels, side, side), centred.
        classes: (N,), the class to ask for in each image.
        batch_size: the most images on the model's device at a time. The answer is on the CPU.
    """
    layers = list(model.eval().features)
    end = len(layers) - isinstance(layers[-1], nn.MaxPool2d)
    device = next(model.parameters()).device
    heat = []
    for part, wanted in zip(images.split(batch_size), classes.split(batch_size), strict=True):
        with torch.no_grad():  # below the last map no gradient is asked for
            maps = model.features[:end](part.to(device))
        maps.requires_grad_()
        pooled = model.avgpool(model.features[end:](maps))
        logits = model.classifier(torch.flatten(pooled, 1))
        chosen = logits.gather(1, wanted.to(device)[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, maps)
        weights = gradient.mean(dim=(2, 3), keepdim=True)  # (N, channels, 1, 1)
        heat.append((weights * maps).sum(dim=1).relu().detach().cpu())
    return torch.cat(heat)


def voc_box(path: str | Path) -> tuple[float, float, float, float]:
    """Return the first object's box in a PASCAL VOC annotation, in pixels.

    VOC counts pixels from 1 and includes the last, so the box begins at xmin - 1 and ends at xmax.
    Raises ValueError for a file without a box.
    """
    found = ElementTree.parse(path).find("object/bndbox")
    if found is None:
        raise ValueError(f"{path} names no object with a bndbox")
    left, top, right, bottom = (
        float(found.findtext(name, "nan")) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    left, top = left - 1, top - 1
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def load_pets(root: str | Path = "data", *, size: int = 256, download: bool = True) -> BoxedImages:
    """Return Oxford-IIIT Pet's photographs that have a head box, 37 breeds of cats and dogs.

    Each is rescaled to a smaller side of `size` pixels, bilinearly as torchvision does for its
    weights, and cut to the square in its middle; where that leaves the centre of the head outside,
    the photograph is left out. Images are uint8.

    torchvision downloads 0.8 GB to `root` once. Only its part "trainval" has boxes.
    """
    from PIL import Image
    from torchvision.datasets import OxfordIIITPet

    classes = list(OxfordIIITPet(str(root), "trainval", download=download).classes)
    folder = Path(root) / "oxford-iiit-pet"
    images, labels, boxes = [], [], []
    for line in (folder / "annotations" / "trainval.txt").read_text("utf-8").splitlines():
        name, label = line.split()[:2]
        annotation = folder / "annotations" / "xmls" / f"{name}.xml"
        if not annotation.exists():
            continue
        with Image.open(folder / "images" / f"{name}.jpg") as file:
            photo = file.convert("RGB")
        factor = size / min(photo.size)
        sides = [max(size, round(side * factor)) for side in photo.size]
        left, top = ((side - size) // 2 for side in sides)
        x, y, width, height = (value * factor for value in voc_box(annotation))
        if not (0 < x - left < size and 0 < y - top < size):
            continue
        photo = photo.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)  # as torchvision's
        photo = photo.crop((left, top, left + size, top + size))
        images.append(torch.from_numpy(np.array(photo)).permute(2, 0, 1))
        labels.append(int(label) - 1)
        boxes.append((x - left, y - top, width, height))
    return BoxedImages(torch.stack(images), torch.tensor(labels), torch.tensor(boxes), classes)
