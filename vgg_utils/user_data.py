"""A look at a reader's data before the first step: what is wrong with it, and what would be right.

`fit` takes images and labels as two tensors, a TensorDataset, or any map-style data set of pairs
(image, label). What it cannot use raises ValueError. Image files have checks of their own.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from vgg_utils.inputs import evaluating

SAMPLES = 8  # images of a data set that are looked at, evenly spread


class Look(NamedTuple):
    """What a look at a data set found: the network's classes, the lowest and the highest pixel."""

    classes: int
    low: float
    high: float


def as_datasets(train: Any, validation: Any, test: Any, seed: int) -> dict[str, Dataset[Any]]:
    """Return the sets that are not None by name; a number holds that share out for validation."""
    train = as_dataset(train, "training set")
    if isinstance(validation, int | float):
        train, validation = split_off(train, validation, seed)
    given = {"training set": train, "validation set": validation, "test set": test}
    return {name: as_dataset(data, name) for name, data in given.items() if data is not None}


def as_dataset(data: Any, name: str) -> Dataset[Any]:
    """Return what was given for `name` ("training set", ...) as a map-style data set."""
    if isinstance(data, tuple | list) and len(data) == 2 and hasattr(data[0], "shape"):
        try:
            images, labels = (torch.as_tensor(part) for part in data)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"the {name} needs images and labels as numbers: {error}") from error
        if 0 in (images.dim(), labels.dim()) or len(images) != len(labels):
            counts = [len(part) if part.dim() else "no" for part in (images, labels)]
            raise ValueError(f"the {name} has {counts[0]} images and {counts[1]} labels")
        data = TensorDataset(images, labels)
    if isinstance(data, DataLoader):
        raise ValueError(f"give the {name} itself, not a DataLoader: fit draws the batches")
    if hasattr(data, "train") and hasattr(data, "test"):
        raise ValueError(f"for the {name} give one part of the data, such as data.train")
    has_places = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if isinstance(data, IterableDataset) or not has_places:
        wanted = "a data set of pairs (image, label) with a length, or two tensors"
        raise ValueError(f"the {name} must be {wanted}, got {type(data).__name__}")
    if len(data) == 0:
        raise ValueError(f"the {name} is empty")
    if isinstance(data, TensorDataset) and len(data.tensors) != 2:
        raise ValueError(f"the {name} holds {len(data.tensors)} tensors: give images and labels")
    return data


def check_dataset(data: Dataset[Any], name: str, model: nn.Module) -> Look:
    """Look at a data set, all of it or `SAMPLES` images, and whether `model` can learn from it."""
    count = len(data)  # type: ignore[arg-type]
    chosen: Sequence[int] = range(count)
    if isinstance(data, TensorDataset):
        images, labels = data.tensors
    else:
        chosen = sorted({index * (count - 1) // (SAMPLES - 1) for index in range(SAMPLES)})
        images, labels = collate([(index, data[index]) for index in chosen], name)
    classes = _count_classes(images, name, model)
    check_labels(labels, name, classes)
    known = known_labels(data)
    if known is not None:
        check_labels(known, name, classes)
        if name == "training set" and count > 1 and bool((known == known[0]).all()):
            raise ValueError(f"all {count} training images have label {known[0]}: nothing to learn")
    low, high = images.aminmax()  # both NaN if a pixel is
    if not (low.isfinite() and high.isfinite()):
        bad = chosen[int((~images.flatten(1).isfinite().all(dim=1)).nonzero()[0])]
        raise ValueError(f"image {bad} of the {name} holds NaN or infinite values")
    return Look(classes, low.item(), high.item())


def _count_classes(images: torch.Tensor, name: str, model: nn.Module) -> int:
    """Return how many classes `model` tells apart in images (N, ...), once it takes them."""
    if not images.is_floating_point():
        cure = "turn them into floats from 0 to 1 (images.float() / 255) and subtract their mean"
        raise ValueError(f"the images of the {name} are {images.dtype}: {cure}")
    parameter = next(model.parameters())
    if images.dtype == torch.float64 and parameter.dtype == torch.float32:
        raise ValueError(f"the images of the {name} are float64, the network float32: .float()")
    try:
        with evaluating(model), torch.no_grad():
            logits = model(images[:1].to(parameter.device))
    except (RuntimeError, TypeError) as error:
        what = f"an image {tuple(images.shape[1:])} of the {name}"
        reason = str(error).split("\n")[0]
        raise ValueError(f"the network does not take {what}: {reason}") from error
    if not torch.is_tensor(logits) or logits.dim() != 2:
        shape = tuple(logits.shape) if torch.is_tensor(logits) else type(logits).__name__
        raise ValueError(f"the network must give logits (N, classes), and gives {shape}")
    return logits.shape[1]


def check_labels(labels: torch.Tensor, name: str, classes: int) -> None:
    """Raise ValueError unless labels (N,) are whole numbers from 0 to classes - 1."""
    shape = tuple(labels.shape)
    if labels.dim() != 1:
        cure = "labels.argmax(1)" if shape[1] > 1 else "labels.flatten()"
        raise ValueError(f"labels of the {name} must have shape (N,), got {shape}: take {cure}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels of the {name} are {labels.dtype}: take labels.long()")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        hint = ": subtract 1" if (low, high) == (1, classes) else ""
        rule = f"for a network of {classes} classes they must lie between 0 and {classes - 1}"
        raise ValueError(f"labels of the {name} run from {low} to {high}; {rule}{hint}")


def known_labels(data: Dataset[Any]) -> torch.Tensor | None:
    """Return all labels (N,) of a data set without reading an image, or None if it tells none."""
    if isinstance(data, TensorDataset):
        return data.tensors[1]
    if isinstance(data, Subset):
        whole = known_labels(data.dataset)
        return None if whole is None else whole[torch.as_tensor(data.indices)]
    targets = getattr(data, "targets", None)  # as torchvision's data sets have it
    changed = getattr(data, "target_transform", None)  # what `targets` have yet to go through
    if targets is None or changed or len(targets) != len(data):  # type: ignore[arg-type]
        return None
    try:
        return torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):  # names, for example
        return None


def split_off(data: Dataset[Any], share: float, seed: int) -> tuple[Any, Any]:
    """Return the rest of a data set, and the share held out of it: TensorDatasets, or Subsets.

    Each class gives its share, rounded, and one image at least; without known labels all count as
    one class. Raises ValueError for a share beyond 0 to 1, and where a class would lose all.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share held out must lie between 0 and 1, got {share!r}")
    labels = known_labels(data)
    if labels is None:
        labels = torch.zeros(len(data), dtype=torch.long)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten().cpu()
        count = max(1, round(share * len(members)))
        if count == len(members):
            raise ValueError(f"class {label} has too few images to hold some out: {count}")
        held_out[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    if isinstance(data, TensorDataset):
        return TensorDataset(*data[~held_out]), TensorDataset(*data[held_out])
    rest, held = (part.nonzero().flatten().tolist() for part in (~held_out, held_out))
    return Subset(data, rest), Subset(data, held)


def collate(pairs: Sequence[tuple[int, Any]], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack (index, (image, label)) into images (n, ...) and labels (n,), int64.

    Raises ValueError, with the index, for what is no such pair or does not fit the others.
    """
    images: list[torch.Tensor] = []
    labels: list[int] = []
    for index, pair in pairs:
        this = f"{index} of the {name}"
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"entry {this} must be a pair (image, label), is {_kind(pair)}")
        image, label = pair
        if not torch.is_tensor(image):
            cure = "give the data set a transform such as torchvision.transforms.ToTensor()"
            raise ValueError(f"image {this} is {_kind(image)}: {cure}")
        if images and image.shape != images[0].shape:
            sizes = f"{tuple(image.shape)}, and image {pairs[0][0]} {tuple(images[0].shape)}"
            raise ValueError(f"image {this} is {sizes}: resize or crop all to one size")
        try:
            labels.append(operator.index(label))
        except TypeError:
            found = f"the label of image {this} is {_kind(label)}"
            raise ValueError(f"{found}: it must be a whole number, counted from 0") from None
        images.append(image)
    return torch.stack(images), torch.tensor(labels)


def _kind(value: Any) -> str:
    kind = type(value)
    if hasattr(value, "shape"):
        return f"{kind.__name__} of shape {tuple(value.shape)}"
    if isinstance(value, str | float):
        return f"{kind.__name__} {value!r}"
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
