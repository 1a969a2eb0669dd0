"""A look at a reader's data before the first step: what is wrong with it, and what would be right.

`fit` takes images and labels as two tensors, a TensorDataset, or any map-style data set of pairs
(image, label). The checks are about what training needs; image files have checks of their own.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset


class Look(NamedTuple):
    """What a look at a data set found: the network's classes, the lowest and the highest pixel."""

    classes: int
    low: float
    high: float


SAMPLES = 8  # images of a data set that are looked at, evenly spread


def as_datasets(train: Any, validation: Any, test: Any, seed: int) -> dict[str, Dataset[Any]]:
    """Return the sets that are not None by name; a number holds that share out for validation.

    Raises ValueError for what is no data set, with what would be, and for a training set that has
    nothing to tell apart.
    """
    train = as_dataset(train, "training set")
    if isinstance(validation, int | float):
        train, validation = split_off(train, validation, seed)
    labels = known_labels(train)
    if labels is not None and len(labels) > 1 and bool((labels == labels[0]).all()):
        raise ValueError(
            f"all {len(labels)} training images have label {labels[0]}: there is nothing to learn"
        )
    given = {"training set": train, "validation set": validation, "test set": test}
    return {name: as_dataset(data, name) for name, data in given.items() if data is not None}


def as_dataset(data: Any, name: str) -> Dataset[Any]:
    """Return what was given for `name` ("training set", ...) as a map-style data set.

    Raises ValueError for what is none, with what would be.
    """
    if isinstance(data, tuple | list) and len(data) == 2 and hasattr(data[0], "shape"):
        images, labels = (torch.as_tensor(part) for part in data)
        if labels.dim() == 0 or len(images) != len(labels):
            counts = [len(part) if part.dim() else "no" for part in (images, labels)]
            raise ValueError(f"the {name} has {counts[0]} images and {counts[1]} labels")
        data = TensorDataset(images, labels)
    if isinstance(data, DataLoader):
        raise ValueError(f"give the {name} itself, not a DataLoader: fit draws the batches")
    if hasattr(data, "train") and hasattr(data, "test"):
        raise ValueError(f"for the {name} give one part of the data, such as data.train")
    if isinstance(data, IterableDataset) or not (
        hasattr(data, "__len__") and hasattr(data, "__getitem__")
    ):
        raise ValueError(
            f"the {name} must be a data set of pairs (image, label) with a length, or two tensors, "
            f"got {type(data).__name__}"
        )
    if len(data) == 0:
        raise ValueError(f"the {name} is empty")
    if isinstance(data, TensorDataset) and len(data.tensors) != 2:
        raise ValueError(f"the {name} holds {len(data.tensors)} tensors: give images and labels")
    return data  # type: ignore[no-any-return]


def check_dataset(data: Dataset[Any], name: str, model: nn.Module) -> Look:
    """Look at a data set from `as_dataset`, and whether `model` can learn from it.

    All of it if it is in memory, else `SAMPLES` images and the labels it tells (`targets`). Raises
    ValueError for what training would stumble over.
    """
    if isinstance(data, TensorDataset):
        images, labels = data.tensors
        classes = _check_images(images, name, model)
        check_labels(labels, name, classes)
        if not images.isfinite().all():
            bad = int((~images.flatten(1).isfinite().all(dim=1)).nonzero()[0])
            raise ValueError(f"image {bad} of the {name} holds NaN or infinite values")
        return Look(classes, images.min().item(), images.max().item())
    count = len(data)  # type: ignore[arg-type]
    chosen = sorted({index * (count - 1) // (SAMPLES - 1) for index in range(SAMPLES)})
    pairs = [(index, data[index]) for index in chosen]
    images, labels = collate(pairs, name)
    classes = _check_images(images, name, model)
    check_labels(labels, name, classes)
    known = known_labels(data)
    if known is not None:
        check_labels(known, name, classes)
    return Look(classes, images.min().item(), images.max().item())


@torch.no_grad()
def _check_images(images: torch.Tensor, name: str, model: nn.Module) -> int:
    """Return how many classes `model` tells apart in such images (N, ...).

    Raises ValueError for images that are no floats, and those that the model cannot take.
    """
    if not images.is_floating_point():
        raise ValueError(
            f"the images of the {name} are {images.dtype}: turn them into floats from 0 to 1 "
            "(images.float() / 255) and subtract their mean"
        )
    parameter = next(model.parameters())
    if images.dtype == torch.float64 and parameter.dtype == torch.float32:
        raise ValueError(f"the images of the {name} are float64, the network float32: .float()")
    modes = {module: module.training for module in model.modules()}
    try:
        outputs = model.eval()(images[:1].to(parameter.device))
    except (RuntimeError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"the network does not take an image {tuple(images.shape[1:])} of the {name}: {reason}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    if not torch.is_tensor(outputs) or outputs.dim() != 2:
        shape = tuple(outputs.shape) if torch.is_tensor(outputs) else type(outputs).__name__
        raise ValueError(f"the network must give logits (N, classes), and gives {shape}")
    return outputs.shape[1]


def check_labels(labels: torch.Tensor, name: str, classes: int) -> None:
    """Raise ValueError unless labels (N,) are whole numbers from 0 to classes - 1."""
    shape = tuple(labels.shape)
    if labels.dim() != 1:
        one_hot = labels.dim() == 2 and labels.shape[1] > 1
        cure = "labels.argmax(1)" if one_hot else "labels.flatten()"
        raise ValueError(f"labels of the {name} must have shape (N,), got {shape}: take {cure}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels of the {name} are {labels.dtype}: take labels.long()")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        hint = ": subtract 1" if (low, high) == (1, classes) else ""
        raise ValueError(
            f"labels of the {name} run from {low} to {high}; for a network of {classes} classes "
            f"they must lie between 0 and {classes - 1}{hint}"
        )


def known_labels(data: Dataset[Any]) -> torch.Tensor | None:
    """Return all labels (N,) of a data set without reading an image, or None if it tells none."""
    if isinstance(data, TensorDataset):
        return data.tensors[1]
    if isinstance(data, Subset):
        whole = known_labels(data.dataset)
        return None if whole is None else whole[torch.as_tensor(data.indices)]
    targets = getattr(data, "targets", None)  # as torchvision's data sets have it
    if targets is None or len(targets) != len(data):  # type: ignore[arg-type]
        return None
    return torch.as_tensor(targets)


def split_off(data: Dataset[Any], share: float, seed: int) -> tuple[Dataset[Any], Dataset[Any]]:
    """Return the rest of a data set, and a part held out of it; each class in the same share.

    Without known labels the part is drawn from all alike. Raises ValueError for a share that is not
    between 0 and 1, or so small a set that a class would be missing on one side.
    """
    labels = known_labels(data)
    if labels is None:
        labels = torch.zeros(len(data))  # type: ignore[arg-type]
    kept, held_out = split_indices(labels, share, seed)
    if isinstance(data, TensorDataset):
        return TensorDataset(*data[kept]), TensorDataset(*data[held_out])
    return Subset(data, kept.tolist()), Subset(data, held_out.tolist())


def split_indices(
    labels: torch.Tensor, share: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices that stay and those of the held-out `share`, both in rising order.

    Each class gives its share, rounded, and one image at least. Raises ValueError as `split_off`.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share held out must lie between 0 and 1, got {share!r}")
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten().cpu()
        count = max(1, round(share * len(members)))
        if count == len(members):
            raise ValueError(
                f"class {int(label)} has {count} image{'s' * (count > 1)}: too few to hold some out"
            )
        held_out[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()


def collate(pairs: Sequence[tuple[int, Any]], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack (index, (image, label)) into images (n, ...) and labels (n,), int64.

    Raises ValueError, with the index, for what is no such pair or does not fit the others.
    """
    images, labels = [], []
    for index, pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"entry {index} of the {name} must be a pair (image, label), is {_kind(pair)}"
            )
        image, label = pair
        if not torch.is_tensor(image):
            raise ValueError(
                f"image {index} of the {name} is {_kind(image)}: give the data set a transform "
                "that makes tensors, such as torchvision.transforms.ToTensor()"
            )
        if images and image.shape != images[0].shape:
            raise ValueError(
                f"image {index} of the {name} is {tuple(image.shape)}, and image {pairs[0][0]} "
                f"{tuple(images[0].shape)}: resize or crop all to one size in its transform"
            )
        try:
            labels.append(operator.index(label))
        except TypeError:
            raise ValueError(
                f"the label of image {index} of the {name} is {_kind(label)}: it must be a whole "
                "number, the class counted from 0"
            ) from None
        images.append(image)
    return torch.stack(images), torch.tensor(labels)


def _kind(value: Any) -> str:
    if torch.is_tensor(value) or hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return (
        f"{type(value).__name__} {value!r}"
        if isinstance(value, str | float)
        else (f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins."))
    )
