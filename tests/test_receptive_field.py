"""The recurrence against a gradient probe, a closed form and published values."""

import math
import random
import re
import subprocess
import sys
import types
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from vgg_utils.configs import get_layers, layer_configs, layer_names
from vgg_utils.model import VGGNet
from vgg_utils.receptive_field import (
    _POINTWISE,
    _WINDOWS,
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


@pytest.mark.parametrize("name", ["A-LRN", "vgg11", "vgg19_bn"])
def test_a_configurations_name_stands_for_its_layers(name):
    rows = receptive_field(name)
    assert rows == receptive_field(get_layers(name))
    windows = [each for each in layer_names(name) if not each.startswith("lrn")]
    assert [row.name for row in rows] == windows


def test_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match="unknown configuration 'VGG16': choose one of"):
        receptive_field("VGG16")


# Which modules slide a window, and which stay at their place


def inputs_of_a_unit(module, shape, unit):
    """Say along the first axis which inputs reach a unit: those that make it NaN when they are."""
    size = shape[2]
    images = torch.rand(size, *shape[1:], dtype=torch.float64) + 1
    for place in range(size):
        images[place, :, place] = math.nan
    seen = module.double().eval()(images)[:, 0, unit].reshape(size, -1).isnan().any(dim=1)
    return seen.nonzero().flatten().tolist()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("settings", [(3, 1, 1), (2, 2, 0), (4, 3, 2), (5, 2, 0)])
@pytest.mark.parametrize("kind", ["Conv", "MaxPool", "AvgPool", "LPPool"])
def test_windows_are_those_of_the_modules(kind, settings, axes):
    cls = getattr(nn, f"{kind}{axes}d", None)
    if cls is None:
        pytest.skip(f"this torch has no {kind}{axes}d")
    kernel_size, stride, padding = settings
    if kind == "Conv":
        module = cls(1, 1, kernel_size, stride, padding)
    elif kind == "LPPool":  # it has no padding
        module, padding = cls(2, kernel_size, stride), 0
    else:
        module = cls(kernel_size, stride, padding)
    (row,) = receptive_field([module])
    left, right = row.interval(2)
    seen = inputs_of_a_unit(module, (1, 1, *(14,) * axes), 2)
    assert seen == list(range(int(left), int(right)))
    assert (row.kernel_size, row.stride, row.padding) == (kernel_size, stride, padding)
    assert row.name == ("conv1_1" if kind == "Conv" else "pool1")


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3), nn.AvgPool2d([3, 3]), nn.LPPool2d(2, 3)])
def test_a_pool_that_is_not_told_its_stride_moves_by_its_width(pool):
    assert receptive_field([pool])[0].jump == 3
    assert pool(torch.rand(1, 1, 9, 9)).shape[2:] == (3, 3)


def public_modules():
    """All classes of modules that torch.nn makes public, by name."""
    classes = {name: getattr(nn, name) for name in dir(nn) if isinstance(getattr(nn, name), type)}
    return {name: cls for name, cls in classes.items() if issubclass(cls, nn.Module)}


ARGUMENTS = {"SyncBatchNorm": (4,), "Threshold": (1.1, 2.0), "LocalResponseNorm": (3,)}


@pytest.mark.parametrize("name", sorted(_POINTWISE & public_modules().keys()))
def test_what_gets_no_row_stays_at_its_place(name):
    if name == "Softshrink" and not nn.Softshrink()(torch.tensor(math.nan)).isnan():
        pytest.skip("PyTorch 2.2 puts out 0 for a NaN, which tells nothing")
    torch.manual_seed(0)
    axes = int(name[-2]) if name[-2:] in ("1d", "2d", "3d") else 2
    module = getattr(nn, name)(*ARGUMENTS.get(name, (4,) if "BatchNorm" in name else ()))
    assert receptive_field([module]) == []
    assert inputs_of_a_unit(module, (1, 4, *(6,) * axes), 2) == [2]


KNOWN = _POINTWISE | _WINDOWS | {"Sequential"}


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize("name", sorted(public_modules().keys() - KNOWN))
def test_every_other_module_of_torch_is_refused_by_name(name):
    """Whatever it has for attributes: unpooling, folding, norms over the map, lazy ones, ..."""
    cls = public_modules()[name]
    other = cls.__new__(cls)
    nn.Module.__init__(other)
    vars(other).update(kernel_size=2, stride=2, padding=0, dilation=1)
    with pytest.raises(TypeError, match=f"layer 1 is {name}, not known to slide a window"):
        receptive_field([(3, 64), other])


def test_an_unpooling_is_no_second_pool():
    chain = [nn.MaxPool2d(2), nn.MaxUnpool2d(2), nn.Conv2d(1, 1, 3)]
    with pytest.raises(TypeError, match="layer 1 is MaxUnpool2d"):
        receptive_field(chain)


class Conv2d(nn.Module):
    """An own block that looks like a convolution, by its name and attributes."""

    kernel_size, stride, padding, dilation = 3, 1, 1, 1

    def forward(self, x):
        return x - x.mean()


class Residual(nn.Sequential):
    """A chain with a short cut."""

    def forward(self, x):
        return x + super().forward(x)


class PaddedConv(nn.Conv2d):
    """A convolution that pads its input by itself."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))


class Window(NamedTuple):
    kernel_size: int = 3


@pytest.mark.parametrize(
    "own",
    [
        Conv2d(),
        Residual(nn.Conv2d(1, 1, 3, padding=1)),
        PaddedConv(1, 1, 3),
        Window(),
        types.SimpleNamespace(kernel_size=3, stride=1, padding=0, dilation=1),
        nn.Conv2d,
        torch.ones(2),
        3,
        None,
    ],
    ids=lambda own: type(own).__name__,
)
@pytest.mark.parametrize("wrap", [list, tuple, iter])
def test_what_only_looks_like_a_layer_is_refused(own, wrap):
    name = repr(own) if isinstance(own, tuple) else type(own).__name__
    with pytest.raises(TypeError, match=re.escape(f"layer 1 is {name}, not known")):
        receptive_field(wrap([nn.ReLU(), own]))


def test_a_short_cut_is_refused_as_the_whole_chain_and_inside_it():
    short_cut = Residual(nn.Conv2d(1, 1, 3, padding=1))
    with pytest.raises(TypeError, match="Residual is no chain of layers"):
        receptive_field(short_cut)
    with pytest.raises(TypeError, match="layer 0 is Residual"):
        receptive_field(nn.Sequential(short_cut, nn.ReLU()))


def test_subclasses_that_compute_the_same_count_as_what_they_are():
    class Block(nn.Sequential):
        pass

    class Named(nn.Conv2d):
        label = "mine"

    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 1, 3, 2))
    lazy = nn.LazyConv2d(1, 3, 2)
    with pytest.raises(TypeError, match="layer 0 is LazyConv2d"):
        receptive_field([lazy])
    lazy(torch.zeros(1, 1, 8, 8))  # now it knows its channels, and is a Conv2d
    plain = receptive_field([nn.Conv2d(1, 1, 3, 2)])
    for same in (Named(1, 1, 3, 2), normed, lazy):
        assert receptive_field(Block(same)) == plain


def test_numpys_integers_are_integers():
    three, two = np.array([3, 2])
    plain = receptive_field([Layer(3, 2), (3, 64), nn.Conv2d(1, 1, 3, 2)])
    same = receptive_field([Layer(three, two), (three, 64), nn.Conv2d(1, 1, three, two)])
    assert repr(same) == repr(plain)


def test_circular_padding_is_refused():
    conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    with pytest.raises(ValueError, match="layer 0: circular padding"):
        receptive_field([conv])


# The module itself, asked by its gradient


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


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(3, dilation=2), nn.FractionalMaxPool2d(2, 4), nn.AdaptiveMaxPool2d(4)]
)
def test_probe_refuses_a_max_pool_without_an_averaging_twin(pool):
    with pytest.raises(
        ValueError, match=f"no average to put in the place of {type(pool).__name__}"
    ):
        gradient_probe(nn.Sequential(nn.Conv2d(3, 3, 1), pool), 16)


def test_probe_sees_through_a_pool_that_stands_twice_in_the_chain():
    pool = nn.MaxPool2d(2)
    chain = nn.Sequential(pool, nn.Conv2d(1, 1, 3, padding=1), pool)
    left, right = receptive_field(chain)[-1].interval(3)
    size = int(right - left)
    gradient = gradient_probe(chain, 32, in_channels=1, unit=(3, 3))
    assert extent(gradient) == (left, left, size, size)
    assert (gradient > 0).sum() == size**2


@pytest.mark.parametrize(
    "activation", [nn.ReLU(inplace=True), nn.Hardtanh(), nn.Softshrink(9), nn.Threshold(9, 0)]
)
def test_activations_do_not_hide_pixels_from_the_probe(activation):
    chain = nn.Sequential(activation, nn.Conv2d(1, 1, 3), activation, nn.Conv2d(1, 1, 3))
    assert extent(gradient_probe(chain, 9, in_channels=1)) == (2, 2, 5, 5)


class Restless(nn.Module):
    """A module that draws from the global random state even in eval mode."""

    def forward(self, x):
        return x + torch.rand(())


def stack_in_every_state():
    torch.manual_seed(3)
    stack = nn.Sequential(
        nn.ReLU(inplace=True),
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU6(inplace=True),
        nn.Dropout2d(),
        Restless(),
        nn.Conv2d(8, 8, 3),
        nn.MaxPool2d(2, stride=1),
    )
    stack[2].eval()  # as when frozen, while the rest is in training mode
    stack[1].weight.requires_grad_(False)
    stack[2].weight.grad = torch.ones(8)
    return stack


def all_of(module):
    """What can be seen of a module: modes and flags, weights and statistics, gradients."""
    settings = [(part.training, part.extra_repr()) for part in module.modules()]
    gradients = [None if p.grad is None else p.grad.tolist() for p in module.parameters()]
    values = {name: value.tolist() for name, value in module.state_dict().items()}
    return settings, gradients, values, [p.requires_grad for p in module.parameters()]


@pytest.mark.parametrize("look", [gradient_probe, effective_receptive_field])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_looking_at_a_module_leaves_all_as_found(look, mode):
    stack = stack_in_every_state()
    before, random_state = all_of(stack), torch.random.get_rng_state()
    with mode():
        seen = look(stack, 11, in_channels=1)
    assert extent(seen)[2:] == (6, 6)
    assert not seen.requires_grad
    assert all_of(stack) == before
    assert torch.equal(torch.random.get_rng_state(), random_state)


@pytest.mark.parametrize("look", [gradient_probe, effective_receptive_field])
def test_in_place_activations_under_backward_hooks_do_no_harm(look):
    stack = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(inplace=True), nn.Conv2d(1, 1, 1))
    stack[1].register_full_backward_hook(lambda module, inwards, outwards: None)
    stack[0].weight.data.fill_(1.0)
    assert extent(look(stack, 9, in_channels=1))[2:] == (3, 3)


def test_effective_field_is_the_mean_gradient_of_the_module_as_it_is():
    """Against finite differences: images, weights and ReLUs are those of the real module."""
    torch.manual_seed(1)
    stack = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 1, 3)).double()
    generator, expected = torch.Generator().manual_seed(5), torch.zeros(7, 7, dtype=torch.float64)
    for _ in range(3):
        image = torch.randn(1, 1, 7, 7, generator=generator).double()
        for place in range(49):
            step = torch.zeros(49, dtype=torch.float64)
            step[place] = 1e-6
            step = step.view(1, 1, 7, 7)
            with torch.no_grad():
                change = (stack(image + step) - stack(image - step))[0, 0, 1, 1] / 2e-6
            expected.view(-1)[place] += change.abs()
    heat = effective_receptive_field(stack, 7, in_channels=1, samples=3, seed=5)
    assert torch.allclose(heat.double(), expected / expected.max(), atol=1e-5)


@pytest.mark.parametrize("look", [gradient_probe, effective_receptive_field])
@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (nn.Conv2d(1, 1, 3), {}, r"cannot take images \(1, 3, 9, 9\).*1 channels"),
        (nn.Conv2d(3, 1, 11), {}, r"cannot take images \(1, 3, 9, 9\).*Kernel size"),
        (nn.Conv2d(3, 1, 3), {"image_size": 0}, "image_size must be a positive integer, got 0"),
        (nn.Conv2d(3, 1, 3), {"image_size": 9.5}, "image_size must be a positive integer, got 9.5"),
        (nn.Conv2d(3, 1, 3), {"in_channels": None}, "in_channels must be a positive integer"),
        (nn.Sequential(nn.Flatten(), nn.Linear(243, 2)), {}, "no map of shape"),
        (nn.Flatten(0), {}, "no map of shape"),
    ],
)
def test_input_that_cannot_be_probed_is_explained(look, module, arguments, message):
    with pytest.raises(ValueError, match=message):
        look(module, **{"image_size": 9, **arguments})


@pytest.mark.parametrize("look", [gradient_probe, effective_receptive_field])
def test_a_list_of_layers_is_no_module(look):
    with pytest.raises(TypeError, match="list is not a Module"):
        look([nn.Conv2d(3, 1, 3)], 9)


@pytest.mark.parametrize("unit", [(7, 0), (0, 7), (-1, 3)])
def test_a_unit_outside_of_the_map_is_named(unit):
    message = re.escape(f"unit {unit} lies outside of the output map, 7x7")
    with pytest.raises(ValueError, match=message):
        gradient_probe(nn.Conv2d(3, 1, 3), 9, unit=unit)


@pytest.mark.parametrize("samples", [0, -1, 1.5])
def test_effective_field_wants_samples(samples):
    with pytest.raises(ValueError, match="samples must be a positive integer"):
        effective_receptive_field(nn.Conv2d(3, 1, 3), 9, samples=samples)


def test_a_unit_that_nothing_reaches_has_no_effective_field():
    dead = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU())
    dead[0].bias.data.fill_(-1e6)
    with pytest.raises(ValueError, match="no pixel matters"):
        effective_receptive_field(dead, 9)
    with pytest.raises(ValueError, match="zero everywhere"):
        extent(torch.zeros(3, 3))


def test_effective_field_lies_within_and_is_centred():
    torch.manual_seed(0)
    stack = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1) for _ in range(4)])
    heat = effective_receptive_field(stack, 21, in_channels=1, samples=2)
    assert heat.shape == (21, 21)
    assert heat.max() == 1
    assert extent(heat) == (6, 6, 9, 9)
    again = effective_receptive_field(stack, 21, in_channels=1, samples=2)
    assert torch.equal(heat, again)


@pytest.mark.parametrize("name", ["E", "vgg13"])
def test_prints_a_table_without_torch(name):
    """The arithmetic is for anyone with Python; PyTorch is imported by the probes alone."""
    code = (
        "import runpy, sys; sys.modules['torch'] = None; "
        "runpy.run_module('vgg_utils.receptive_field', run_name='__main__', alter_sys=True)"
    )
    out = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (0, "")
    head, *lines = [line.split() for line in out.stdout.splitlines()]
    assert head == ["layer", "kernel", "stride", "field", "jump", "start"]
    assert [(line[0], int(line[3]), int(line[4]), float(line[5])) for line in lines] == [
        (row.name, row.receptive_field, row.jump, row.start) for row in receptive_field(name)
    ]


def test_a_mistyped_name_on_the_command_line_lists_the_choices():
    command = [sys.executable, "-m", "vgg_utils.receptive_field", "F"]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 1
    assert out.stderr.startswith("unknown configuration 'F': choose one of ['A', ")


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
    "layers",
    [
        VGGNet(1, 2, [(3, 1)], hidden_features=1),
        nn.Conv2d(1, 1, 3),
        nn.ModuleDict({"conv": nn.Conv2d(1, 1, 3)}),
        Layer(3),
        3,
        None,
    ],
    ids=lambda layers: type(layers).__name__,
)
def test_what_is_no_chain_is_named(layers):
    with pytest.raises(TypeError, match=f"{type(layers).__name__} is no chain of layers"):
        receptive_field(layers)


@pytest.mark.parametrize("entry", ["conv", "Conv2d", "D", (3,), (3, 64, 1), ["M"]])
def test_entries_that_are_none_are_shown_with_their_place(entry):
    with pytest.raises(TypeError, match=re.escape(f"layer 2 is {entry!r}, not known")):
        receptive_field([(3, 64), "M", entry])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Layer(0), "kernel_size"),
        (Layer(3, stride=0), "stride"),
        (Layer(3, padding=-1), "padding"),
        (Layer(3, dilation=0), "dilation"),
        (Layer(2.5), "kernel_size"),
        (Layer(True), "kernel_size"),
        (Layer(3, stride=None), "stride"),
        (Layer(3, padding="full"), "padding"),
        (("3", 64), "kernel_size"),
        ((0, 64), "kernel_size"),
        (nn.Conv2d(1, 1, (3, 5)), r"kernel_size .*got \(3, 5\); where the axes differ"),
        (nn.MaxPool2d(2, (2, 1)), r"stride .*got \(2, 1\)"),
        (nn.AvgPool3d(3, padding=(1, 1, 0)), r"padding .*got \(1, 1, 0\)"),
    ],
)
def test_impossible_sizes_are_named(layer, message):
    with pytest.raises(ValueError, match=f"layer 1: {message}"):
        receptive_field(["M", layer])
