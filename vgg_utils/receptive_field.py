"""Receptive field, jump and start of any chain of layers, and two ways to see them by gradient.

The arithmetic needs no PyTorch. Coordinates are in input pixels along one axis, with the centre of
pixel 0 at 0.5, so that pixel i covers the interval [i, i + 1].

The recurrence is that of Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional
Neural Networks", Distill, 2019. The effective receptive field is that of Luo, Li, Urtasun and
Zemel, NeurIPS 2016. The paper itself argues from stacks of 3x3 layers in Sect. 2.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

# Modules that stay at one place of the map: they change neither the field nor the grid.
_POINTWISE = {
    "BatchNorm2d",
    "Dropout",
    "Dropout2d",
    "ELU",
    "GELU",
    "Hardswish",
    "Identity",
    "LeakyReLU",
    "LocalResponseNorm",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Tanh",
}


class Layer(NamedTuple):
    """A layer with a sliding window: a convolution or a pool."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    name: str | None = None


class ReceptiveField(NamedTuple):
    """What one output unit of a layer sees of the input, along one axis.

    `jump` is the distance in input pixels between neighbouring units, `receptive_field` the number
    of input pixels a unit sees, `start` the centre of unit 0's field.
    """

    name: str
    kernel_size: int
    stride: int
    padding: int
    jump: int
    receptive_field: int
    start: float
    dilation: int = 1

    def interval(self, unit: int) -> tuple[float, float]:
        """Return the ends of a unit's field in input pixels; beyond the image lies padding."""
        centre = self.start + unit * self.jump
        return centre - self.receptive_field / 2, centre + self.receptive_field / 2


def receptive_field(layers: Iterable[Any]) -> list[ReceptiveField]:
    """Follow the receptive field through a chain of layers; one row per layer.

    Each layer is a `Layer`, an entry of `layer_configs` ((kernel, channels), "M" or "LRN"), or a
    PyTorch module with a square window (Conv2d, MaxPool2d, AvgPool2d), one that stays at its place
    (ReLU and its kin, batch and local response normalisation, dropout; these get no row), or a
    Sequential of these. So `receptive_field(layer_configs["D"])` and
    `receptive_field(net.features)` both work.

    With k' = d(k - 1) + 1 the width of a window of dilation d:
        field_l = field_(l-1) + (k'_l - 1) jump_(l-1)
        start_l = start_(l-1) + ((k'_l - 1) / 2 - padding_l) jump_(l-1)
        jump_l  = jump_(l-1) stride_l

    Raises TypeError for something that is no such layer and ValueError for a size that cannot be.
    """
    rows: list[ReceptiveField] = []
    jump, field, start = 1, 1, 0.5
    for layer in _named(layers):
        reach = layer.dilation * (layer.kernel_size - 1)
        field += reach * jump
        start += (reach / 2 - layer.padding) * jump
        jump *= layer.stride
        rows.append(
            ReceptiveField(
                layer.name or f"layer {len(rows) + 1}",
                layer.kernel_size,
                layer.stride,
                layer.padding,
                jump,
                field,
                start,
                layer.dilation,
            )
        )
    return rows


def _named(layers: Iterable[Any]) -> list[Layer]:
    """Read each entry as a Layer; name those that have no name by block and place."""
    windows: list[Layer] = []
    block, place = 1, 0
    for index, entry in enumerate(_flat(layers)):
        layer, is_pool = _read(entry, index)
        if layer is None:
            continue
        if layer.name is None and not isinstance(entry, Layer):
            place += 1
            layer = layer._replace(name=f"pool{block}" if is_pool else f"conv{block}_{place}")
            if is_pool:
                block, place = block + 1, 0
        windows.append(layer)
    return windows


def _flat(layers: Any) -> Iterator[Any]:
    """Yield the layers of a chain, those inside a Sequential in its place."""
    if isinstance(layers, str):
        raise TypeError(f"give the layers, such as layer_configs[{layers!r}], not a name")
    if not isinstance(layers, Iterable):
        raise TypeError(
            f"{type(layers).__name__} is no chain of layers: give a list, or the convolutional "
            "part of a network, such as net.features"
        )
    for entry in layers:
        if type(entry).__name__ == "Sequential":
            yield from _flat(entry)
        else:
            yield entry


def _read(entry: Any, index: int) -> tuple[Layer | None, bool]:
    """Return (the layer, or None if it has no window; whether it is a pool)."""
    kind = type(entry).__name__
    if entry == "M":
        return Layer(2, stride=2), True
    if entry == "LRN" or kind in _POINTWISE:
        return None, False
    if isinstance(entry, Layer):
        layer, is_pool = entry, False
    elif isinstance(entry, tuple | list) and len(entry) == 2:
        layer, is_pool = Layer(entry[0], padding=entry[0] // 2), False
    elif hasattr(entry, "kernel_size") and "Transpose" not in kind:
        sizes = {
            name: _square(getattr(entry, name, 1), name, index)
            for name in ("kernel_size", "stride", "padding", "dilation")
        }
        if sizes["padding"] == "valid":
            sizes["padding"] = 0
        elif sizes["padding"] == "same":  # PyTorch puts the smaller half on the left
            sizes["padding"] = sizes["dilation"] * (sizes["kernel_size"] - 1) // 2
        layer, is_pool = Layer(**sizes), "Pool" in kind
    else:
        shown = repr(entry) if isinstance(entry, str | tuple | list) else kind
        raise TypeError(
            f"layer {index} is {shown}, which has no window that slides: give a Layer, "
            "(kernel size, channels), 'M', 'LRN' or a convolution or pooling module"
        )
    least = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    for name, bound in least.items():
        value = getattr(layer, name)
        if type(value) is not int or value < bound:
            raise ValueError(
                f"layer {index}: {name} must be an integer of at least {bound}, got {value!r}"
            )
    return layer, is_pool


def _square(value: Any, name: str, index: int) -> Any:
    if not isinstance(value, tuple):
        return value
    if len(set(value)) != 1:
        raise ValueError(
            f"layer {index}: {name} {value} differs between the axes; "
            "follow each axis by itself with Layer(...)"
        )
    return value[0]


def gradient_probe(
    module: torch.nn.Module,
    image_size: int,
    *,
    in_channels: int = 3,
    unit: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Ask the module itself which input pixels one output unit sees.

    A copy of the module gets positive weights and averaging in place of max-pooling, so that no
    path from a pixel to the unit can cancel or be switched off; then the gradient of the unit with
    respect to a square image is positive exactly where the unit looks. Field, jump and start of
    the copy are those of the module.

    `unit` is (row, column) on the module's output map, by default the middle one. Returns the
    gradient summed over channels, of shape (image_size, image_size).

    Raises ValueError for a dilated max-pool, which has no averaging twin, and for a module that
    does not put out a map.
    """
    import copy

    import torch
    from torch import nn

    probe = nn.Sequential(copy.deepcopy(module)).double().cpu().eval()
    for parent in probe.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                if child.dilation not in (1, (1, 1)):
                    raise ValueError("gradient_probe cannot replace a dilated max-pool")
                window = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(parent, name, nn.AvgPool2d(*window))
            elif isinstance(child, nn.LocalResponseNorm | nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    for parameter_name, parameter in probe.named_parameters():
        fan_in = max(1, parameter[0].numel())
        parameter.data.fill_(0.0 if parameter_name.endswith("bias") else 1.0 / fan_in)
    image = torch.ones(1, in_channels, image_size, image_size, dtype=torch.float64)
    return _unit_gradient(probe, image, unit)


def effective_receptive_field(
    module: torch.nn.Module,
    image_size: int,
    *,
    in_channels: int = 3,
    samples: int = 16,
    seed: int = 0,
) -> torch.Tensor:
    """Measure how much each input pixel matters to the middle output unit.

    The mean over random images (standard normal) of the gradient's magnitude, scaled to a maximum
    of 1; shape (image_size, image_size). Where the receptive field says what a unit can see, this
    says what it mostly looks at (Luo et al., 2016).

    Raises ValueError for less than one sample, and for a module that does not put out a map.
    """
    import copy

    import torch

    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    module = copy.deepcopy(module).eval()
    parameter = next(module.parameters(), torch.zeros(0))  # for its device and precision
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(image_size, image_size)
    for _ in range(samples):
        image = torch.randn(1, in_channels, image_size, image_size, generator=generator)
        total += _unit_gradient(module, image.to(parameter), None).cpu().float()
    return total / total.max()


def _unit_gradient(
    module: torch.nn.Module, image: torch.Tensor, unit: tuple[int, int] | None
) -> torch.Tensor:
    import torch

    image = image.requires_grad_()
    output = module(image)
    if output.dim() != 4:
        raise ValueError(
            f"the module must put out a map of shape (1, channels, height, width), "
            f"got {tuple(output.shape)}; pass its convolutional part, such as net.features"
        )
    row, column = unit or (output.shape[2] // 2, output.shape[3] // 2)
    (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), image)
    return gradient.abs().sum(dim=(0, 1))


def extent(gradient: torch.Tensor) -> tuple[int, int, int, int]:
    """Return (top, left, height, width), in pixels, of the part of a gradient map above zero."""
    rows = gradient.sum(dim=1).nonzero()
    columns = gradient.sum(dim=0).nonzero()
    if not len(rows):
        raise ValueError("the gradient map is zero everywhere: the unit sees nothing")
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
