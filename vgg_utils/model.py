"""VGGNet: a stack of convolutions made from a configuration, then three fully connected layers.

    x (N, 3, 224, 224)
      -> features    (N, 512, 7, 7)     convolutions and pools, from `layer_configs`
      -> avgpool     (N, 512, 7, 7)     changes nothing at 224 px; lets other sizes through
      -> classifier  (N, num_classes)   fc6, fc7, fc8

State dicts of torchvision's A, B, D and E load both ways. What a network says of itself is read off
its modules, so that it may be changed.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 2.1, 3.1 and 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.jit import is_scripting  # type: ignore[attr-defined]
from torch.nn import functional as F

from vgg_utils.configs import LayerSpec, get_layers, has_batch_norm, positive
from vgg_utils.inputs import chain, features_of, is_symbolic, layers_of, least_side, unwrap
from vgg_utils.receptive_field import receptive_field


def make_layer(
    in_channels: int,
    layers: str | Sequence[LayerSpec],
    *,
    batch_norm: bool = False,
    inplace: bool = True,
) -> nn.Sequential:
    """Turn a configuration into convolutions, ReLUs, pools and normalisations.

    Input (N, in_channels, H, W), output (N, last channels, H / 2**pools, W / 2**pools).
    A k x k convolution is padded by k // 2, so it keeps the map's size: 1 for 3x3, 0 for 1x1.
    `batch_norm` and `inplace` are those of `VGGNet`. Raises ValueError for a malformed entry, or
    channels that are no positive integer.
    """
    modules: list[nn.Module] = []
    channels = positive("in_channels", in_channels)
    batch_norm = batch_norm or has_batch_norm(layers)
    for entry in get_layers(layers):
        if entry == "M":
            modules.append(nn.MaxPool2d(kernel_size=2, stride=2))
        elif entry == "LRN":
            # AlexNet's n=5, k=2, alpha=1e-4, beta=0.75; PyTorch divides alpha by n, AlexNet not.
            modules.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        elif not isinstance(entry, str):
            kernel_size, out_channels = entry
            modules.append(nn.Conv2d(channels, out_channels, kernel_size, padding=kernel_size // 2))
            if batch_norm:
                modules.append(nn.BatchNorm2d(out_channels))
            modules.append(nn.ReLU(inplace=inplace))
            channels = out_channels
    return nn.Sequential(*modules)


class VGGNet(nn.Module):
    """A network of Table 1, by name or from a list of layers of one's own.

    Arguments:
        in_channels: channels of the images, 3 for colour.
        num_classes: length of the output.
        layer_config: "A", "A-LRN", "B", "C", "D", "E", torchvision's "vgg11" to "vgg19_bn", or a
            list such as [(3, 64), "M"].
        batch_norm: normalise after each convolution (2015; the paper has none).
        width: factor on every channel count, for small experiments.
        pool_size: side of the map handed to fc6. The paper's is 7; use 1 for 32-pixel images.
        hidden_features: length of fc6 and fc7.
        dropout: probability of dropping a value after the ReLU of fc6 and of fc7.
        init: how the weights start, see `initialise`.
        inplace: let each ReLU overwrite its input, which saves memory. Turn it off to keep what a
            convolution puts out (by a hook, or torchvision's create_feature_extractor), which a
            ReLU in place changes afterwards, and for full backward hooks.

    `pixel_range`, None at first, is for the least and greatest pixel of training: images far
    beyond it (where it is None, beyond 20) are warned of once. RGB or BGR no network can tell.
    ONNX has no adaptive average: exported there, images may vary in size with a pool_size of 1, or
    in the fully convolutional form.

    Raises ValueError for a configuration it cannot read, and called with images that do not fit.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        layer_config: str | Sequence[LayerSpec] = "A",
        *,
        batch_norm: bool = False,
        width: float = 1.0,
        pool_size: int = 7,
        hidden_features: int = 4096,
        dropout: float = 0.5,
        init: str | float = "he",
        inplace: bool = True,
    ) -> None:
        super().__init__()
        num_classes = positive("num_classes", num_classes)
        pool_size = positive("pool_size", pool_size)
        hidden_features = positive("hidden_features", hidden_features)
        layers = get_layers(layer_config, width)
        channels = [entry[1] for entry in layers if not isinstance(entry, str)]
        if not channels:
            raise ValueError("the configuration has no convolution: add one, such as (3, 64)")
        batch_norm = batch_norm or has_batch_norm(layer_config)
        self.features = make_layer(in_channels, layers, batch_norm=batch_norm, inplace=inplace)
        self.avgpool = nn.AdaptiveAvgPool2d((pool_size, pool_size))
        self.classifier = nn.Sequential(
            nn.Linear(channels[-1] * pool_size**2, hidden_features),  # fc6
            nn.ReLU(inplace=inplace),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, hidden_features),  # fc7
            nn.ReLU(inplace=inplace),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, num_classes),  # fc8
        )
        self.pixel_range: tuple[float, float] | None = None
        initialise(self, init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.features(x) if is_scripting() else features_of(self, x)
        return self.classifier(torch.flatten(self.avgpool(x), 1))

    # What the network says of itself: a ValueError, naming the module, where that cannot be told.

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return layers_of(self.features, "features", nn.Conv2d)[0].in_channels

    @property
    def num_classes(self) -> int:
        """Length of the output."""
        return layers_of(self.classifier, "classifier", nn.Linear)[-1].out_features

    @property
    def pool_size(self) -> int:
        """Side of the map that avgpool hands to the classifier."""
        if isinstance(self.avgpool, nn.Identity):
            channels = layers_of(self.features, "features", nn.Conv2d)[-1].out_channels
            fc6 = layers_of(self.classifier, "classifier", nn.Linear)[0]
            return math.isqrt(fc6.in_features // channels)
        size = getattr(self.avgpool, "output_size", None)
        height, width = size if isinstance(size, tuple) else (size, size)
        if height is None or height != width:
            raise ValueError(f"avgpool is {self.avgpool}, which gives no square of a fixed size")
        return height

    @property
    def min_size(self) -> int:
        """The least side of an image, in pixels, that leaves one value after the last pool."""
        return least_side(self.features, 1)

    @property
    def image_size(self) -> int:
        """The side in pixels, 224 for the paper's nets, of which the last map is pool_size wide."""
        return least_side(self.features, self.pool_size)

    @property
    def arguments(self) -> dict[str, Any] | None:
        """Plain values from which `VGGNet(**arguments)` builds this network; None if none do."""
        words = {nn.MaxPool2d: "M", nn.LocalResponseNorm: "LRN"}
        layers: list[Any] = [m for m in self.features.modules() if type(m) in (nn.Conv2d, *words)]
        try:
            fc6, relu, dropout = [*self.classifier.children()][:3]
            config = [words.get(type(m)) or [m.kernel_size[0], m.out_channels] for m in layers]
            found: dict[str, Any] = {
                "in_channels": self.in_channels,
                "num_classes": self.num_classes,
                "layer_config": config,
                "batch_norm": any(isinstance(m, nn.BatchNorm2d) for m in self.features.modules()),
                "pool_size": self.pool_size,
                "hidden_features": fc6.out_features,
                "dropout": dropout.p,
                "inplace": relu.inplace,
            }
            with torch.device("meta"):
                rebuilt = VGGNet(**found, init="pytorch")
        except (AttributeError, TypeError, ValueError):
            return None
        return found if repr(rebuilt) == repr(self) else None

    # torch.jit.script compiles `forward` alone.
    __jit_unused_properties__ = tuple(n for n, own in vars().items() if isinstance(own, property))


class FullyConvolutional(nn.Module):
    """A VGGNet whose fully connected layers are convolutions: see `fully_convolutional`."""

    def __init__(self, model: VGGNet) -> None:
        super().__init__()
        self.model, self.training = model, model.training

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, in_channels, H, W) to class scores (N, num_classes, h, w)."""
        size, x, side = x.shape, features_of(self.model, x), self.model.pool_size
        if not is_symbolic(x) and min(x.shape[2:]) < side:
            needed = f"images of at least {self.model.image_size} pixels a side"
            raise ValueError(f"the dense form needs {needed}, got {size[2]}x{size[3]}")
        for layer, _ in chain(self.model.classifier, "classifier"):
            if isinstance(layer, nn.Linear):
                # The row of weights of one output, laid out again as the window it came from.
                x = F.conv2d(x, layer.weight.unflatten(1, (-1, side, side)), layer.bias)
                side = 1  # after fc6
            else:
                x = layer(x)
        return x


def fully_convolutional(model: VGGNet) -> FullyConvolutional:
    """Return the form of a network that takes whole images of any larger size (Sect. 3.2).

    fc6 becomes a convolution with a window of pool_size x pool_size, 7x7 in the paper, fc7 and fc8
    become 1x1 convolutions, none of them padded. Images (N, in_channels, H, W), with H and W of at
    least `model.image_size`, give a map of class scores (N, num_classes, h, w) with
    h = H // 2**pools - pool_size + 1, and w likewise. Both forms share their weights, and one
    `eval` or `to` serves both. This one can be traced and exported, not scripted.

    An image of `image_size` gives one value per class: what `model` gives, to rounding. On larger
    images `model` averages the map down to pool_size; this form slides over it. Value (i, j)
    belongs to the window of image_size pixels whose corner is at (2**pools i, 2**pools j), but cut
    out, that window is padded with zeros where the image goes on, and gives another (Lesson 8).

    Raises ValueError for anything but a VGGNet, and when called for images that are too small or a
    classifier with other layers than Linear, activations and dropout.
    """
    network = unwrap(model)
    if not isinstance(network, VGGNet):
        raise ValueError(f"the fully convolutional form is made of a VGGNet, got {type(network)}")
    return FullyConvolutional(network)


def initialise(model: nn.Module, scheme: str | float = "he") -> None:
    """Set the weights of convolutions and fully connected layers anew, and biases to zero.

    "he": normal, variance 2 / fan_in, made for ReLU (He et al., 2015, Eq. 10).
    "xavier": uniform, variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010, Eq. 16; Sect. 3.1).
    "pytorch": leave PyTorch's default, uniform with variance 1 / (3 fan_in), biases included.
    A number: normal with this standard deviation. Sect. 3.1 prints a variance of 10^-2, which is a
    deviation of 0.1; 0.01 is probably meant.

    Raises ValueError for anything else.
    """
    named = scheme in ("he", "xavier", "pytorch")
    if not named and (isinstance(scheme, str) or not 0 <= scheme < math.inf):
        known = "'he', 'xavier', 'pytorch' or a standard deviation"
        raise ValueError(f"unknown initialisation {scheme!r}: choose {known}")
    if scheme == "pytorch":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if scheme == "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif scheme == "xavier":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, std=float(scheme))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# What the deeper nets took over from A (Sect. 3.1). By position, D's second would not fit.
FROM_A = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")


def weight_layers(model: VGGNet) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the layers that hold weights, first to last, by name: conv1_1 to fc8.

    Raises ValueError for anything but a VGGNet, and at a module whose layers have no such names.
    """
    network = unwrap(model)
    if not isinstance(network, VGGNet):
        raise ValueError(f"expected a VGGNet, got {type(network)}")
    convolutions = layers_of(network.features, "features", nn.Conv2d)
    names = [row.name for row in receptive_field([network.features]) if "conv" in row.name]
    linears = layers_of(network.classifier, "classifier", nn.Linear)
    names += [f"fc{number}" for number in range(6, 6 + len(linears))]
    return dict(zip(names, [*convolutions, *linears], strict=True))


def copy_layers(source: VGGNet, target: VGGNet, names: Sequence[str] = FROM_A) -> None:
    """Copy weights and biases of the named layers, by default those the authors took from A.

    Raises ValueError, before it copies any, for a name that either lacks, or shapes that differ.
    """
    theirs, ours = weight_layers(source), weight_layers(target)
    for name in names:
        if name not in theirs or name not in ours:
            both = ", ".join(known for known in ours if known in theirs)
            raise ValueError(f"no layer {name!r} in both networks: they share {both}")
        one, other = tuple(theirs[name].weight.shape), tuple(ours[name].weight.shape)
        if one != other:
            differ = f"{one} in one network and {other} in the other"
            raise ValueError(f"the weights of {name} are {differ}: build both with the same sizes")
    for name in names:
        ours[name].load_state_dict(theirs[name].state_dict())
