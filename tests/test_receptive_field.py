"""The recurrence against a gradient probe, a closed form and published values."""

import math
import random

import pytest
import torch
from torch import nn

from vgg_utils.configs import layer_configs
from vgg_utils.model import VGGNet
from vgg_utils.receptive_field import (
    Layer,
    effective_receptive_field,
    extent,
    gradient_probe,
    receptive_field,
)


def closed_form(layers):
    """Field and jump of the last layer as a sum and a product (Araujo et al., 2019, Eq. 2)."""
    strides = [layer.stride for layer in layers]
    return (
        1
        + sum(
            layer.dilation * (layer.kernel_size - 1) * math.prod(strides[:index])
            for index, layer in enumerate(layers)
        ),
        math.prod(strides),
    )


@pytest.mark.parametrize("name", list(layer_configs))
def test_vgg_by_gradient(name):
    net = VGGNet(1, 2, name, width=1 / 64, pool_size=1, hidden_features=4)
    row = receptive_field(layer_configs[name])[-1]
    unit = 5
    left, right = row.interval(unit)
    gradient = gradient_probe(net.features, 352, in_channels=1, unit=(unit, unit))
    assert extent(gradient) == (left, left, right - left, right - left)


@pytest.mark.parametrize("seed", range(20))
def test_random_chains_by_gradient_and_closed_form(seed):
    """Any kernel, stride, padding and dilation, the unit's field lying inside the image."""
    rng = random.Random(seed)
    layers, modules = [], []
    for _ in range(rng.randint(1, 5)):
        kernel_size, stride = rng.randint(1, 5), rng.randint(1, 3)
        dilation, padding = rng.randint(1, 3), rng.randint(0, 2)
        layers.append(Layer(kernel_size, stride, padding, dilation))
        modules.append(
            nn.Conv2d(1, 1, kernel_size, stride=stride, padding=padding, dilation=dilation)
        )
    rows = receptive_field(layers)
    assert rows[-1][4:6] == closed_form(layers)[::-1]
    assert rows[-1][4:7] == receptive_field(modules)[-1][4:7]

    row = rows[-1]
    unit = max(0, math.ceil((row.receptive_field / 2 - row.start) / row.jump))
    left, right = row.interval(unit)
    size = int(right) + 2 * row.jump + row.receptive_field  # room to the right of the unit
    gradient = gradient_probe(nn.Sequential(*modules), size, in_channels=1, unit=(unit, unit))
    strided_gaps = extent(gradient)
    assert strided_gaps[:2] == (left, left)
    assert strided_gaps[2:] == (row.receptive_field, row.receptive_field)


def test_published_values():
    """AlexNet's pool5 sees 195 pixels (Araujo et al., 2019, table of known networks)."""
    alexnet = [
        Layer(11, 4),
        Layer(3, 2),
        Layer(5, 1, 2),
        Layer(3, 2),
        Layer(3, 1, 1),
        Layer(3, 1, 1),
        Layer(3, 1, 1),
        Layer(3, 2),
    ]
    assert receptive_field(alexnet)[-1].receptive_field == 195


def test_torchvision_networks_give_the_same_rows():
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        theirs = torchvision.models.vgg16_bn(weights=None).features
    assert receptive_field(theirs) == receptive_field(layer_configs["D"])


def test_max_pool_and_normalisation_in_the_probe():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.LocalResponseNorm(5),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    row = receptive_field(module)[-1]
    left, right = row.interval(4)
    assert extent(gradient_probe(module, 32, in_channels=1, unit=(4, 4))) == (
        left,
        left,
        right - left,
        right - left,
    )


def test_probe_of_a_lone_pool():
    pool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
    left, _ = receptive_field([pool])[0].interval(4)
    assert extent(gradient_probe(pool, 16, in_channels=1, unit=(4, 4))) == (left, left, 3, 3)
    with pytest.raises(ValueError, match="dilated max-pool"):
        gradient_probe(nn.MaxPool2d(3, dilation=2), 16)


def test_effective_field_lies_within_and_is_centred():
    torch.manual_seed(0)
    stack = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1) for _ in range(4)])
    heat = effective_receptive_field(stack, 21, in_channels=1, samples=2)
    assert heat.shape == (21, 21)
    assert heat.max() == 1
    assert extent(heat) == (6, 6, 9, 9)
    again = effective_receptive_field(stack, 21, in_channels=1, samples=2)
    assert torch.equal(heat, again)


def test_works_without_torch():
    """The arithmetic is for anyone with Python; PyTorch is imported by the probes alone."""
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from vgg_utils.configs import layer_configs\n"
        "from vgg_utils.receptive_field import receptive_field\n"
        "print(receptive_field(layer_configs['D'])[-1].receptive_field)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "212"


def test_sequentials_within_sequentials_and_named_paddings():
    inner = nn.Sequential(nn.Conv2d(1, 1, 5, padding="same"), nn.LeakyReLU())
    nested = nn.Sequential(inner, nn.Sequential(nn.Conv2d(1, 1, 4, padding="same", dilation=2)))
    nested.append(nn.Conv2d(1, 1, 3, padding="valid", stride=2))
    row = receptive_field(nested)[-1]
    left, right = row.interval(6)
    gradient = gradient_probe(nested, 48, in_channels=1, unit=(6, 6))
    top, _, height, _ = extent(gradient)
    assert (top, height) == (left, right - left)


@pytest.mark.parametrize(
    ("layers", "message"),
    [("D", r"layer_configs\['D'\]"), (VGGNet(1, 2, [(3, 1)], hidden_features=1), "net.features")],
)
def test_a_name_or_a_whole_network_is_no_chain(layers, message):
    with pytest.raises(TypeError, match=message):
        receptive_field(layers)


def test_normalisation_over_the_whole_map_is_refused():
    with pytest.raises(TypeError, match="InstanceNorm2d"):
        receptive_field([nn.InstanceNorm2d(2)])


def test_effective_field_of_a_lone_pool_and_of_no_samples():
    assert extent(effective_receptive_field(nn.AvgPool2d(3, stride=1), 9, in_channels=1))[2:] == (
        3,
        3,
    )
    with pytest.raises(ValueError, match="samples"):
        effective_receptive_field(nn.Conv2d(1, 1, 3), 9, in_channels=1, samples=0)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conv", "layer 1 is 'conv'"),
        (nn.Linear(2, 2), "layer 1 is Linear"),
        (nn.AdaptiveAvgPool2d(7), "layer 1 is AdaptiveAvgPool2d"),
    ],
)
def test_layers_without_a_sliding_window_are_refused(layer, message):
    with pytest.raises(TypeError, match=message):
        receptive_field([(3, 64), layer])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Layer(0), "kernel_size"),
        (Layer(3, stride=0), "stride"),
        (Layer(3, padding=-1), "padding"),
        (Layer(3, dilation=0), "dilation"),
        (Layer(2.5), "kernel_size"),
        (nn.Conv2d(1, 1, (3, 5)), "differs between the axes"),
    ],
)
def test_impossible_sizes_are_named(layer, message):
    with pytest.raises(ValueError, match=message):
        receptive_field([layer])


def test_probe_wants_a_map():
    with pytest.raises(ValueError, match="map of shape"):
        gradient_probe(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), 8, in_channels=1)
