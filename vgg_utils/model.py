"""VGGNet: a stack of convolutions made from a configuration, then three fully connected layers.

    x (N, 3, 224, 224)
      -> features    (N, 512, 7, 7)     convolutions and pools, from `layer_configs`
      -> avgpool     (N, 512, 7, 7)     changes nothing at 224 px; lets other sizes through
      -> classifier  (N, num_classes)   fc6, fc7, fc8

PyTorch's torchvision has the plain configurations A, B, D and E. This class has all six, says what
is wrong with a bad input, and is short enough to read. State dicts load both ways.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 2.1 (architecture), 3.1 (dropout), 3.2 (the
fully convolutional form).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.fx
from torch import nn
from torch.nn import functional as F

from vgg_utils.configs import LayerSpec, get_layers, layer_names, min_size, positive


def make_layer(
    in_channels: int, layers: str | Sequence[LayerSpec], *, batch_norm: bool = False
) -> nn.Sequential:
    """Turn a configuration into convolutions, ReLUs, pools and normalisations.

    Input (N, in_channels, H, W), output (N, last channels, H / 2**pools, W / 2**pools).
    A k x k convolution is padded by k // 2, so it keeps the map's size: 1 for 3x3, 0 for 1x1.

    Raises ValueError for a malformed entry, or channels that are no positive integer.
    """
    modules: list[nn.Module] = []
    channels = positive("in_channels", in_channels)
    for entry in get_layers(layers):
        if entry == "M":
            modules.append(nn.MaxPool2d(kernel_size=2, stride=2))
        elif entry == "LRN":
            # AlexNet's n=5, k=2, alpha=1e-4, beta=0.75. PyTorch divides alpha by n; AlexNet's
            # formula does not, so alpha is multiplied by n here.
            modules.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        elif not isinstance(entry, str):
            kernel_size, out_channels = entry
            modules.append(nn.Conv2d(channels, out_channels, kernel_size, padding=kernel_size // 2))
            if batch_norm:
                modules.append(nn.BatchNorm2d(out_channels))
            modules.append(nn.ReLU(inplace=True))
            channels = out_channels
    return nn.Sequential(*modules)


@torch.fx.wrap  # a check, not a computation: tracing the network steps over it
def _check_images(x: torch.Tensor, in_channels: int, layers: Sequence[LayerSpec]) -> None:
    """Raise ValueError unless x is (N, in_channels, H, W), with H and W enough for the pools."""
    if x.dim() != 4 or x.shape[1] != in_channels:
        raise ValueError(
            f"expected images of shape (N, {in_channels}, height, width), got {tuple(x.shape)}"
        )
    if min(x.shape[2:]) < min_size(layers):
        raise ValueError(
            f"an image of {x.shape[2]}x{x.shape[3]} pixels is too small for "
            f"{layers.count('M')} pools: each side needs at least {min_size(layers)}"
        )


class VGGNet(nn.Module):
    """A network of Table 1, by name or from a list of layers of one's own.

    Arguments:
        in_channels: channels of the images, 3 for colour.
        num_classes: length of the output.
        layer_config: "A", "A-LRN", "B", "C", "D", "E", or a list such as [(3, 64), "M"].
        batch_norm: normalise after each convolution (2015; the paper has none).
        width: factor on every channel count, for small experiments.
        pool_size: side of the map handed to fc6. The paper's is 7; use 1 for 32-pixel images.
        hidden_features: length of fc6 and fc7.
        dropout: probability of dropping a value after the ReLU of fc6 and of fc7.
        init: how the weights start, see `initialise`.

    Raises ValueError for a configuration it does not know or cannot read, and when called with
    images of the wrong shape or too small for the pools.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        layer_config: str | Sequence[LayerSpec] = "A",
        *,
        batch_norm: bool = False,
        width: float = 1.0,
        pool_size: int = 7,
        hidden_features: int = 4096,
        dropout: float = 0.5,
        init: str | float = "he",
    ) -> None:
        super().__init__()
        self.in_channels = positive("in_channels", in_channels)
        num_classes = positive("num_classes", num_classes)
        self.pool_size = positive("pool_size", pool_size)
        hidden_features = positive("hidden_features", hidden_features)
        self.layers = get_layers(layer_config, width)
        channels = [entry[1] for entry in self.layers if not isinstance(entry, str)]
        if not channels:
            raise ValueError("the configuration has no convolution: add one, such as (3, 64)")

        self.features = make_layer(in_channels, self.layers, batch_norm=batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d((pool_size, pool_size))
        self.classifier = nn.Sequential(
            nn.Linear(channels[-1] * pool_size**2, hidden_features),  # fc6
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, hidden_features),  # fc7
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, num_classes),  # fc8
        )
        initialise(self, init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, in_channels, H, W) to logits (N, num_classes)."""
        _check_images(x, self.in_channels, self.layers)
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))

    @property
    def image_size(self) -> int:
        """The side in pixels, 224 for the paper's nets, of which the last map is pool_size wide."""
        return self.pool_size * min_size(self.layers)


class FullyConvolutional(nn.Module):
    """A VGGNet whose fully connected layers are convolutions: see `fully_convolutional`."""

    def __init__(self, model: VGGNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, in_channels, H, W) to class scores (N, num_classes, h, w)."""
        _check_images(x, self.model.in_channels, self.model.layers)
        least = self.model.image_size
        if min(x.shape[2:]) < least:
            raise ValueError(
                f"the fully convolutional form needs images of at least {least} pixels a side, got "
                f"{x.shape[2]}x{x.shape[3]}"
            )
        x = self.model.features(x)
        for layer in self.model.classifier:
            if isinstance(layer, nn.Linear):
                # The row of weights of one output, laid out again as the window it came from.
                side = math.isqrt(layer.in_features // x.shape[1])  # fc6: pool_size, then 1
                window = layer.weight.unflatten(1, (x.shape[1], side, side))
                x = F.conv2d(x, window, layer.bias)
            else:
                x = layer(x)
        return x


def fully_convolutional(model: VGGNet) -> FullyConvolutional:
    """Return the form of a network that takes whole images of any larger size (Sect. 3.2).

    fc6 becomes a convolution with a window of pool_size x pool_size, 7x7 in the paper, fc7 and fc8
    become 1x1 convolutions, none of them padded. Images (N, in_channels, H, W), with H and W of at
    least `model.image_size`, give a map of class scores (N, num_classes, h, w) with
    h = H // 2**pools - pool_size + 1, and w likewise. Pixels that the pools' rounding down leaves
    over at the right and bottom have little or no say.

    Nothing is copied: both forms use the same weights, also after further training, and one `eval`
    or `to` serves both.

    An image of `image_size` gives one value per class: what `model` gives, to rounding. `avgpool`
    changes nothing there. On larger images the two differ in kind: `model` averages the map down to
    pool_size, this form leaves the average out and slides over the map. A network that was trained
    on images larger than `image_size` has therefore learnt on averaged maps, and meets others here.

    Value (i, j) of the map belongs to the window of image_size pixels whose corner is at
    (2**pools i, 2**pools j). It is what `model` gives for that window cut out only if no
    convolution is padded (all 1x1). Otherwise the cut puts zeros where the image has its
    neighbouring pixels: of the 7x7 maps of a 224-pixel window inside a larger image, 9 of 49 places
    are untouched by that in A, 1 in D, none in E. A window cut out with so much context that no
    padding reaches it, and its place then read off the map, gives the same value again.

    Raises ValueError for anything but a VGGNet and, when called, for images that are too small.
    """
    if not isinstance(model, VGGNet):
        raise ValueError(f"the fully convolutional form is made of a VGGNet, got {type(model)}")
    return FullyConvolutional(model)


def initialise(model: nn.Module, scheme: str | float = "he") -> None:
    """Set the weights of convolutions and fully connected layers anew, and biases to zero.

    "he": normal, variance 2 / fan_in, made for ReLU (He et al., 2015, Eq. 10).
    "xavier": uniform, variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010, Eq. 16), which the
        authors found to work without pre-training (Sect. 3.1).
    "pytorch": leave PyTorch's default, uniform with variance 1 / (3 fan_in), biases included.
    A number: normal with this standard deviation in every layer. Sect. 3.1 prints a variance of
        10^-2, which is 0.1; 0.01 is probably meant.

    Raises ValueError for anything else.
    """
    named = scheme in ("he", "xavier", "pytorch")
    if not named and (isinstance(scheme, str) or not 0 <= scheme < math.inf):
        raise ValueError(
            f"unknown initialisation {scheme!r}: choose 'he', 'xavier', 'pytorch' or a standard "
            "deviation"
        )
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


# What the deeper nets took over from A (Sect. 3.1): its first four convolutions and its three fully
# connected layers. By name, since by position the second convolution of D would not fit.
FROM_A = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")


def weight_layers(model: VGGNet) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the layers that hold weights, first to last, by name: conv1_1 to fc8."""
    names = [name for name in layer_names(model.layers) if name.startswith("conv")]
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return dict(zip([*names, "fc6", "fc7", "fc8"], layers, strict=True))


def copy_layers(source: VGGNet, target: VGGNet, names: Sequence[str] = FROM_A) -> None:
    """Copy weights and biases of the named layers, by default those the authors took from A.

    Raises ValueError for a name that either network lacks, or shapes that differ; then nothing has
    been copied.
    """
    theirs, ours = weight_layers(source), weight_layers(target)
    for name in names:
        if name not in theirs or name not in ours:
            both = ", ".join(known for known in ours if known in theirs)
            raise ValueError(f"no layer {name!r} in both networks: they share {both}")
        shapes = [tuple(layers[name].weight.shape) for layers in (theirs, ours)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the weights of {name} are {shapes[0]} in one network and {shapes[1]} in the "
                "other: build both with the same width, hidden_features, pool_size and classes"
            )
    for name in names:
        ours[name].load_state_dict(theirs[name].state_dict())
