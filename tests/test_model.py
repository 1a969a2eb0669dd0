"""VGGNet against torchvision, against AlexNet's own formula, and on bad input."""

import numpy as np
import pytest
import torch
from torch import nn

from vgg_utils import VGGNet, layer_configs, make_layer
from vgg_utils.configs import summarise
from vgg_utils.model import copy_layers, initialise, weight_layers

PAIRS = [
    ("A", "vgg11", False), ("B", "vgg13", False), ("D", "vgg16", False), ("E", "vgg19", False),
    ("A", "vgg11_bn", True), ("B", "vgg13_bn", True), ("D", "vgg16_bn", True),
    ("E", "vgg19_bn", True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "theirs", "batch_norm"), PAIRS)
def test_state_dicts_load_both_ways_with_torchvision(name, theirs, batch_norm):
    """Names and shapes on the meta device, for all eight; the numbers follow below."""
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        ours = VGGNet(3, 1000, name, batch_norm=batch_norm, init="pytorch")
        other = getattr(torchvision.models, theirs)(weights=None, init_weights=False)
    shapes = [(key, value.shape) for key, value in ours.state_dict().items()]
    assert shapes == [(key, value.shape) for key, value in other.state_dict().items()]


@pytest.mark.parametrize(("name", "theirs", "batch_norm"), PAIRS)
def test_same_weights_give_the_same_output_as_torchvision(name, theirs, batch_norm):
    """fc6 to fc8 are shrunk on both sides alike, to spare memory; `features` is whole."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    ours = VGGNet(3, 5, name, batch_norm=batch_norm, hidden_features=8)
    with torch.device("meta"):
        other = getattr(torchvision.models, theirs)(weights=None, init_weights=False)
    other.classifier[0] = nn.Linear(512 * 7 * 7, 8)
    other.classifier[3] = nn.Linear(8, 8)
    other.classifier[6] = nn.Linear(8, 5)
    other.to_empty(device="cpu")
    for module in ours.modules():  # statistics unlike the starting ones
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    other.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = other.eval()(images)
        assert torch.equal(ours.eval()(images), expected)
        fresh = VGGNet(3, 5, name, batch_norm=batch_norm, hidden_features=8).eval()
        fresh.load_state_dict(other.state_dict())
        assert torch.equal(fresh(images), expected)


def test_code_written_for_the_blog_post_runs_unchanged():
    net = VGGNet(3, 10, "A-LRN")
    assert isinstance(net.features, nn.Sequential)
    assert tuple(net.avgpool.output_size) == (7, 7)
    assert net.classifier[-1].out_features == 10
    features = make_layer(3, layer_configs["C"])
    assert features(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 7, 7)
    assert len(VGGNet(in_channels=1, num_classes=2).features) == len(
        make_layer(1, layer_configs["A"])
    )


@pytest.mark.parametrize("name", list(layer_configs))
def test_every_stage_halves_the_map(name):
    """Table 1's map sizes at 224 pixels; a padded 1x1 convolution would break C's."""
    x = torch.zeros(1, 3, 224, 224)
    sides = []
    for module in VGGNet(3, 2, name, width=1 / 64, hidden_features=4).features:
        x = module(x)
        if isinstance(module, nn.MaxPool2d):
            sides.append(x.shape[-1])
        elif sides:
            assert x.shape[-1] == sides[-1]
        else:
            assert x.shape[-1] == 224
    assert sides == [112, 56, 28, 14, 7]


def test_lrn_is_alexnets():
    """b_i = a_i / (k + alpha sum a_j^2)^beta over n=5 channels (Krizhevsky et al., Sect. 3.3)."""
    lrn = next(
        m for m in make_layer(3, layer_configs["A-LRN"]) if isinstance(m, nn.LocalResponseNorm)
    )
    torch.manual_seed(0)
    a = 30 * torch.rand(2, 64, 3, 3, dtype=torch.float64)
    expected = torch.empty_like(a)
    for i in range(64):
        window = a[:, max(0, i - 2) : min(63, i + 2) + 1]
        expected[:, i] = a[:, i] / (2 + 1e-4 * window.square().sum(dim=1)) ** 0.75
    torch.testing.assert_close(lrn(a), expected, rtol=1e-10, atol=0)


def test_lrn_follows_the_first_relu_and_precedes_the_first_pool():
    kinds = [type(module).__name__ for module in make_layer(3, layer_configs["A-LRN"])[:4]]
    assert kinds == ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"]


def test_dropout_follows_the_relus_of_fc6_and_fc7():
    kinds = [type(module).__name__ for module in VGGNet(3, 10, hidden_features=8).classifier]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_options_reach_the_modules():
    net = VGGNet(
        1, 4, [(5, 8), "M", (1, 16)], width=0.5, pool_size=3, hidden_features=6, dropout=0.2
    )
    convs = [module for module in net.features if isinstance(module, nn.Conv2d)]
    assert [(c.kernel_size, c.padding, c.out_channels) for c in convs] == [
        ((5, 5), (2, 2), 4),
        ((1, 1), (0, 0), 8),
    ]
    assert net.classifier[0].in_features == 8 * 3 * 3
    assert net.classifier[2].p == net.classifier[5].p == 0.2
    assert net(torch.zeros(2, 1, 10, 14)).shape == (2, 4)


@pytest.mark.parametrize(
    ("scheme", "variance"),
    [("he", lambda fan_in, fan_out: 2 / fan_in), ("xavier", lambda i, o: 2 / (i + o))],
)
def test_initial_variance(scheme, variance):
    torch.manual_seed(0)
    net = VGGNet(3, 1000, "A", pool_size=1, hidden_features=512, init=scheme)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 50_000:
            fan_in = module.weight[0].numel()
            fan_out = module.weight[:, 0].numel()
            expected = variance(fan_in, fan_out)
            assert module.weight.var().item() == pytest.approx(expected, rel=0.05)
            assert not module.bias.any()


@pytest.mark.parametrize("size", [(31, 31), (224, 16)])
def test_too_small_an_image(size):
    with pytest.raises(ValueError, match="at least 32"):
        VGGNet(3, 10, width=1 / 64, hidden_features=4)(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (3, 64, 64), (1, 64, 64, 3)])
def test_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"\(N, 3, height, width\)") as error:
        VGGNet(3, 10, width=1 / 64, hidden_features=4)(torch.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((3, 10, "vgg16"), {}, "unknown configuration 'vgg16'"),
        ((3, 10, ["M"]), {}, "no convolution"),
        ((0, 10), {}, "in_channels"),
        (("3", 10), {}, "in_channels"),
        ((3, 0), {}, "num_classes"),
        ((3, 10), {"pool_size": 0}, "pool_size"),
        ((3, 10), {"hidden_features": 2.5}, "hidden_features"),
        ((3, 10), {"init": "gaussian", "hidden_features": 4}, "unknown initialisation"),
    ],
)
def test_bad_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        VGGNet(*arguments, **options)


def test_numpy_integers_are_integers():
    net = VGGNet(np.int64(3), np.int32(2), [(3, 1)], hidden_features=1)
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 2)


def test_make_layer_takes_a_name_and_names_bad_channels():
    assert str(make_layer(3, "A")) == str(make_layer(3, layer_configs["A"]))
    with pytest.raises(ValueError, match="in_channels must be a positive integer, got '3'"):
        make_layer("3", "A")


def test_features_can_be_extracted_by_tracing():
    """torchvision's own tool traces its VGG; it must be able to trace ours."""
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    net = VGGNet(1, 2, "A", width=1 / 64, pool_size=1, hidden_features=2).eval()
    images = torch.randn(2, 1, 32, 64)
    traced = extraction.create_feature_extractor(net, ["features", "classifier"])
    out = traced(images)
    assert torch.equal(out["classifier"], net(images))
    assert out["features"].shape == (2, 8, 1, 2)


def test_the_two_readings_of_the_printed_variance():
    """Net A's outputs for pixels of unit variance: some 10^6 at std 0.1, some 10^-5 at 0.01."""
    torch.manual_seed(0)
    net = VGGNet(3, 1000, "A", init="pytorch").eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        meant = net(image).std().item()
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.mul_(10)
        printed = net(image).std().item()
    assert 1e-5 < meant < 1e-4
    assert printed == pytest.approx(1e11 * meant, rel=1e-3)


def test_initialise_leaves_pytorchs_default_alone():
    layer = nn.Linear(4, 4)
    before = layer.weight.clone()
    initialise(layer, "pytorch")
    assert torch.equal(layer.weight, before)


def test_small_image_sizes_run():
    rows = summarise("E", 32, width=0.125, pool_size=1, hidden_features=16, num_classes=10)
    net = VGGNet(3, 10, "E", width=0.125, pool_size=1, hidden_features=16)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in net.parameters())
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_initialise_with_a_number_is_a_normal_of_that_deviation():
    torch.manual_seed(0)
    net = VGGNet(3, 10, "A", width=0.25, hidden_features=64, init=0.1)
    for layer in weight_layers(net).values():
        assert layer.weight.std().item() == pytest.approx(0.1, rel=0.1)
        assert kurtosis(layer.weight) == pytest.approx(3, abs=0.6)  # 1.8 were it uniform
        assert not layer.bias.any()


def kurtosis(values):
    values = values.detach()
    centred = values - values.mean()
    return float(centred.pow(4).mean() / centred.square().mean().square())


@pytest.mark.parametrize("scheme", ["He", "", -0.1, float("nan"), float("inf")])
def test_initialise_refuses_what_it_does_not_know(scheme):
    with pytest.raises(ValueError, match="unknown initialisation"):
        VGGNet(1, 10, "A", width=0.1, pool_size=1, hidden_features=8, init=scheme)


def test_weight_layers_are_named_as_the_authors_models_are():
    """The names that Caffe's VGG_ILSVRC_16_layers gives its layers, and the shapes of Table 1."""
    with torch.device("meta"):
        layers = weight_layers(VGGNet(3, 1000, "D", batch_norm=True, init="pytorch"))
    blocks = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    wanted = [f"conv{b}_{place}" for b, n in blocks.items() for place in range(1, n + 1)]
    assert list(layers) == [*wanted, "fc6", "fc7", "fc8"]
    assert layers["conv3_2"].weight.shape == (256, 256, 3, 3)
    assert layers["conv5_1"].weight.shape == (512, 512, 3, 3)
    assert layers["fc8"].weight.shape == (1000, 4096)


def small(config, **options):
    return VGGNet(
        1, 10, config, **{"width": 0.125, "pool_size": 1, "hidden_features": 32} | options
    )


def test_copy_layers_takes_over_what_the_authors_took_and_no_more():
    torch.manual_seed(0)
    shallow, deep = small("A", init="pytorch"), small("D", init="pytorch")
    before = {name: layer.weight.clone() for name, layer in weight_layers(deep).items()}
    copy_layers(shallow, deep)
    theirs = weight_layers(shallow)
    copied = set()
    for name, layer in weight_layers(deep).items():
        if torch.equal(layer.weight, before[name]):
            continue
        copied.add(name)
        assert torch.equal(layer.weight, theirs[name].weight)
        assert torch.equal(layer.bias, theirs[name].bias)
        assert layer.weight.data_ptr() != theirs[name].weight.data_ptr()
    assert copied == {"conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"}


def test_copy_layers_refuses_before_it_copies():
    source, target = small("A"), small("D", hidden_features=16)
    before = weight_layers(target)["conv1_1"].weight.clone()
    with pytest.raises(ValueError, match=r"fc6 are \(32, 64\) in one network and \(16, 64\)"):
        copy_layers(source, target)
    with pytest.raises(ValueError, match="no layer 'conv1_2' in both networks"):
        copy_layers(source, target, ["conv1_1", "conv1_2"])
    assert torch.equal(weight_layers(target)["conv1_1"].weight, before)
