"""The six configurations of Table 1 as data, and what arithmetic says of them without PyTorch.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 2.1, Tables 1 and 2.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

# A convolution is (kernel size, output channels); it has stride 1, keeps the map's size, and a ReLU
# follows it. "M" is a 2x2 max-pool of stride 2, "LRN" is local response normalisation.
LayerSpec = tuple[int, int] | str


def _pooled(*blocks: Sequence[LayerSpec]) -> list[LayerSpec]:
    """Join blocks of layers, with a pool after each."""
    return [entry for block in blocks for entry in (*block, "M")]


#: The six configurations of Table 1, by name, lists of (kernel size, channels), "M" and "LRN".
layer_configs: dict[str, list[LayerSpec]] = {
    "A": _pooled([(3, 64)], [(3, 128)], [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2),
    "A-LRN": _pooled([(3, 64), "LRN"], [(3, 128)], [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2),
    "B": _pooled([(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2),
    "C": _pooled(
        [(3, 64)] * 2,
        [(3, 128)] * 2,
        [(3, 256)] * 2 + [(1, 256)],
        [(3, 512)] * 2 + [(1, 512)],
        [(3, 512)] * 2 + [(1, 512)],
    ),
    "D": _pooled([(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 3, [(3, 512)] * 3, [(3, 512)] * 3),
    "E": _pooled([(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 4, [(3, 512)] * 4, [(3, 512)] * 4),
}

# torchvision's names for four of them; "_bn" after such a name adds batch normalisation.
_TORCHVISION = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}


class LayerSummary(NamedTuple):
    """What one layer costs for one image. A ReLU works in place and adds nothing."""

    name: str
    output_shape: tuple[int, ...]  #: (channels, height, width); flattened, (features,)
    parameters: int  #: weights and biases
    macs: int  #: multiply-accumulates; FLOPs are about twice that
    activations: int  #: values that the layer puts out


def get_layers(layer_config: str | Sequence[LayerSpec], width: float = 1.0) -> list[LayerSpec]:
    """Return a configuration's layers, checked, from its name or from a list of one's own.

    Names are those of `layer_configs` and torchvision's "vgg11" to "vgg19", with or without "_bn".
    `width` multiplies every channel count (rounded, at least 1). Raises ValueError for an unknown
    name, no list, a malformed entry (named with its position), a width that is not positive.
    """
    if isinstance(layer_config, str):
        name = _TORCHVISION.get(layer_config.removesuffix("_bn"), layer_config)
        if name not in layer_configs:
            known = [*layer_configs, *_TORCHVISION, *(f"{each}_bn" for each in _TORCHVISION)]
            raise ValueError(f"unknown configuration {layer_config!r}: choose one of {known}")
        layer_config = layer_configs[name]
    elif not isinstance(layer_config, list | tuple):
        wanted = "a configuration is a name such as 'D' or a list of layers"
        raise ValueError(f"{wanted}, got {layer_config!r}")
    if not isinstance(width, int | float) or not 0 < width < math.inf:
        raise ValueError(f"width must be a positive factor, got {width!r}")
    if not layer_config:
        raise ValueError("the configuration is empty: give at least one layer, such as (3, 64)")
    return [_checked(entry, index, width) for index, entry in enumerate(layer_config)]


def _checked(entry: LayerSpec, index: int, width: float) -> LayerSpec:
    if isinstance(entry, str) and entry in ("M", "LRN"):
        return entry
    if isinstance(entry, tuple | list) and [type(value) for value in entry] == [int, int]:
        kernel_size, channels = entry
        if kernel_size > 0 and kernel_size % 2 == 1 and channels > 0:
            return kernel_size, max(1, round(channels * width))
    raise ValueError(
        f"layer {index} is {entry!r}: write 'M', 'LRN' or (kernel size, channels) "
        "with an odd kernel size, such as (3, 64)"
    )


def layer_names(layer_config: str | Sequence[LayerSpec]) -> list[str]:
    """Name layers by block and place, as the authors' released models do: conv3_2, pool3, lrn1."""
    names = []
    block, place = 1, 0
    for entry in get_layers(layer_config):
        if entry == "M":
            names.append(f"pool{block}")
            block, place = block + 1, 0
        elif entry == "LRN":
            names.append(f"lrn{block}")
        else:
            place += 1
            names.append(f"conv{block}_{place}")
    return names


def has_batch_norm(layer_config: str | Sequence[LayerSpec]) -> bool:
    """Tell whether a configuration's name asks for batch normalisation, as "vgg16_bn" does."""
    return isinstance(layer_config, str) and layer_config.endswith("_bn")


def min_size(layer_config: str | Sequence[LayerSpec]) -> int:
    """Return the smallest image side, in pixels, that leaves one value after the last pool."""
    return 2 ** get_layers(layer_config).count("M")


def summarise(
    layer_config: str | Sequence[LayerSpec],
    image_size: int | tuple[int, int] = 224,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    batch_norm: bool = False,
    width: float = 1.0,
    pool_size: int = 7,
    hidden_features: int = 4096,
    dense: bool = False,
) -> list[LayerSummary]:
    """Count what every layer holds and does for one image, without building a tensor.

    The first row is the input itself. `image_size` is a side in pixels or (height, width). The
    keyword arguments are those of `VGGNet`. Each batch normalisation (with `batch_norm`, or a name
    in "_bn") has its own row, and `avgpool` where it changes the map, which at 224 pixels it does
    not (the paper has no such layer).

    With `dense` the rows are those of the fully convolutional form (Sect. 3.2): no average, and
    fc6 to fc8 at every place of the map where a window of `pool_size` fits. Their parameters stay.

    Raises ValueError as `get_layers` does, for a count that is not a positive integer, and for an
    image too small for the pools, or with `dense` for the pools and fc6.
    """
    layers = get_layers(layer_config, width)
    batch_norm = batch_norm or has_batch_norm(layer_config)
    in_channels = positive("in_channels", in_channels)
    num_classes = positive("num_classes", num_classes)
    pool_size = positive("pool_size", pool_size)
    hidden_features = positive("hidden_features", hidden_features)
    sides = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise ValueError(f"image_size must be a side in pixels or (height, width): {image_size!r}")
    height, width_px = sides
    smallest = min_size(layers) * (pool_size if dense else 1)
    if min(sides) < smallest:
        needs = "the dense form" if dense else f"{layers.count('M')} pools"
        what = f"an image of {height}x{width_px} pixels is too small for {needs}"
        raise ValueError(f"{what}: each side needs at least {smallest}")

    shape = (in_channels, height, width_px)
    rows = [LayerSummary("input", shape, 0, 0, math.prod(shape))]
    for name, entry in zip(layer_names(layers), layers, strict=True):
        channels, height, width_px = shape
        parameters = macs = 0
        if entry == "M":
            shape = (channels, height // 2, width_px // 2)
        elif not isinstance(entry, str):
            kernel_size, out_channels = entry
            weights = kernel_size**2 * channels * out_channels
            parameters, macs = weights + out_channels, weights * height * width_px
            shape = (out_channels, height, width_px)
        rows.append(LayerSummary(name, shape, parameters, macs, math.prod(shape)))
        if batch_norm and not isinstance(entry, str):
            name = name.replace("conv", "bn")
            rows.append(LayerSummary(name, shape, 2 * shape[0], 0, math.prod(shape)))

    pooled = (shape[0], pool_size, pool_size)
    # fc6 to fc8 are applied once to the pooled map, or wherever a window of it fits.
    places = (shape[1] - pool_size + 1, shape[2] - pool_size + 1) if dense else ()
    if pooled != shape and not dense:
        rows.append(LayerSummary("avgpool", pooled, 0, 0, math.prod(pooled)))
    in_features = math.prod(pooled)
    outputs = {"fc6": hidden_features, "fc7": hidden_features, "fc8": num_classes}
    for name, features in outputs.items():
        shape, weights = (features, *places), in_features * features
        macs = weights * math.prod(places)
        rows.append(LayerSummary(name, shape, weights + features, macs, math.prod(shape)))
        in_features = features
    return rows


def total(rows: Sequence[LayerSummary]) -> LayerSummary:
    """Add rows up: parameters, macs and activations of the whole, with the last row's shape."""
    _, shapes, *counts = zip(*rows, strict=True)
    return LayerSummary("total", shapes[-1], *map(sum, counts))


def positive(name: str, value: int) -> int:
    """Return a count as a plain int; raise ValueError, naming it, if it is no positive integer."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return number
