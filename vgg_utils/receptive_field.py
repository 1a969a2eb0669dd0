"""Receptive field, jump and start of any chain of layers, and two ways to see them by gradient.

The arithmetic needs no PyTorch; `python -m vgg_utils.receptive_field D` prints it. Coordinates are
in input pixels along one axis, pixel i covering the interval [i, i + 1].

Sources: Sect. 2.3 of the paper; Araujo, Norris and Sim, Distill, 2019 (the recurrence); Luo, Li,
Urtasun and Zemel, NeurIPS 2016 (the effective receptive field).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vgg_utils.configs import get_layers, positive

if TYPE_CHECKING:
    from torch import Tensor, nn

# The layers that slide a window, and those that change neither the field nor the grid.
_POOLS = {"M"} | {f"{kind}Pool{n}d" for kind in ("Avg", "LP", "Max") for n in (1, 2, 3)}
_WINDOWS = {"Conv1d", "Conv2d", "Conv3d"} | _POOLS
_POINTWISE = (
    {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "LRN", "LocalResponseNorm"}
    | {"AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"}
    | {"CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity"}
    | {"LeakyReLU", "LogSigmoid", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU"}
    | {"Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold"}
)


class Layer(NamedTuple):
    """A layer with a sliding window: a convolution or a pool."""

    kernel_size: int
    stride: int = 1
    padding: int | str = 0
    dilation: int = 1
    name: str | None = None


class ReceptiveField(NamedTuple):
    """What one output unit of a layer sees of the input, along one axis."""

    name: str
    kernel_size: int
    stride: int
    padding: int
    jump: int  #: distance in input pixels between neighbouring units
    receptive_field: int  #: how many input pixels a unit sees
    start: float  #: centre of unit 0's field
    dilation: int = 1

    def interval(self, unit: int) -> tuple[float, float]:
        """Return the ends of a unit's field in input pixels; beyond the image lies padding."""
        centre = self.start + unit * self.jump
        return centre - self.receptive_field / 2, centre + self.receptive_field / 2


def receptive_field(layers: str | Iterable[Any]) -> list[ReceptiveField]:
    """Follow the receptive field through a chain of layers; one row per layer with a window.

    The chain is a configuration's name, or layers in order: each a `Layer`, an entry of
    `layer_configs`, a convolution or a max-, average or LP-pool of torch.nn, one that stays at its
    place (activation, batch or local response normalisation, dropout), or a Sequential of these,
    such as `net.features`. A subclass counts as its base if it leaves `forward` alone.

    With k' = d(k - 1) + 1 the width of a window of dilation d:
        field_l = field_(l-1) + (k'_l - 1) jump_(l-1)
        start_l = start_(l-1) + ((k'_l - 1) / 2 - padding_l) jump_(l-1)
        jump_l  = jump_(l-1) stride_l

    Raises TypeError for any other layer, named with its index; ValueError for an unknown name, a
    size that cannot be or differs between the axes, and circular padding.
    """
    rows: list[ReceptiveField] = []
    jump, field, start, block, place = 1, 1, 0.5, 1, 1
    for index, entry in enumerate(_flat(get_layers(layers) if isinstance(layers, str) else layers)):
        if (kind := _kind(entry)) in _POINTWISE:
            continue
        size, stride, dilation, padding = _sizes(entry, kind, index)
        reach = dilation * (size - 1)
        field, start = field + reach * jump, start + (reach / 2 - padding) * jump
        jump *= stride
        if isinstance(entry, Layer):
            name = entry.name or f"layer {len(rows) + 1}"
        elif kind in _POOLS:  # by block and place, as in `layer_names`
            name, block, place = f"pool{block}", block + 1, 1
        else:
            name, place = f"conv{block}_{place}", place + 1
        rows.append(ReceptiveField(name, size, stride, padding, jump, field, start, dilation))
    return rows


def _flat(layers: Any) -> Iterator[Any]:
    """Yield the layers of a chain, those inside a Sequential in its place."""
    is_chain = isinstance(layers, list | tuple | Iterator) or _kind(layers) == "Sequential"
    if not is_chain or isinstance(layers, Layer):
        raise TypeError(f"{type(layers).__name__} is no chain of layers, as net.features or a list")
    for entry in layers:
        yield from _flat(entry) if _kind(entry) == "Sequential" else [entry]


def _kind(entry: Any) -> str:
    """Return "M", "LRN", or by name the class of torch.nn that computes an entry, else ""."""
    if isinstance(entry, str):
        return entry if entry in ("M", "LRN") else ""
    for cls in type(entry).__mro__:
        if cls.__module__.startswith("torch.nn.modules."):
            return cls.__name__
        if "forward" in vars(cls) and not cls.__module__.startswith("torch."):
            break  # a computation of its own
    return ""


def _sizes(entry: Any, kind: str, index: int) -> list[int]:
    """Return kernel size, stride, dilation and padding of a layer."""
    if kind == "M":
        entry = Layer(2, stride=2)
    elif isinstance(entry, tuple | list) and len(entry) == 2:
        entry = Layer(entry[0], padding="same")
    elif kind not in _WINDOWS and not isinstance(entry, Layer):
        shown = repr(entry) if isinstance(entry, str | tuple | list) else type(entry).__name__
        raise TypeError(
            f"layer {index} is {shown}, not known to slide a window or to stay at its place: give "
            "a Layer, (kernel size, channels), 'M', 'LRN', or a convolution or pool of torch.nn"
        )
    if getattr(entry, "padding_mode", "zeros") == "circular":
        raise ValueError(f"layer {index}: circular padding shows a unit the opposite border")
    sizes: list[int] = []
    for name, least in {"kernel_size": 1, "stride": 1, "dilation": 1, "padding": 0}.items():
        value = getattr(entry, name, least)
        value = value[0] if isinstance(value, tuple | list) and len(set(value)) == 1 else value
        if value is None and kind in _POOLS:  # LPPool's stride
            value = sizes[0]
        elif name == "padding" and value in ("valid", "same"):  # PyTorch's left half is the smaller
            value = 0 if value == "valid" else sizes[2] * (sizes[0] - 1) // 2
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
            raise ValueError(
                f"layer {index}: {name} must be an integer of at least {least}, got {value!r}; "
                "where the axes differ, follow each by itself with Layer(...)"
            )
        sizes.append(int(value))
    return sizes


def gradient_probe(
    module: nn.Module, image_size: int, *, in_channels: int = 3, unit: tuple[int, int] | None = None
) -> Tensor:
    """Ask the module itself which input pixels one output unit sees.

    A copy gets positive weights, average pools for max-pools (modules, not calls of `F.max_pool2d`)
    and no activations, so that no path from a pixel to the unit can cancel or be switched off; its
    gradient is positive exactly where it looks. Returns the magnitude, summed over channels:
    (image_size, image_size). `unit` is (row, column), by default the middle. Raises ValueError for
    a dilated or fractional max-pool, no map for such an image, and a unit outside of the map.
    """
    import torch

    probe = torch.nn.Sequential(copy.deepcopy(module)).double().cpu()
    for path, child in list(probe.named_modules(remove_duplicate=False)):
        parent, _, name = path.rpartition(".")
        if _kind(child) in _POINTWISE:
            setattr(probe.get_submodule(parent), name, torch.nn.Identity())
        elif _kind(child) == "MaxPool2d" and child.dilation in (1, (1, 1)):
            window = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
            setattr(probe.get_submodule(parent), name, torch.nn.AvgPool2d(*window))
        elif "Max" in _kind(child):
            raise ValueError(f"gradient_probe has no average to put in the place of {child}")
    for path, parameter in probe.named_parameters():
        fan_in = parameter[0].numel() if parameter.dim() else 1
        parameter.data.fill_(0.0 if path.endswith("bias") else 1.0 / fan_in)
    size, channels = positive("image_size", image_size), positive("in_channels", in_channels)
    return _gradient(probe, [torch.ones(1, channels, size, size, device="cpu")], unit)


def effective_receptive_field(
    module: nn.Module, image_size: int, *, in_channels: int = 3, samples: int = 16, seed: int = 0
) -> Tensor:
    """Measure how much each input pixel matters to the middle output unit, in eval mode.

    The mean over random images (standard normal) of the gradient's magnitude, scaled to a maximum
    of 1; shape (image_size, image_size). It says what a unit mostly looks at (Luo et al., 2016).
    Raises ValueError as `gradient_probe` does, for less than one sample, and if no pixel matters.
    """
    import torch

    size, channels = positive("image_size", image_size), positive("in_channels", in_channels)
    noise, draws = torch.Generator("cpu").manual_seed(seed), range(positive("samples", samples))
    images = (torch.randn(1, channels, size, size, generator=noise, device="cpu") for _ in draws)
    total = _gradient(module, images, None)
    if not total.max() > 0:
        raise ValueError("no pixel matters to the middle unit: its gradient is zero on every image")
    return (total / total.max()).float()


def _gradient(module: nn.Module, images: Iterable[Tensor], unit: tuple[int, int] | None) -> Tensor:
    """Sum up the magnitude of a unit's gradient; caller's mode and random states stay as found."""
    import torch

    gpus = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(gpus):
        module = torch.nn.Sequential(copy.deepcopy(module)).eval()
        for child in module.modules():
            if hasattr(child, "inplace"):  # may overwrite what the gradient needs
                vars(child)["inplace"] = False
        total = torch.zeros((), dtype=torch.float64, device="cpu")
        for image in images:
            image = image.to(next(module.parameters(), image)).clone().requires_grad_()
            try:
                output = module(image.clone())
            except RuntimeError as error:
                raise ValueError(f"cannot take images {tuple(image.shape)}: {error}") from error
            if not isinstance(output, torch.Tensor) or output.ndim != 4:
                raise ValueError("no map of shape (1, channels, height, width): give net.features")
            height, width = output.shape[2:]
            row, column = unit or (height // 2, width // 2)
            if not (0 <= row < height and 0 <= column < width):
                raise ValueError(f"unit {unit} lies outside of the output map, {height}x{width}")
            (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), image)
            total = total + gradient.abs().sum(dim=(0, 1)).cpu()
    return total


def extent(gradient: Tensor) -> tuple[int, int, int, int]:
    """Return (top, left, height, width), in pixels, of the part of a gradient map above zero."""
    rows, columns = (gradient.sum(dim=dim).nonzero().flatten().tolist() for dim in (1, 0))
    if not rows:
        raise ValueError("the gradient map is zero everywhere: the unit sees nothing")
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


if __name__ == "__main__":
    try:
        table = receptive_field(sys.argv[1] if len(sys.argv) > 1 else "D")
    except ValueError as error:
        sys.exit(str(error))
    print("layer    kernel  stride  field  jump  start")
    for name, kernel_size, stride, _, jump, field, start, _ in table:
        print(f"{name:8} {kernel_size:6} {stride:7} {field:6} {jump:5} {start:6}")
