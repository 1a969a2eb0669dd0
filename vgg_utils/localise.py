"""Where an object is: boxes, and a network that predicts them.

A box is (centre x, centre y, width, height), as in App. A.1; x runs to the right and y down, and
the pixel in the corner covers 0 to 1.

Sources: arXiv:1409.1556, App. A; for merging, Sermanet et al., arXiv:1312.6229, Sect. 4.3.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.datasets import OxfordIIITPet
from torchvision.ops import box_convert
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from vgg_utils.configs import positive
from vgg_utils.inputs import check_images, evaluating, unwrap
from vgg_utils.model import VGGNet
from vgg_utils.seeds import preserve_random_state
from vgg_utils.training import TrainingError
from vgg_utils.user_data import check_labels


class BoxedImages(NamedTuple):
    """Images of one size with one object each."""

    images: torch.Tensor  #: (N, channels, side, side)
    labels: torch.Tensor  #: (N,), whole numbers
    boxes: torch.Tensor  #: (N, 4), in pixels
    classes: list[str]  #: the names of the labels


def iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of each pair: (..., 4) and (..., 4) give (...).

    The shapes before the 4 broadcast. A box without area, or with a negative side, shares nothing.
    Raises ValueError where the last dimension is not 4.
    """
    if boxes.shape[-1:] != (4,) or others.shape[-1:] != (4,):
        raise ValueError(f"boxes have shape (..., 4), got {[*boxes.shape]} and {[*others.shape]}")
    one, other = (box_convert(each, "cxcywh", "xyxy") for each in (boxes, others))
    low, high = one[..., :2].maximum(other[..., :2]), one[..., 2:].minimum(other[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - shared).clamp(min=1e-9)


def crop(
    images: torch.Tensor, boxes: torch.Tensor, corners: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a square of `size` pixels from each image and move its box along.

    images (N, channels, height, width), boxes (N, 4) in pixels, and corners (N, 2), int64, the left
    and top of each square, give the squares (N, channels, size, size), and the boxes (N, 4) as a
    network is to predict them: in units of `size`, the centre counted from the square's middle; a
    box may reach beyond. Raises ValueError for a square that does not lie within the image.
    """
    height, width = images.shape[-2:]
    room = torch.tensor([width - size, height - size])
    if (corners < 0).any() or (corners.cpu() > room).any():
        raise ValueError(f"a square of {size} pixels does not fit there in {height}x{width} pixels")
    pairs = zip(images, corners.tolist(), strict=True)
    squares = torch.stack([image[:, y : y + size, x : x + size] for image, (x, y) in pairs])
    return squares, (boxes - F.pad(corners.to(boxes) + size / 2, (0, 2))) / size


def uncrop(predicted: torch.Tensor, corners: torch.Tensor, size: int) -> torch.Tensor:
    """Turn boxes (N, 4) that a network predicted for squares into pixels of the image."""
    return predicted * size + F.pad(corners.to(predicted) + size / 2, (0, 2))


def random_corners(images: torch.Tensor, size: int) -> torch.Tensor:
    """Draw a left and a top for each image, (N, 2), uniform over all squares that fit."""
    rooms = images.shape[-1] - size + 1, images.shape[-2] - size + 1
    return torch.stack([torch.randint(0, room, (len(images),)) for room in rooms], dim=1)


def squares(
    images: torch.Tensor, side: int, size: int, stride: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rescale square images to `side` pixels and cut all squares of `size`, `stride` apart.

    images (N, channels, height, height) give squares (N, M, channels, size, size) and their left
    and top in the rescaled image, (M, 2). The paper computes all at once (Sect. 3.2); cut out, each
    square is padded at its own border. Raises ValueError for other images, or a side below `size`.
    """
    if images.shape[-1] != images.shape[-2] or side < size:
        got = f"{tuple(images.shape[-2:])} and {side}"
        raise ValueError(f"expected square images and a side of at least {size} pixels, got {got}")
    if side != images.shape[-1]:
        images = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    cut = images.unfold(2, size, stride).unfold(3, size, stride)  # (N, C, rows, columns, ...)
    places = torch.arange(cut.shape[2]) * stride
    corners = torch.cartesian_prod(places, places).flip(1)  # rows outside, columns inside
    return cut.flatten(2, 3).transpose(1, 2), corners


def box_regressor(classifier: VGGNet, classes: int = 1) -> VGGNet:
    """Return a copy whose last layer, new and random, puts out `classes` boxes (N, 4 * classes).

    One box is single-class regression (SCR), one for each class per-class regression (PCR); all
    other layers start from the classifier's (App. A.1). The new layer's deviation is 0.01, so that
    the first boxes lie near the middle. Raises ValueError where no Linear is last.
    """
    model: VGGNet = copy.deepcopy(unwrap(classifier))
    if not isinstance(model.classifier, nn.Sequential):
        model.classifier = nn.Sequential(model.classifier)
    last = model.classifier[-1]
    if not isinstance(last, nn.Linear):
        raise ValueError(f"the classifier must end in a Linear to be replaced, got {last}")
    new = nn.Linear(last.in_features, 4 * positive("classes", classes)).to(last.weight)
    nn.init.normal_(new.weight, std=0.01)
    nn.init.zeros_(new.bias)
    model.classifier[-1] = new
    return model


def boxes_of(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Take from outputs (N, 4 * classes) the box (N, 4) of each label, or the only box there is."""
    if outputs.dim() != 2 or outputs.shape[1] % 4 or not outputs.shape[1]:
        raise ValueError(f"outputs must have shape (N, 4 * classes), got {tuple(outputs.shape)}")
    boxes = outputs.view(len(outputs), -1, 4)
    chosen = labels.long() if boxes.shape[1] > 1 else 0
    return boxes[torch.arange(len(boxes), device=boxes.device), chosen]


def fit_boxes(
    model: VGGNet,
    data: BoxedImages,
    *,
    size: int,
    layers: str = "all",
    epochs: int = 4,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    milestones: Sequence[int] = (),
    seed: int = 0,
) -> list[float]:
    """Train a box regressor on random squares of the images; return the mean loss of each epoch.

    The loss is half the squared Euclidean distance between the predicted and the true box of the
    right class, in units of the square, averaged over a batch. SGD as in `vgg_utils.training.fit`.

    Arguments:
        model: from `box_regressor`, wrapped or not.
        data: images prepared as for the classifier (Sect. 2.1), with their boxes.
        size: side of the squares, that of the classifier's input.
        layers: "all" that are not frozen learn, or "fc" of them (App. A.1). Batch statistics stay.
        epochs, batch_size, learning_rate, milestones, seed: as in `fit`.

    Modes, flags and the state of random numbers stay as they were. Raises TypeError or ValueError,
    before the first step, for what does not fit, and TrainingError once the loss is not finite.
    """
    network = unwrap(model)
    epochs, batch_size = positive("epochs", epochs), positive("batch_size", batch_size)
    milestones = [positive("each of milestones", epoch) for epoch in milestones]
    if layers not in ("all", "fc"):
        raise ValueError(f'layers must be "all" or "fc", got {layers!r}')
    if not isinstance(network, VGGNet):
        raise TypeError(f"needed is a VGGNet, such as from box_regressor, got {type(network)}")
    check_images(data.images, network)
    shapes, count = (tuple(data.labels.shape), tuple(data.boxes.shape)), len(data.images)
    if not count or shapes != ((count,), (count, 4)):
        raise ValueError(f"{count} images want labels (N,) and boxes (N, 4), got {shapes}")
    least, most = network.min_size, min(data.images.shape[2:])
    if not least <= positive("size", size) <= most:
        raise ValueError(f"size must lie between {least} and {most} pixels, got {size}")
    if network.num_classes > 4:  # a box for each class
        check_labels(data.labels, "images", network.num_classes // 4)
    if not data.boxes.isfinite().all():
        raise ValueError("the boxes hold NaN or infinite values")
    part = network if layers == "all" else network.classifier
    learning = [parameter for parameter in part.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=learning_rate, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)
    optimizer.zero_grad()
    device = next(network.parameters()).device
    history = []
    with evaluating(network), preserve_random_state():
        network.classifier.train()  # dropout
        torch.manual_seed(seed)
        for epoch in range(1, epochs + 1):
            total = 0.0
            for index in torch.randperm(len(data.images)).split(batch_size):
                corners = random_corners(data.images[index], size)
                images, targets = crop(data.images[index], data.boxes[index], corners, size)
                predicted = boxes_of(network(images.to(device)), data.labels[index].to(device))
                loss = (predicted - targets.to(device)).square().sum(dim=1).mean() / 2
                if not loss.isfinite():
                    where = f"epoch {epoch}, with a learning rate of {scheduler.get_last_lr()[0]:g}"
                    raise TrainingError(f"the loss is {loss.item()} in {where}: try a smaller one")
                loss.backward(inputs=learning)  # the other layers get no gradient
                optimizer.step()
                optimizer.zero_grad()
                total += loss.item() * len(index)
            history.append(total / len(data.images))
            scheduler.step()
    return history


def merge_boxes(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge the predictions (M, 4) of several squares greedily, and add up their scores (M,).

    The two boxes of greatest IoU become one, until no two reach `iou_threshold`. A merged box is
    the mean of all predictions it is made of, each counting alike, and its score their sum.
    Sermanet et al. pair boxes by centre distance and shared area, on a scale they do not give, and
    do not say whether a merged box counts for more. Returns boxes (K, 4) and scores (K,), the
    highest score first, on the CPU. Raises ValueError for another number of scores than of boxes.
    """
    if boxes.dim() != 2 or scores.shape != boxes.shape[:1]:
        shapes = f"{tuple(boxes.shape)} and {tuple(scores.shape)}"
        raise ValueError(f"expected boxes (M, 4) and scores (M,), got {shapes}")
    # A row holds the sums of what was merged: the box, the score, and how many predictions.
    rows = torch.column_stack([boxes, scores, torch.ones_like(scores)]).double().cpu()
    while len(rows) > 1:
        means = rows[:, :4] / rows[:, 5:]
        overlap = iou(means[:, None], means).fill_diagonal_(-1)
        first, second = sorted(divmod(int(overlap.argmax()), len(rows)))
        if overlap[first, second] < iou_threshold:
            break
        rows[first] += rows[second]
        rows = torch.cat([rows[:second], rows[second + 1 :]])
    rows = rows[rows[:, 4].argsort(descending=True, stable=True)]
    return (rows[:, :4] / rows[:, 5:]).float(), rows[:, 4].float()


def voc_box(path: str | Path) -> tuple[float, float, float, float]:
    """Return the first object's box in a PASCAL VOC annotation, in pixels, or raise ValueError.

    VOC counts pixels from 1 and includes the last, so the box begins at xmin - 1 and ends at xmax.
    """
    found = ElementTree.parse(path).find("object/bndbox")
    if found is None:
        raise ValueError(f"{path} names no object with a bndbox")
    ends = [float(found.findtext(name, "nan")) for name in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = ends
    return (left - 1 + right) / 2, (top - 1 + bottom) / 2, right - left + 1, bottom - top + 1


def load_pets(root: str | Path = "data", *, size: int = 256, download: bool = True) -> BoxedImages:
    """Return Oxford-IIIT Pet's photographs that have a head box, 37 breeds of cats and dogs.

    Each is rescaled to a shorter side of `size` pixels and cut to the square in its middle; where
    that leaves the centre of the head outside, the photograph is left out. Images are uint8.
    torchvision downloads 0.8 GB to `root` once. Only its part "trainval" has boxes.
    """
    pets = OxfordIIITPet(str(root), "trainval", download=download)
    folder = Path(root) / "oxford-iiit-pet" / "annotations"
    images, labels, boxes = [], [], []
    for index, line in enumerate((folder / "trainval.txt").read_text("utf-8").splitlines()):
        annotation = folder / "xmls" / f"{line.split()[0]}.xml"
        if annotation.exists():
            whole, label = pets[index]
            photo = resize(whole, [size])
            left, top = (round((side - size) / 2) for side in photo.size)
            x, y, *sides = (value * size / min(whole.size) for value in voc_box(annotation))
            if 0 < x - left < size and 0 < y - top < size:
                images.append(pil_to_tensor(center_crop(photo, [size])))
                labels.append(label)
                boxes.append((x - left, y - top, *sides))
    return BoxedImages(torch.stack(images), torch.tensor(labels), torch.tensor(boxes), pets.classes)
