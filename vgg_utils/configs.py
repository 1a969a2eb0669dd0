"""The six configurations of Table 1 as data, and what arithmetic alone says of them.

Nothing here needs PyTorch: output shapes, parameters, multiply-accumulates and activation sizes
follow from the configuration. `tests/test_configs.py` holds them against Table 2 of the paper and
against what real modules report.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 2.1, Tables 1 and 2.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

# A convolution is (kernel size, output channels); "M" is a 2x2 max-pool of stride 2; "LRN" is
# local response normalisation. Every convolution has stride 1, keeps the map's size, and is
# followed by a ReLU.
LayerSpec = tuple[int, int] | str

#: The six configurations of Table 1, by name: lists of (kernel size, channels), "M" and "LRN".
layer_configs: dict[str, list[LayerSpec]] = {
    "A": [
        (3, 64),
        "M",
        (3, 128),
        "M",
        (3, 256),
        (3, 256),
        "M",
        (3, 512),
        (3, 512),
        "M",
        (3, 512),
        (3, 512),
        "M",
    ],
    "A-LRN": [
        (3, 64),
        "LRN",
        "M",
        (3, 128),
        "M",
        (3, 256),
        (3, 256),
        "M",
        (3, 512),
        (3, 512),
        "M",
        (3, 512),
        (3, 512),
        "M",
    ],
    "B": [
        (3, 64),
        (3, 64),
        "M",
        (3, 128),
        (3, 128),
        "M",
        (3, 256),
        (3, 256),
        "M",
        (3, 512),
        (3, 512),
        "M",
        (3, 512),
        (3, 512),
        "M",
    ],
    "C": [
        (3, 64),
        (3, 64),
        "M",
        (3, 128),
        (3, 128),
        "M",
        (3, 256),
        (3, 256),
        (1, 256),
        "M",
        (3, 512),
        (3, 512),
        (1, 512),
        "M",
        (3, 512),
        (3, 512),
        (1, 512),
        "M",
    ],
    "D": [
        (3, 64),
        (3, 64),
        "M",
        (3, 128),
        (3, 128),
        "M",
        (3, 256),
        (3, 256),
        (3, 256),
        "M",
        (3, 512),
        (3, 512),
        (3, 512),
        "M",
        (3, 512),
        (3, 512),
        (3, 512),
        "M",
    ],
    "E": [
        (3, 64),
        (3, 64),
        "M",
        (3, 128),
        (3, 128),
        "M",
        (3, 256),
        (3, 256),
        (3, 256),
        (3, 256),
        "M",
        (3, 512),
        (3, 512),
        (3, 512),
        (3, 512),
        "M",
        (3, 512),
        (3, 512),
        (3, 512),
        (3, 512),
        "M",
    ],
}


_TORCHVISION = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}


def has_batch_norm(name: str) -> bool:
    """Say whether a configuration's name asks for batch normalisation, as "vgg16_bn" does."""
    return name.endswith("_bn")


class LayerSummary(NamedTuple):
    """What one layer costs for one image.

    `output_shape` is (channels, height, width), or (features,) after the flattening, which the
    dense form has not.
    `parameters` counts weights and biases. `macs` counts the multiply-accumulates of convolutions
    and fully connected layers; a FLOP count is about twice that. `activations` is the number of
    values the layer puts out; the ReLU works in place and adds none.
    """

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    activations: int


def get_layers(layer_config: str | Sequence[LayerSpec], width: float = 1.0) -> list[LayerSpec]:
    """Return a configuration's layers, checked, from its name or from a list of one's own.

    `width` multiplies every channel count (rounded, at least 1).

    Raises ValueError for an unknown name, something that is no list, a malformed entry (named with
    its position) or a width that is not a positive number.
    """
    if isinstance(layer_config, str):
        name = _TORCHVISION.get(layer_config.removesuffix("_bn"), layer_config)
        if name not in layer_configs:
            known = ", ".join(repr(name) for name in (*layer_configs, *_TORCHVISION))
            raise ValueError(f"unknown configuration {layer_config!r}: choose one of {known}")
        layer_config = layer_configs[name]
    elif not isinstance(layer_config, list | tuple):
        raise ValueError(
            f"a configuration is a name such as 'D' or a list of layers, got {layer_config!r}"
        )
    if not isinstance(width, int | float) or not 0 < width < math.inf:
        raise ValueError(f"width must be a positive factor, got {width!r}")
    if not layer_config:
        raise ValueError("the configuration is empty: give at least one layer, such as (3, 64)")
    return [_checked(entry, index, width) for index, entry in enumerate(layer_config)]


def _checked(entry: LayerSpec, index: int, width: float) -> LayerSpec:
    if entry in ("M", "LRN"):
        return entry
    if (
        isinstance(entry, tuple | list)
        and len(entry) == 2
        and all(type(value) is int and value > 0 for value in entry)
        and entry[0] % 2 == 1
    ):
        kernel_size, channels = entry
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


def least_image_size(layer_config: str | Sequence[LayerSpec]) -> int:
    """Return the least image side, in pixels, that leaves one value after the last pool."""
    return 2 ** sum(entry == "M" for entry in get_layers(layer_config))


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
    keyword arguments are those of `VGGNet`; with `batch_norm` each normalisation has its own row.
    A row `avgpool` appears only where the pooling to `pool_size` changes the map, which at 224
    pixels it does not (the paper has no such layer).

    With `dense` the rows are those of the fully convolutional form (Sect. 3.2): no average, and
    fc6 to fc8 at every place of the map where a window of `pool_size` fits. Their parameters stay.

    Raises ValueError as `get_layers` does, for a count that is not a positive integer, and for an
    image smaller than the pools, or with `dense` the pools and fc6, allow.
    """
    layers = get_layers(layer_config, width)
    in_channels = positive("in_channels", in_channels)
    num_classes = positive("num_classes", num_classes)
    pool_size = positive("pool_size", pool_size)
    hidden_features = positive("hidden_features", hidden_features)
    sides = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise ValueError(
            f"image_size must be a side in pixels or (height, width), got {image_size!r}"
        )
    height, width_px = sides
    check_image_size(layers, height, width_px)
    if dense and min(sides) < pool_size * least_image_size(layers):
        raise ValueError(
            f"an image of {height}x{width_px} pixels is too small for the dense form: each side "
            f"needs at least {pool_size * least_image_size(layers)}"
        )

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
            parameters = weights + out_channels
            macs = weights * height * width_px
            shape = (out_channels, height, width_px)
        rows.append(LayerSummary(name, shape, parameters, macs, math.prod(shape)))
        if batch_norm and not isinstance(entry, str):
            norm = name.replace("conv", "bn")
            rows.append(LayerSummary(norm, shape, 2 * shape[0], 0, math.prod(shape)))

    pooled = (shape[0], pool_size, pool_size)
    # How often fc6 to fc8 are applied: once to the pooled map, or wherever a window fits.
    places = (shape[1] - pool_size + 1, shape[2] - pool_size + 1) if dense else ()
    if pooled != shape and not dense:
        rows.append(LayerSummary("avgpool", pooled, 0, 0, math.prod(pooled)))
    in_features = math.prod(pooled)
    for name, features in zip(
        ("fc6", "fc7", "fc8"), (hidden_features, hidden_features, num_classes), strict=True
    ):
        weights = in_features * features
        shape, times = (features, *places), math.prod(places)
        rows.append(
            LayerSummary(name, shape, weights + features, weights * times, features * times)
        )
        in_features = features
    return rows


def total(rows: Sequence[LayerSummary]) -> LayerSummary:
    """Add rows up: parameters, macs and activations of the whole, with the last row's shape."""
    return LayerSummary(
        "total",
        rows[-1].output_shape,
        sum(row.parameters for row in rows),
        sum(row.macs for row in rows),
        sum(row.activations for row in rows),
    )


def check_image_size(layer_config: str | Sequence[LayerSpec], height: int, width: int) -> None:
    """Raise ValueError if an image of height x width pixels is too small for the pools."""
    least = least_image_size(layer_config)
    if min(height, width) < least:
        pools = least.bit_length() - 1
        raise ValueError(
            f"an image of {height}x{width} pixels is too small for {pools} pools: "
            f"each side needs at least {least}"
        )


def positive(name: str, value: int) -> int:
    """Return a count as a plain int; raise ValueError, naming it, if it is no positive integer."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return number
