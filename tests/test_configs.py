"""The arithmetic of configs.py against the paper's tables and against real modules."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vgg_utils.configs import (
    get_layers,
    has_batch_norm,
    layer_configs,
    layer_names,
    min_size,
    summarise,
    total,
)
from vgg_utils.model import VGGNet, fully_convolutional, make_layer

SIX = list(layer_configs)
TORCHVISION = [f"vgg{depth}{ending}" for depth in (11, 13, 16, 19) for ending in ("", "_bn")]


def measured(net: nn.Module, image: torch.Tensor) -> list[tuple[tuple[int, ...], int]]:
    """Run the network and note (output shape, parameters) of each layer that the book counts."""
    seen = []

    def note(module, inputs, output):
        count = sum(parameter.numel() for parameter in module.parameters())
        seen.append((tuple(output.shape[1:]), count))

    kinds = (nn.Conv2d, nn.MaxPool2d, nn.LocalResponseNorm, nn.BatchNorm2d, nn.Linear)
    for module in net.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(note)
    net(image)
    return seen


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_rows_equal_what_the_modules_report(name, batch_norm):
    with torch.device("meta"):
        net = VGGNet(3, 1000, name, batch_norm=batch_norm, init="pytorch").eval()
        seen = measured(net, torch.empty(1, 3, 224, 224))
    rows = summarise(name, batch_norm=batch_norm)[1:]
    assert [(row.output_shape, row.parameters) for row in rows] == seen


@pytest.mark.parametrize("size", [32, 100, (64, 96), (255, 417)])
def test_rows_equal_the_modules_at_other_sizes_and_widths(size):
    height, width = (size, size) if isinstance(size, int) else size
    net = VGGNet(1, 7, "C", width=0.25, pool_size=2, hidden_features=24).eval()
    seen = measured(net, torch.zeros(1, 1, height, width))
    rows = summarise(
        "C", size, in_channels=1, num_classes=7, width=0.25, pool_size=2, hidden_features=24
    )
    counted = [row for row in rows if row.name not in ("input", "avgpool")]
    assert [(row.output_shape, row.parameters) for row in counted] == seen


@pytest.mark.parametrize("name", SIX)
def test_macs_equal_torchs_flop_counter(name):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = VGGNet(3, 1000, name, init="pytorch").eval()
        counter = FlopCounterMode(display=False)
        with counter:
            net(torch.empty(1, 3, 192, 256))
    assert 2 * total(summarise(name, (192, 256))).macs == counter.get_total_flops()


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("size", [224, (256, 341), (384, 512)])
def test_dense_rows_equal_the_fully_convolutional_net_and_torchs_flop_counter(name, size):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = fully_convolutional(VGGNet(3, 1000, name, init="pytorch").eval())
        counter = FlopCounterMode(display=False)
        with counter:
            scores = net(torch.empty(1, 3, *((size, size) if isinstance(size, int) else size)))
    rows = summarise(name, size, dense=True)
    assert rows[-1].output_shape == tuple(scores.shape[1:])
    assert 2 * total(rows).macs == counter.get_total_flops()
    assert total(rows).parameters == sum(p.numel() for p in net.parameters())
    assert all(row.activations == math.prod(row.output_shape) for row in rows)
    assert "avgpool" not in [row.name for row in rows]


def test_dense_at_three_scales_costs_a_seventh_of_150_crops():
    """For D and square images, from Table 1's channels alone; a longer image costs in proportion.

    A convolution at side q does (q / 2**pools)^2 k^2 c c' products; fc6 to fc8 do theirs at
    (q / 32 - 6)^2 places.
    """
    widths = [(64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3]

    def by_hand(height, width):
        products, channels = 0, 3
        for pools, block in enumerate(widths):
            for out in block:
                products += 9 * channels * out * (height >> pools) * (width >> pools)
                channels = out
        places = (height // 32 - 6) * (width // 32 - 6)
        return products + places * (49 * 512 * 4096 + 4096 * 4096 + 4096 * 1000)

    crops = 150 * by_hand(224, 224)
    assert crops == 150 * total(summarise("D")).macs
    for aspect, least, most in [(1, 7.1, 7.2), (4 / 3, 5.2, 5.3)]:
        sizes = [(q, int(q * aspect)) for q in (256, 384, 512)]
        dense = sum(2 * by_hand(*size) for size in sizes)  # with the mirror images
        assert dense == sum(2 * total(summarise("D", size, dense=True)).macs for size in sizes)
        assert least < crops / dense < most


def test_dense_form_of_too_small_an_image_names_the_least_size():
    with pytest.raises(ValueError, match=r"223x300.*dense form.*at least 224"):
        summarise("D", (223, 300), dense=True)
    assert summarise("D", 64, pool_size=2, dense=True)[-1].output_shape == (1000, 1, 1)


def test_weight_layers_by_name():
    names = layer_names(layer_configs["C"])
    assert names[:3] == ["conv1_1", "conv1_2", "pool1"]
    assert names[-4:] == ["conv5_1", "conv5_2", "conv5_3", "pool5"]
    assert layer_names(layer_configs["A-LRN"])[:3] == ["conv1_1", "lrn1", "pool1"]


def test_four_configurations_are_those_of_torchvision():
    vgg = pytest.importorskip("torchvision.models.vgg")
    for name, channels in vgg.cfgs.items():
        assert layer_configs[name] == [c if c == "M" else (3, c) for c in channels]


def test_the_other_two_differ_from_their_neighbours_as_table_1_says():
    """A-LRN is A with one normalisation; C is B with a 1x1 at the end of blocks 3, 4 and 5."""
    with_lrn = layer_configs["A-LRN"]
    assert with_lrn.index("LRN") == 1
    assert [entry for entry in with_lrn if entry != "LRN"] == layer_configs["A"]
    names, layers = layer_names("C"), layer_configs["C"]
    ones = {name: entry for name, entry in zip(names, layers, strict=True) if entry[0] == 1}
    assert ones == {"conv3_3": (1, 256), "conv4_3": (1, 512), "conv5_3": (1, 512)}
    assert [entry for entry in layers if entry[0] != 1] == layer_configs["B"]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_names_mean_torchvisions_networks(name):
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        theirs = getattr(models, name)(weights=None)
    norms = [module for module in theirs.modules() if isinstance(module, nn.BatchNorm2d)]
    assert has_batch_norm(name) == bool(norms)
    rows = summarise(name)
    assert total(rows).parameters == sum(parameter.numel() for parameter in theirs.parameters())
    assert sum(row.name.startswith("bn") for row in rows) == len(norms)
    (least,) = {weights.meta["min_size"] for weights in models.get_model_weights(name)}
    assert least == (min_size(name), min_size(name))
    assert name not in layer_configs


def test_batch_norm_is_asked_for_by_a_name_alone():
    assert not any(has_batch_norm(config) for config in (*SIX, layer_configs["D"]))
    assert summarise("vgg16_bn") == summarise("D", batch_norm=True) != summarise("vgg16")


@pytest.mark.parametrize(
    "name",
    [
        "VGG16",
        "vgg-16",
        "vgg16-bn",
        "VGG16_bn",
        "vgg16_BN",
        "vgg16_bn_bn",
        "vgg12",
        "D_bn",
        "d",
        "",
    ],
)
@pytest.mark.parametrize("function", [get_layers, layer_names, min_size, summarise])
def test_unknown_name_lists_the_choices(function, name):
    with pytest.raises(ValueError, match=f"unknown configuration {name!r}: choose") as error:
        function(name)
    choices = ast.literal_eval(str(error.value).partition("choose one of ")[2])
    assert choices == SIX + sorted(TORCHVISION, key=lambda each: (each.endswith("_bn"), each))
    assert all(get_layers(choice) for choice in choices)


@pytest.mark.parametrize(
    "entry",
    [
        "P",
        (3,),
        (3, 64, 1),
        (2, 64),
        (0, 64),
        (3, 0),
        (3, -1),
        (3.0, 64),
        (True, 64),
        64,
        None,
        "m",
        np.array([3, 64]),
    ],
)
def test_malformed_entry_is_named_with_its_place(entry):
    with pytest.raises(ValueError, match="layer 2 is") as error:
        get_layers([(3, 64), "M", entry])
    assert repr(entry) in str(error.value)


def test_empty_configuration_and_bad_width():
    with pytest.raises(ValueError, match="empty"):
        get_layers([])
    for width in (0, -1, float("nan"), float("inf"), "half"):
        with pytest.raises(ValueError, match="width"):
            get_layers("A", width)


@pytest.mark.parametrize("config", [16, None, {3: 64}])
def test_what_is_no_configuration_is_named(config):
    with pytest.raises(ValueError, match="a name such as 'D' or a list of layers"):
        get_layers(config)


@pytest.mark.parametrize("name", ["in_channels", "num_classes", "pool_size", "hidden_features"])
@pytest.mark.parametrize("value", [0, -3, 2.5, "x", True])
def test_counts_that_are_none_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got"):
        summarise("A", **{name: value})


def test_a_name_will_do_wherever_layers_do():
    assert layer_names("D") == layer_names(layer_configs["D"]) == layer_names("vgg16_bn")
    assert min_size("D") == min_size(layer_configs["D"])
    assert summarise("D") == summarise(layer_configs["D"])


@pytest.mark.parametrize("layers", [[(3, 4)], [(3, 4), "M", (1, 4), "M", "LRN", "M"]])
def test_min_size_is_the_least_that_the_pools_take(layers):
    least = min_size(layers)
    features = make_layer(1, layers)
    assert features(torch.zeros(1, 1, least, least)).shape[2:] == (1, 1)
    with pytest.raises((RuntimeError, ValueError)):
        features(torch.zeros(1, 1, least - 1, least - 1))


def test_too_small_an_image_names_the_least_size():
    with pytest.raises(ValueError, match="at least 32"):
        summarise("A", 31)
    with pytest.raises(ValueError, match="31x64"):
        summarise("A", (31, 64))
    assert summarise("A", 32)[-1].output_shape == (1000,)


@pytest.mark.parametrize("size", [224.0, (224, 224, 3), "224", (64, 64.0)])
def test_image_size_of_the_wrong_form_is_named(size):
    with pytest.raises(ValueError, match="image_size must be a side in pixels"):
        summarise("A", size)


def test_getting_layers_leaves_the_table_alone():
    layers = get_layers("A", width=0.5)
    layers[0] = "M"
    assert layer_configs["A"][0] == (3, 64)
    assert get_layers("A", width=0.001)[0] == (3, 1)


def test_the_counts_on_the_reference_page_are_those_computed():
    page = Path(__file__).parent.parent / "book" / "reference" / "paper_versus_pytorch.md"
    table = page.read_text(encoding="utf-8").partition("## Counts")[2]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| ")
    ]
    assert [row[0] for row in rows[1:]] == SIX
    for name, millions, parameters, gmacs, values, megabytes in rows[1:]:
        whole = total(summarise(name))
        assert millions == f"{whole.parameters / 1e6:.0f} M"
        assert parameters == f"{whole.parameters:,}"
        assert gmacs == f"{whole.macs / 1e9:.2f}"
        assert values == f"{whole.activations / 1e6:.2f} M"
        assert megabytes == f"{4 * whole.activations / 1e6:.1f} MB"
