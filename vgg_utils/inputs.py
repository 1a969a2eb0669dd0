"""What a network asks of its images, read off its modules, and the one check that helpers share."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar
from weakref import WeakSet

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from vgg_utils.receptive_field import ReceptiveField, receptive_field

is_compiling = getattr(torch.compiler, "is_compiling", torch._utils.is_compiling)  # PyTorch 2.2
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
T = TypeVar("T", nn.Conv2d, nn.Linear)
_warned: WeakSet[nn.Module] = WeakSet()  # networks whose images a warning was given for


def unwrap(model: Any) -> Any:
    """Return the network inside torch.compile, DataParallel and the like, however nested."""
    while isinstance(model, WRAPPERS) or isinstance(getattr(model, "_orig_mod", None), nn.Module):
        model = model.module if isinstance(model, WRAPPERS) else model._orig_mod
    return model


def layers_in(part: nn.Module, place: str) -> list[tuple[str, Any]]:
    """Return the layers of a Sequential, nested or not, with their places: features[3]."""
    if type(part) is not nn.Sequential:
        return [(place, part)]
    return [found for i, child in enumerate(part) for found in layers_in(child, f"{place}[{i}]")]


def chain(part: nn.Module, place: str) -> list[tuple[Any, list[ReceptiveField]]]:
    """Return the layers of a Sequential, each with the geometry of its window where it has one.

    Raises ValueError, naming the place, at a layer that `receptive_field` does not know.
    """
    found = []  # no generator: PyTorch 2.2 loses its last layer when it compiles one
    for name, layer in layers_in(part, place):
        try:
            found.append((layer, [] if type(layer) is nn.Linear else receptive_field([layer])))
        except (TypeError, ValueError) as error:
            shown = str(layer).split("\n")[0].rstrip("(")
            raise ValueError(f"{name} is a {shown}: sizes and names cannot be told") from error
    return found


def layers_of(part: nn.Module, place: str, kind: type[T]) -> list[T]:
    """Return the layers of one kind, at least one, first to last."""
    found = [layer for layer, _ in chain(part, place) if isinstance(layer, kind)]
    if not found:
        raise ValueError(f"{place} holds no {kind.__name__}")
    return found


def least_side(features: nn.Module, side: int) -> int:
    """Return the least side of an image whose last map is `side` wide."""
    for layer, rows in reversed(chain(features, "features")):
        for row in rows:
            reach = row.dilation * (row.kernel_size - 1)
            padding = reach if layer.padding == "same" else 2 * row.padding
            spare = row.stride - 1 if getattr(layer, "ceil_mode", False) else 0
            side = max(1, (side - 1) * row.stride + reach + 1 - padding - spare)
    return side


def is_symbolic(x: Any) -> bool:
    """Say whether x stands for any images: torch.compile, export, jit.trace or fx is at work."""
    tracing = is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return tracing or not isinstance(x, torch.Tensor)


def features_of(network: Any, x: torch.Tensor) -> torch.Tensor:
    """Apply a VGGNet's features to images; where PyTorch cannot, say what is wrong with them."""
    if is_symbolic(x):
        return network.features(x)
    if x.dim() != 4:  # PyTorch takes (C, H, W) too, and fails only at the classifier
        check_shape(x, network)
    if x.device.type == "cpu" and not network.training:  # a GPU would have to be waited for
        warn_of_range(x, network)
    try:
        return network.features(x)
    except RuntimeError:
        check_shape(x, network)
        raise


def check_shape(images: torch.Tensor, network: Any, *, any_size: bool = False) -> None:
    """Raise ValueError unless images are (N, C, H, W), with C, H and W as a VGGNet needs them."""
    channels, least = "channels", 0  # of a network that says nothing of itself
    with contextlib.suppress(AttributeError, ValueError):
        channels, least = network.in_channels, network.min_size
    if images.dim() != 4 or channels not in ("channels", images.shape[1]):
        how = ": give a single image as image[None]" if images.dim() == 3 else ""
        wanted = f"(N, {channels}, height, width)"
        raise ValueError(f"expected images of shape {wanted}, got {tuple(images.shape)}{how}")
    if min(images.shape[2:]) < least and not any_size:
        what = "an image of {}x{} pixels is too small for the pools".format(*images.shape[2:])
        raise ValueError(f"{what}: each side needs at least {least}")


def warn_of_range(images: torch.Tensor, network: nn.Module) -> None:
    """Warn, once for each network, of values beyond 4 times its `pixel_range`, without one 20."""
    if network in _warned or not images.numel():
        return
    low, high = getattr(network, "pixel_range", None) or (-5.0, 5.0)
    try:
        largest = float(images.detach().abs().max())
    except RuntimeError:  # under torch.func.vmap and the like a tensor has no value to look at
        return
    if largest > 4 * max(abs(low), abs(high)):
        _warned.add(network)
        found = f"the images hold values of up to {largest:g}, where {low:g} to {high:g} is usual"
        warnings.warn(f"{found}: prepare them as in training", stacklevel=3)


def check_images(images: Any, model: Any, *, any_size: bool = False) -> None:
    """Raise unless images are floats (N, channels, H, W), all finite, and fit for the network.

    Channels and least size (with `any_size` not this) are those of a `VGGNet`, wrapped or not.
    TypeError: no tensor, or no torch.nn.Module. ValueError: another tensor.
    """
    network = unwrap(model)
    if not isinstance(network, nn.Module):
        raise TypeError(f"the model must be a torch.nn.Module, got {type(model)}")
    wanted = "expected images as one float tensor of shape (N, channels, height, width), got"
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"{wanted} {type(images)}: stack tensors that were prepared as in training")
    if not images.is_floating_point():
        raise ValueError(f"{wanted} {images.dtype}: divide by 255 and subtract the mean first")
    check_shape(images, network, any_size=any_size)
    if images.numel() and not all(bound.isfinite() for bound in images.aminmax()):
        bad = ~images.isfinite().flatten(1).all(1)
        where = f", first image {int(bad.int().argmax())}" if len(images) > 1 else ""
        raise ValueError(f"the images hold NaN or infinite values{where}")
    warn_of_range(images, network)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off and fix batch normalisation; after, put every module's mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module in modes:
            module.training = modes[module]
