"""VGGNet against torchvision and AlexNet's own formula; after surgery; exported; on bad input."""

import copy
import io
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from vgg_utils import VGGNet, layer_configs, make_layer
from vgg_utils.configs import summarise
from vgg_utils.model import FROM_A, copy_layers, fully_convolutional, initialise, weight_layers
from vgg_utils.receptive_field import Layer, receptive_field

VERSION = tuple(int(part) for part in torch.__version__.split(".")[:2])
PAIRS = [
    ("A", "vgg11", False),
    ("B", "vgg13", False),
    ("D", "vgg16", False),
    ("E", "vgg19", False),
    ("A", "vgg11_bn", True),
    ("B", "vgg13_bn", True),
    ("D", "vgg16_bn", True),
    ("E", "vgg19_bn", True),
]


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
    with torch.device("meta"):
        net = VGGNet(3, 10, "A-LRN")
        assert net.features(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 7, 7)
        assert tuple(net.avgpool.output_size) == (7, 7)
        assert net.classifier[-1].out_features == 10
        features = make_layer(3, layer_configs["C"])
        assert features(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 7, 7)
        net = VGGNet(in_channels=1, num_classes=2)
        assert net(torch.zeros(1, 1, 224, 224)).shape == (1, 2)


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


def test_without_arguments_it_is_a_of_table_1():
    with torch.device("meta"):
        net, other = VGGNet(), VGGNet(3, 1000, "A")
    assert repr(net) == repr(other)
    assert (net.in_channels, net.num_classes, net.image_size) == (3, 1000, 224)


@pytest.mark.parametrize(("name", "theirs", "batch_norm"), PAIRS)
def test_torchvisions_names_are_configurations(name, theirs, batch_norm):
    options = {"width": 1 / 32, "hidden_features": 4}
    ours = VGGNet(3, 2, name, batch_norm=batch_norm, **options)
    assert repr(VGGNet(3, 2, theirs, **options)) == repr(ours)
    assert repr(make_layer(1, theirs)) == repr(make_layer(1, name, batch_norm=batch_norm))


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
        ((3, 10, "vgg12"), {}, "unknown configuration 'vgg12'"),
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


def test_copy_layers_goes_through_wrappers():
    source, target = small("A", init="pytorch"), small("D", init="pytorch")
    copy_layers(nn.DataParallel(source), torch.compile(target, backend="eager"))
    theirs, ours = weight_layers(source), weight_layers(target)
    assert all(torch.equal(ours[name].weight, theirs[name].weight) for name in FROM_A)


# Surgery: torch on the same modules is the independent source.


def net_for_surgery():
    torch.manual_seed(0)
    return VGGNet(3, 10, "A", width=1 / 8, pool_size=1, hidden_features=32).eval()


class MyBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return x + self.conv(x)


class MySequential(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def one_channel(net):
    net.features[0] = nn.Conv2d(1, 8, 3, padding=1)


def two_channels(net):
    net.features[0] = nn.Conv2d(2, 8, 3, padding=1)


def stem_of_stride_two(net):
    net.features[0] = nn.Conv2d(3, 8, 7, stride=2, padding=3)


def stem_without_padding(net):
    net.features[0] = nn.Conv2d(3, 8, 7)


def dilated(net):
    net.features[18] = nn.Conv2d(64, 64, 3, padding="same", dilation=2)


def even_kernel(net):
    net.features[0] = nn.Conv2d(3, 8, 4, padding="same")


def ceiling(net):  # as in SSD
    for pool in (2, 5, 10, 15, 20):
        net.features[pool] = nn.MaxPool2d(2, ceil_mode=True)


def wide_pool(net):
    net.features[20] = nn.MaxPool2d(3, stride=1, padding=1)


def average_pools(net):
    for pool in (2, 5, 10, 15, 20):
        net.features[pool] = nn.AvgPool2d(2)


def without_last_pool(net):
    net.features = net.features[:-1]


def without_first_pool(net):
    net.features = nn.Sequential(*(m for i, m in enumerate(net.features) if i != 2))


def with_batch_norm(net):
    first, *rest = net.features
    net.features = nn.Sequential(first, nn.BatchNorm2d(8), *rest).eval()


def nested_blocks(net):
    net.features = nn.Sequential(
        net.features[:6], nn.Sequential(net.features[6:11]), net.features[11:]
    )


def truncated(net):
    net.features, net.classifier = net.features[:6], nn.Linear(16, 4)


def another_last_layer(net):
    net.classifier[-1] = nn.Linear(32, 3)


def one_linear(net):
    net.classifier = nn.Linear(64, 4)


def longer_head(net):
    net.classifier = nn.Sequential(*net.classifier, nn.ReLU(), nn.Linear(10, 6))


def larger_average(net):
    net.avgpool, net.classifier[0] = nn.AdaptiveAvgPool2d(2), nn.Linear(4 * 64, 32)


def adaptive_max(net):
    net.avgpool = nn.AdaptiveMaxPool2d((1, 1))


def without_average(net):
    net.avgpool, net.classifier[0] = nn.Identity(), nn.Linear(9 * 64, 32)


# What is changed; then channels, least size, image size, classes, and the head's layers.
SURGERY = [
    (one_channel, 1, 32, 32, 10, 3),
    (two_channels, 2, 32, 32, 10, 3),
    (stem_of_stride_two, 3, 63, 63, 10, 3),
    (stem_without_padding, 3, 38, 38, 10, 3),
    (dilated, 3, 32, 32, 10, 3),
    (even_kernel, 3, 32, 32, 10, 3),
    (ceiling, 3, 1, 1, 10, 3),
    (wide_pool, 3, 16, 16, 10, 3),
    (average_pools, 3, 32, 32, 10, 3),
    (without_last_pool, 3, 16, 16, 10, 3),
    (without_first_pool, 3, 16, 16, 10, 3),
    (with_batch_norm, 3, 32, 32, 10, 3),
    (nested_blocks, 3, 32, 32, 10, 3),
    (truncated, 3, 4, 4, 4, 1),
    (another_last_layer, 3, 32, 32, 3, 3),
    (one_linear, 3, 32, 32, 4, 1),
    (longer_head, 3, 32, 32, 6, 4),
    (larger_average, 3, 32, 64, 10, 3),
    (adaptive_max, 3, 32, 32, 10, 3),
    (without_average, 3, 32, 96, 10, 3),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("cut", "channels", "least", "size", "classes", "linears"), SURGERY)
def test_the_description_follows_surgery(cut, channels, least, size, classes, linears):
    net = net_for_surgery()
    cut(net)
    assert (net.in_channels, net.min_size, net.image_size) == (channels, least, size)
    assert net.num_classes == classes

    def plain(x):
        return net.classifier(net.avgpool(net.features(x)).flatten(1))

    at_size = torch.randn(2, channels, size, size)
    with torch.no_grad():
        assert net.features(at_size).shape[-1] == net.pool_size  # as image_size promises
        assert torch.equal(net(at_size), plain(at_size))
        scores = fully_convolutional(net)(at_size)
        torch.testing.assert_close(scores[:, :, 0, 0], plain(at_size), rtol=1e-4, atol=1e-5)
        assert scores.shape == (2, classes, 1, 1)
        net.features(torch.randn(1, channels, least, least))  # the least that PyTorch takes
        if least > 1:
            with pytest.raises(RuntimeError):
                net.features(torch.randn(1, channels, least - 1, least))
            with pytest.raises(ValueError, match=f"too small .* at least {least}"):
                net(torch.randn(1, channels, least - 1, least))
        with pytest.raises(ValueError, match=rf"\(N, {channels}, height, width\), got \(1, 5,"):
            net(torch.randn(1, 5, size, size))

    layers = weight_layers(net)
    modules = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert list(layers.values()) == modules
    assert next(iter(layers)) == "conv1_1"
    assert list(layers)[-linears:] == ["fc6", "fc7", "fc8", "fc9"][:linears]


def test_names_of_layers_follow_a_pool_that_was_removed():
    net = net_for_surgery()
    without_first_pool(net)
    names = ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv4_1", "conv4_2"]
    assert list(weight_layers(net)) == [*names, "fc6", "fc7", "fc8"]


def own_block(net):
    net.features[3] = nn.Sequential(MyBlock(), net.features[3])
    return r"features\[3\]\[0\] is a MyBlock"


def own_sequential(net):
    net.features[3] = MySequential(nn.Conv2d(8, 8, 1))
    net.features[4] = nn.Conv2d(8, 16, 3, padding=1)
    return r"features\[3\] is a MySequential"


def own_features(net):
    net.features = nn.Sequential(nn.ConvTranspose2d(3, 64, 2))
    return r"features\[0\] is a ConvTranspose2d"


@pytest.mark.parametrize("cut", [own_block, own_sequential, own_features])
def test_surgery_that_cannot_be_followed_is_named_and_the_network_runs(cut):
    net = net_for_surgery()
    message = cut(net)
    for ask in (lambda: net.in_channels, lambda: net.min_size, lambda: weight_layers(net)):
        with pytest.raises(ValueError, match=message):
            ask()
    assert net.arguments is None
    x = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        assert torch.equal(net(x), net.classifier(net.avgpool(net.features(x)).flatten(1)))
        with pytest.raises(RuntimeError):  # PyTorch's own words
            net(x[:, :2])


def test_a_head_that_cannot_be_followed_is_named():
    net = net_for_surgery()
    net.classifier = nn.Sequential(nn.Linear(64, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    for ask in (
        lambda: fully_convolutional(net)(torch.zeros(1, 3, 32, 32)),
        lambda: net.num_classes,
    ):
        with pytest.raises(ValueError, match=r"classifier\[1\] is a LayerNorm"):
            ask()
    net.avgpool = nn.AdaptiveAvgPool2d((1, None))
    with pytest.raises(ValueError, match=r"avgpool is Adaptive.*no square of a fixed size"):
        print(net.image_size)
    with pytest.raises(ValueError, match=r"expected a VGGNet, got .*Linear"):
        weight_layers(nn.Linear(2, 2))


# Arguments for a checkpoint


@pytest.mark.parametrize("name", [*layer_configs, "vgg13_bn"])
def test_arguments_are_plain_and_rebuild_the_network(name):
    net = VGGNet(1, 7, name, width=1 / 32, pool_size=2, hidden_features=5, dropout=0.25)
    rebuilt = VGGNet(**json.loads(json.dumps(net.arguments)))
    assert repr(rebuilt) == repr(net)
    rebuilt.load_state_dict(net.state_dict())
    images = torch.randn(1, 1, 64, 64)
    assert torch.equal(rebuilt.eval()(images), net.eval()(images))


def test_arguments_follow_surgery_or_there_are_none():
    net = net_for_surgery()
    one_channel(net), another_last_layer(net), without_first_pool(net)
    rebuilt = VGGNet(**net.arguments)
    assert (rebuilt.in_channels, rebuilt.num_classes, rebuilt.min_size) == (1, 3, 16)
    rebuilt.load_state_dict(net.state_dict(), strict=False)
    assert repr(rebuilt) == repr(net)
    assert VGGNet(3, 2, [(3, 4)], hidden_features=2, inplace=False).arguments["inplace"] is False
    for cut in (stem_of_stride_two, one_linear, longer_head, without_average, ceiling):
        net = net_for_surgery()
        cut(net)
        assert net.arguments is None


# In-place ReLUs


@pytest.mark.parametrize("inplace", [True, False])
def test_inplace_reaches_every_relu_and_changes_no_output(inplace):
    net = random_net("A", pool_size=1, inplace=inplace)
    relus = [module for module in net.modules() if isinstance(module, nn.ReLU)]
    assert len(relus) == 8 + 2
    assert {relu.inplace for relu in relus} == {inplace}
    images = torch.randn(2, 3, 32, 32, dtype=torch.double)
    assert torch.equal(net(images), random_net("A", pool_size=1)(images))


def test_without_inplace_what_was_kept_stays():
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    net = random_net("A", pool_size=1, inplace=False)
    images = torch.randn(2, 3, 32, 32, dtype=torch.double)
    expected = net.features[0](images)
    kept = [x := images] + [x := layer(x) for layer in net.features]
    assert torch.equal(kept[1], expected) and expected.min() < 0
    extractor = extraction.create_feature_extractor(net, ["features.0", "features.20"])
    assert torch.equal(extractor(images)["features.0"], expected)
    assert torch.equal(extractor(images)["features.20"], net.features(images))
    seen = []
    net.features[19].register_full_backward_hook(
        lambda module, ins, outs: seen.append(outs[0].shape)
    )
    net(images).sum().backward()
    assert seen == [(2, 32, 2, 2)]


# Exporters: another batch and another size than the example's must give what the network gives.

EXPORTED = [(net, norm) for net in ("net", "dense") for norm in (False, True)]


def to_export(kind, batch_norm):
    net = random_net("A", pool_size=2, batch_norm=batch_norm).float()
    return net if kind == "net" else fully_convolutional(net)


EXAMPLE, OTHER = torch.randn(2, 3, 128, 160), torch.randn(3, 3, 224, 130)


def same(model, exported, images=OTHER, **tolerance):
    with torch.no_grad():
        torch.testing.assert_close(exported(images), model(images), **tolerance)


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.filterwarnings("ignore:.*torch.jit:")
def test_torch_jit_script(batch_norm, inplace):
    net = random_net("A", pool_size=2, batch_norm=batch_norm, inplace=inplace).float()
    net.pixel_range = (-2.0, 2.0)
    scripted = torch.jit.script(net)
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    file.seek(0)
    for exported in (scripted, torch.jit.load(file)):
        same(net, exported)


@pytest.mark.parametrize(("kind", "batch_norm"), EXPORTED)
@pytest.mark.filterwarnings("ignore:.*torch.jit:")
def test_torch_jit_trace(kind, batch_norm):
    model = to_export(kind, batch_norm)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(model, EXAMPLE)
    same(model, traced)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_torch_fx_and_torchvisions_feature_extractor(batch_norm):
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    net = to_export("net", batch_norm)
    same(net, torch.fx.symbolic_trace(net))
    extractor = extraction.create_feature_extractor(net, ["features", "classifier"])
    same(net, lambda images: extractor(images)["classifier"])
    same(net.features, lambda images: extractor(images)["features"])


@pytest.mark.skipif(VERSION < (2, 5), reason="earlier versions fix sizes in the graph")
@pytest.mark.parametrize(("kind", "batch_norm"), EXPORTED)
def test_torch_export_with_dynamic_batch_and_sizes(kind, batch_norm):
    export = pytest.importorskip("torch.export")
    model = to_export(kind, batch_norm)
    program = export.export(model, (EXAMPLE,), dynamic_shapes=dynamic(export))
    same(model, program.module())


def dynamic(export):
    sizes = {2: export.Dim("height", min=96, max=1024), 3: export.Dim("width", min=96, max=1024)}
    return ({0: export.Dim("batch", min=1, max=64), **sizes},)


@pytest.mark.skipif(VERSION < (2, 5), reason="earlier versions have no such exporter")
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("kind", "pool_size"), [("net", 1), ("net", 2), ("dense", 2)])
def test_onnx_with_dynamic_batch_and_sizes(kind, pool_size, batch_norm, tmp_path):
    """ONNX has no adaptive average: to a map of more than one value, sizes stay the example's."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    layers, path = [(3, 4), "M", (3, 6), "M"], str(tmp_path / "net.onnx")
    model = random_net(layers, pool_size=pool_size, width=1, batch_norm=batch_norm).float()
    (shapes,), others = dynamic(pytest.importorskip("torch.export")), [(3, 224, 130), (1, 96, 96)]
    if kind == "dense":
        model = fully_convolutional(model)
    elif pool_size > 1:
        shapes, others = {0: shapes[0]}, [(3, 128, 160), (1, 128, 160)]
    torch.onnx.export(model, (EXAMPLE,), path, dynamo=True, dynamic_shapes=(shapes,), verbose=False)
    session = runtime.InferenceSession(path)
    name = session.get_inputs()[0].name
    for count, *sides in others:
        images = torch.randn(count, 3, *sides)
        (found,) = session.run(None, {name: images.numpy()})
        same(model, lambda _, found=found: torch.from_numpy(found), images, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "batch_norm"), EXPORTED)
def test_torch_compile_without_a_graph_break(kind, batch_norm):
    model = to_export(kind, batch_norm)
    same(model, torch.compile(model, backend="eager", fullgraph=True))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_copies_pickles_vmap_and_data_parallel(batch_norm):
    net = to_export("net", batch_norm)
    net.pixel_range = (-2.0, 2.0)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    copies.append(torch.load(file, weights_only=False))
    for other in (*copies, nn.DataParallel(net)):
        same(net, other)
    assert all(other.pixel_range == (-2.0, 2.0) for other in copies)
    each = torch.func.vmap(lambda image: net(image[None])[0])
    same(net, each, rtol=1e-4, atol=1e-5)


# The fully convolutional form (Sect. 3.2)


def random_net(config="A", *, pool_size=7, width=1 / 16, seed=0, **options):
    """In double precision, so that equal means equal to 1e-10; biases not zero."""
    torch.manual_seed(seed)
    net = VGGNet(
        3, 5, config, width=width, pool_size=pool_size, hidden_features=12, **options
    ).double()
    for layer in weight_layers(net).values():
        nn.init.normal_(layer.bias, std=0.1)
    return net.eval()


@pytest.mark.parametrize(
    ("config", "pool_size", "batch_norm"),
    [("A", 7, False), ("A-LRN", 1, True), ("C", 2, True), ("E", 1, False), ([(3, 4)], 3, False)],
)
def test_fully_convolutional_equals_the_original_at_its_own_size(config, pool_size, batch_norm):
    net = random_net(config, pool_size=pool_size, batch_norm=batch_norm)
    pools = sum(isinstance(module, nn.MaxPool2d) for module in net.features)
    side = pool_size * 2**pools
    assert net.image_size == side
    images = torch.randn(2, 3, side, side, dtype=torch.double)
    with torch.no_grad():
        scores = fully_convolutional(net)(images)
        assert scores.shape == (2, 5, 1, 1)
        torch.testing.assert_close(scores[:, :, 0, 0], net(images), rtol=1e-10, atol=1e-12)


def test_fully_convolutional_d_of_full_width_at_224():
    """In single precision; only fc6 to fc8 are narrow, to spare memory."""
    torch.manual_seed(0)
    net = VGGNet(3, 7, "D", hidden_features=16).eval()
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(
            fully_convolutional(net)(image)[:, :, 0, 0], net(image), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("name", "size", "places"), [("D", (384, 512), (6, 10)), ("E", (224, 255), (1, 1))]
)
def test_fully_convolutional_shapes_of_the_papers_nets(name, size, places):
    with torch.device("meta"):
        net = fully_convolutional(VGGNet(3, 1000, name, init="pytorch"))
        assert net(torch.empty(2, 3, *size)).shape == (2, 1000, *places)


@pytest.mark.parametrize("pool_size", [1, 2, 7])
def test_each_place_of_the_map_is_fc6_to_fc8_on_its_window_of_the_last_map(pool_size):
    """The plain way: cut every window, flatten it, apply the fully connected layers."""
    net = random_net(pool_size=pool_size)
    images = torch.randn(2, 3, 32 * pool_size + 40, 32 * pool_size + 70, dtype=torch.double)
    with torch.no_grad():
        scores, features = fully_convolutional(net)(images), net.features(images)
        assert scores.shape == (2, 5, 2, 3)
        for i in range(2):
            for j in range(3):
                window = features[:, :, i : i + pool_size, j : j + pool_size]
                torch.testing.assert_close(scores[:, :, i, j], net.classifier(window.flatten(1)))


def window_scores(net, image, row, column, context=0):
    """What the net gives for window (row, column), cut out with `context` steps around it.

    The cut ends at the image's edge; there the context is the padding that both have.
    """
    step = 2 ** sum(isinstance(module, nn.MaxPool2d) for module in net.features)
    places = [side // step for side in image.shape[-2:]]
    (top, bottom), (left, right) = (
        (max(0, at - context), min(count, at + net.pool_size + context))
        for at, count in zip((row, column), places, strict=True)
    )
    cut = image[:, :, top * step : bottom * step, left * step : right * step]
    features = net.features(cut)[:, :, row - top :, column - left :]
    return net.classifier(features[:, :, : net.pool_size, : net.pool_size].flatten(1))


def test_the_map_is_the_net_on_every_window_where_nothing_is_padded():
    """With 1x1 convolutions alone: exact everywhere, and window_scores is the net itself."""
    net = random_net([(1, 8), "M", (1, 6), (1, 6), "M"], pool_size=3, width=1)
    image = torch.randn(1, 3, 24, 32, dtype=torch.double)
    with torch.no_grad():
        scores = fully_convolutional(net)(image)
        assert scores.shape[2:] == (4, 6)
        for i in range(4):
            for j in range(6):
                window = image[:, :, 4 * i : 4 * i + 12, 4 * j : 4 * j + 12]
                torch.testing.assert_close(scores[:, :, i, j], net(window))
                torch.testing.assert_close(window_scores(net, image, i, j), net(window))


@pytest.mark.parametrize(("name", "context"), [("A", 2), ("D", 3)])
def test_with_padding_the_map_is_the_net_on_a_window_with_its_context(name, context):
    """Cut without context the window gives another value; with enough of it, the same one.

    Enough: the field of one score reaches beyond its window by 59 (A) or 90 (D) pixels on a side,
    so two or three steps of 32; with one step less it is not the same.
    """
    fields = receptive_field([*layer_configs[name], Layer(7, name="fc6")])[-1]
    beyond = -fields.interval(0)[0]
    assert 32 * (context - 1) < beyond <= 32 * context

    net = random_net(name, pool_size=2, width=1 / 8)  # pool_size moves no field, and is quicker
    image = torch.randn(1, 3, 32 * 9, 32 * 9, dtype=torch.double)
    with torch.no_grad():
        scores = fully_convolutional(net)(image)
        for place in [(0, 0), (3, 3), (4, 7)]:
            there = scores[:, :, place[0], place[1]]
            torch.testing.assert_close(window_scores(net, image, *place, context), there)
            for less in (0, context - 1):
                assert not torch.allclose(window_scores(net, image, *place, less), there, rtol=1e-6)


@pytest.mark.parametrize(("name", "untouched"), [("A", 3), ("D", 1), ("E", 0)])
def test_places_of_a_windows_map_that_no_padding_reaches(name, untouched):
    """Those whose field lies inside the 224 pixels: 3x3, 1 and none of the 7x7."""
    net = random_net(name, width=1 / 4)
    image = torch.randn(1, 3, 416, 416, dtype=torch.double)
    with torch.no_grad():
        whole = net.features(image)[:, :, 3:10, 3:10]
        alone = net.features(image[:, :, 96:320, 96:320])
    same = torch.isclose(whole, alone, rtol=1e-9, atol=1e-12).all(dim=1)[0]
    field = receptive_field(layer_configs[name])[-1]
    inside = [field.interval(i)[0] >= 0 and field.interval(i)[1] <= 224 for i in range(7)]
    assert sum(inside) == untouched
    assert same.tolist() == [[row and column for column in inside] for row in inside]


def test_fully_convolutional_shares_weights_and_mode():
    net = random_net(pool_size=1)
    dense = fully_convolutional(net)
    image = torch.randn(1, 3, 64, 32, dtype=torch.double)
    with torch.no_grad():
        before = dense(image)
        weight_layers(net)["fc6"].weight.mul_(2)
        weight_layers(net)["conv1_1"].weight.mul_(2)
        assert not torch.allclose(before, dense(image))
    dense(image).sum().backward()
    assert all(layer.weight.grad is not None for layer in weight_layers(net).values())
    assert not dense.training  # as the network that it is made of
    dense.train()
    assert net.classifier.training
    assert fully_convolutional(nn.DataParallel(net)).model is net
    assert sum(p.numel() for p in dense.parameters()) == sum(p.numel() for p in net.parameters())


def test_fully_convolutional_on_bad_input():
    with pytest.raises(ValueError, match=r"made of a VGGNet, got .*Linear"):
        fully_convolutional(nn.Linear(2, 2))
    net = fully_convolutional(random_net())
    with pytest.raises(ValueError, match="at least 224 pixels a side, got 300x223"):
        net(torch.zeros(1, 3, 300, 223).double())
    with pytest.raises(ValueError, match=r"\(N, 3, height, width\)"):
        net(torch.zeros(3, 224, 224))
