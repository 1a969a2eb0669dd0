"""Every protocol against a slow, plain second implementation; views, ensembles, memory, bad input.

The second implementation shares nothing with the module but the weights: it convolves and pools by
torch.nn.functional, cuts crops by loops over starts written out here, and keeps every posterior.
"""

import gc
import itertools
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import TensorDataset

from vgg_utils.augmentation import rescale
from vgg_utils.evaluation import (
    crop_grid,
    ensemble,
    evaluate,
    evaluation_scales,
    predict,
    top_k_error,
)
from vgg_utils.model import VGGNet, fully_convolutional, weight_layers
from vgg_utils.records import load_record

PAPER = load_record("paper")
CLASSES = 4
LAYERS = [(3, 6), (3, 6), "M", (1, 8), "M", (3, 8), "M"]  # image_size 8 * 2 = 16


def small_net(seed=0, **options):
    """Double precision and strong weights, so that views differ far more than rounding."""
    torch.manual_seed(seed)
    net = VGGNet(3, CLASSES, LAYERS, **{"pool_size": 2, "hidden_features": 10} | options).double()
    for layer in weight_layers(net).values():
        nn.init.normal_(layer.bias, std=0.3)
    with torch.no_grad():
        weight_layers(net)["fc8"].weight.mul_(4)
    return net


def photographs(sizes=((20, 27), (31, 22), (20, 27), (24, 24), (41, 20)), seed=1):
    """Pairs of an image (3, H, W) of any shape and a label."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(3, *size, generator=generator, dtype=torch.double), number % CLASSES)
        for number, size in enumerate(sizes)
    ]


# What the rescaled sides are, by hand: round(side * Q / smallest side).
RESCALED = {
    16: {(20, 27): (16, 22), (31, 22): (23, 16), (24, 24): (16, 16), (41, 20): (33, 16)},
    24: {(20, 27): (24, 32), (31, 22): (34, 24), (24, 24): (24, 24), (41, 20): (49, 24)},
    32: {(20, 27): (32, 43), (31, 22): (45, 32), (24, 24): (32, 32), (41, 20): (66, 32)},
}
# Where the windows of 16 pixels begin on a side: k * (side - 16) / 4, rounded down.
STARTS = {
    16: [0, 0, 0, 0, 0],
    22: [0, 1, 3, 4, 6],
    23: [0, 1, 3, 5, 7],
    24: [0, 2, 4, 6, 8],
    32: [0, 4, 8, 12, 16],
    33: [0, 4, 8, 12, 17],
    34: [0, 4, 9, 13, 18],
    43: [0, 6, 13, 20, 27],
    45: [0, 7, 14, 21, 29],
    49: [0, 8, 16, 24, 33],
    66: [0, 12, 25, 37, 50],
}
MODES = [(scales, flip) for scales in ([16], [24], [16, 24, 32]) for flip in (True, False)]


def plain_features(net, image):
    for name, layer in weight_layers(net).items():
        if name.startswith("fc"):
            continue
        padding = (layer.weight.shape[-1] - 1) // 2
        image = F.relu(F.conv2d(image, layer.weight, layer.bias, padding=padding))
        if name in ("conv1_2", "conv2_1", "conv3_1"):
            image = F.max_pool2d(image, 2)
    return image


def plain_scores(net, window):
    """fc6 to fc8 on one window (channels, 2, 2) of the last map, as matrix products."""
    values = window.reshape(-1)
    layers = weight_layers(net)
    for name in ("fc6", "fc7"):
        values = (layers[name].weight @ values + layers[name].bias).clamp(min=0)
    return layers["fc8"].weight @ values + layers["fc8"].bias


def plain_rescaled(image, scale):
    size = RESCALED[scale][tuple(image.shape[1:])]
    return F.interpolate(image[None], size=size, mode="bilinear", antialias=True)


def with_mirror(view, flip):
    return [view, torch.stack(view.unbind(3)[::-1], dim=3)] if flip else [view]


def plain_dense(net, image, scales, flip, softmax_first=False):
    posteriors = []
    views = [plain_rescaled(image, scale) for scale in scales]
    for view in itertools.chain(*(with_mirror(view, flip) for view in views)):
        features = plain_features(net, view)[0]
        places = itertools.product(range(features.shape[1] - 1), range(features.shape[2] - 1))
        scores = [plain_scores(net, features[:, i : i + 2, j : j + 2]) for i, j in places]
        if softmax_first:
            posteriors.append(sum(score.softmax(0) for score in scores) / len(scores))
        else:
            posteriors.append((sum(scores) / len(scores)).softmax(0))
    return sum(posteriors) / len(posteriors)


def plain_crops(net, image, scales, flip):
    posteriors = []
    for scale in scales:
        whole = plain_rescaled(image, scale)
        for top, left in itertools.product(STARTS[whole.shape[2]], STARTS[whole.shape[3]]):
            for crop in with_mirror(whole[:, :, top : top + 16, left : left + 16], flip):
                posteriors.append(plain_scores(net, plain_features(net, crop)[0]).softmax(0))
    assert len(posteriors) == 25 * len(scales) * (2 if flip else 1)
    return sum(posteriors) / len(posteriors)


def plain(function, net, images, *arguments):
    with torch.no_grad():
        return torch.stack([function(net, image, *arguments) for image, _ in images]).float()


# The protocols


@pytest.mark.parametrize(("scales", "flip"), MODES)
def test_dense_is_the_plain_one(scales, flip):
    net, images = small_net(), photographs()
    posteriors, labels = evaluate(net, images, scales, flip=flip, progress=False)
    assert labels.tolist() == [0, 1, 2, 3, 0]
    torch.testing.assert_close(posteriors, plain(plain_dense, net, images, scales, flip))


@pytest.mark.parametrize("scales", [[24], [16, 24, 32]])
def test_dense_with_the_softmax_first_is_the_plain_one_and_another(scales):
    net, images = small_net(), photographs()
    posteriors, _ = evaluate(net, images, scales, softmax_first=True, progress=False)
    torch.testing.assert_close(posteriors, plain(plain_dense, net, images, scales, True, True))
    assert (posteriors - plain(plain_dense, net, images, scales, True)).abs().max() > 1e-3


@pytest.mark.parametrize(("scales", "flip"), MODES)
def test_crops_are_the_plain_ones(scales, flip):
    net, images = small_net(), photographs()
    posteriors, labels = evaluate(net, images, scales, protocol="crops", flip=flip, progress=False)
    assert labels.tolist() == [0, 1, 2, 3, 0]
    torch.testing.assert_close(posteriors, plain(plain_crops, net, images, scales, flip))


def test_both_is_the_average_of_the_two_with_equal_weight():
    net, images, scales = small_net(), photographs(), [16, 24, 32]
    posteriors, labels = evaluate(net, images, scales, protocol="both", progress=False)
    expected = [plain(way, net, images, scales, True) for way in (plain_dense, plain_crops)]
    torch.testing.assert_close(posteriors, (expected[0] + expected[1]) / 2)
    assert (expected[0] - expected[1]).abs().max() > 1e-2
    assert labels.tolist() == [0, 1, 2, 3, 0]


def test_one_crop_of_the_image_itself_is_predict():
    """The centre alone, unflipped, at an image's own size: the softmax of the plain logits."""
    net = small_net()
    images = torch.stack([image for image, _ in photographs([(16, 16)] * 5)])
    data = TensorDataset(images, torch.tensor([3, 1, 0, 2, 2]))
    posteriors, labels = evaluate(
        net, data, [16], protocol="crops", grid=1, flip=False, progress=False
    )
    torch.testing.assert_close(posteriors, predict(net, images).softmax(1))
    dense, _ = evaluate(net, data, [16], flip=False, progress=False)
    torch.testing.assert_close(dense, posteriors)
    assert top_k_error(posteriors, labels, 4) == 0
    assert labels.dtype == torch.int64


def test_crops_of_another_size_and_of_a_network_that_is_no_vggnet():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, CLASSES)).double()
    image = torch.randn(3, 6, 6, dtype=torch.double)
    posteriors, _ = evaluate(
        net, [(image, 0)], (6,), protocol="crops", grid=2, crop_size=4, flip=False, progress=False
    )
    with torch.no_grad():
        crops = [image[None, :, i : i + 4, j : j + 4] for i in (0, 2) for j in (0, 2)]
        expected = sum(net(crop).softmax(1) for crop in crops) / 4
    torch.testing.assert_close(posteriors, expected.float())


def test_a_constant_subtracted_before_or_after_rescaling_is_the_same():
    """What ImageData does, whose images have the mean subtracted before they come here."""
    image, mean = photographs()[1][0], torch.tensor([0.4, -1.0, 3.0]).double()[:, None, None]
    torch.testing.assert_close(rescale(image - mean, 24), rescale(image, 24) - mean)


@pytest.mark.parametrize("protocol", ["dense", "crops", "both"])
def test_batch_size_changes_nothing(protocol):
    net, images = small_net(batch_norm=True), photographs()
    reference, _ = evaluate(
        net, images, [16, 24], protocol=protocol, batch_size=10_000, progress=False
    )
    for batch_size in (1, 2, 7, 64):
        posteriors, labels = evaluate(
            net, images, [16, 24], protocol=protocol, batch_size=batch_size, progress=False
        )
        torch.testing.assert_close(posteriors, reference, rtol=1e-6, atol=1e-8)
        assert labels.tolist() == [0, 1, 2, 3, 0]


def test_one_image_gets_what_it_gets_among_others_and_order_does_not_matter():
    net, images = small_net(), photographs()
    together, _ = evaluate(net, images, [16, 24], batch_size=6, progress=False)
    backwards, labels = evaluate(net, images[::-1], [24, 16], batch_size=6, progress=False)
    torch.testing.assert_close(backwards.flip(0), together, rtol=1e-6, atol=1e-8)
    assert labels.tolist() == [0, 3, 2, 1, 0]
    alone, _ = evaluate(net, images[1:2], [16, 24], progress=False)
    torch.testing.assert_close(alone[0], together[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("protocol", ["dense", "crops"])
def test_the_mirror_image_gets_the_same_posteriors_only_with_flips(protocol):
    """Exactly so where the grid is symmetric, which it is for sides of 16 + 4k."""
    net = small_net()
    image = photographs([(24, 32)])[0][0]
    for flip, equal in ((True, True), (False, False)):
        one, other = (
            evaluate(net, [(view, 0)], [24], protocol=protocol, flip=flip, progress=False)[0]
            for view in (image, image.flip(2))
        )
        assert torch.allclose(one, other, atol=1e-6) is equal


def test_dropout_is_off_and_every_mode_is_put_back_even_after_an_error():
    net, images = small_net(dropout=0.9, batch_norm=True).train(), photographs()
    net.features[1].eval()
    before = [module.training for module in net.modules()]
    statistics = net.features[1].running_mean.clone()
    first, _ = evaluate(net, images, [16], protocol="both", progress=False)
    second, _ = evaluate(net, images, [16], protocol="both", progress=False)
    assert torch.equal(first, second)
    assert [module.training for module in net.modules()] == before
    assert torch.equal(net.features[1].running_mean, statistics)
    with pytest.raises(ValueError, match=r"image 0 .* NaN or infinite"):
        evaluate(net, [(images[0][0] * float("nan"), 0)], [16], progress=False)
    assert [module.training for module in net.modules()] == before


def test_no_gradient_is_kept():
    posteriors, _ = evaluate(small_net(), photographs(), [16], progress=False)
    assert not posteriors.requires_grad


def test_progress_counts_images_and_can_be_turned_off(capsys):
    evaluate(small_net(), photographs(), [16], protocol="both", progress=False)
    assert capsys.readouterr() == ("", "")
    evaluate(small_net(), photographs(), [16])
    assert "0/5" in capsys.readouterr().err


# Memory


class LiveBytes(TorchDispatchMode):
    """Follow every tensor that an operation returns; `peak` is the most bytes alive at once."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and id(tensor) not in self.alive:
                storage = tensor.untyped_storage()
                self.alive[id(tensor)] = (storage.data_ptr(), storage.nbytes())
                weakref.finalize(tensor, self.alive.pop, id(tensor), None)
        self.peak = max(self.peak, sum(dict(self.alive.values()).values()))
        return out


class Generated:
    """Images made when they are asked for, so that the data set itself holds none."""

    def __init__(self, count):
        self.count, self.read = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        generator = torch.Generator().manual_seed(index)
        size = (24 + index % 5, 24 + index % 3)  # many shapes: no two batches alike
        return torch.randn(3, *size, generator=generator).double(), index % CLASSES


@pytest.mark.parametrize("protocol", ["dense", "crops"])
def test_memory_grows_by_one_posterior_an_image_and_no_more(protocol):
    net, peaks = small_net(), {}
    for count in (20, 60):
        gc.collect()
        data = Generated(count)
        with LiveBytes() as tracker:
            evaluate(
                net, data, [16, 24, 32], protocol=protocol, grid=3, batch_size=8, progress=False
            )
        assert data.read == list(range(count))  # each read once
        peaks[count] = tracker.peak
    # float64 sums, float32 averages, labels, counts: below 100 bytes an image of 4 classes, where
    # its views at one scale are more than 18 kB.
    assert peaks[60] - peaks[20] < 40 * 200
    assert peaks[20] > 8 * 3 * 16 * 16 * 8  # it has seen the views


def test_no_batch_is_larger_than_asked_and_equal_views_go_together():
    sizes = []
    net = small_net()
    net.features.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    evaluate(net, photographs(), [16, 24], protocol="crops", batch_size=30, progress=False)
    assert sizes == [30] * 16 + [20]  # 5 images of 100 crops
    sizes.clear()
    evaluate(net, photographs([(20, 20)] * 9), [16], batch_size=6, progress=False)
    assert sizes == [6, 6, 6]
    sizes.clear()
    evaluate(net, photographs(), [24, 32], batch_size=6, progress=False)
    assert sum(sizes) == 20
    assert max(sizes) <= 6


# Views and scales


@pytest.mark.parametrize("side", [16, 22, 24, 33, 43])
def test_grid_reaches_from_edge_to_edge_in_even_steps(side):
    image = torch.arange(side * 50).reshape(1, side, 50)
    windows = crop_grid(image, 16)
    assert len(windows) == 25
    for k, top in enumerate(STARTS[side]):
        for m, left in enumerate([0, 8, 17, 25, 34]):
            expected = image[:, top : top + 16, left : left + 16]
            assert torch.equal(windows[5 * k + m], expected)
    assert STARTS[side][0] == 0
    assert STARTS[side][-1] == side - 16


def test_grid_of_one_is_the_centre_and_batches_are_cut_alike():
    images = torch.randn(2, 3, 21, 30)
    (centre,) = crop_grid(images, 16, grid=1)
    assert torch.equal(centre, images[:, :, 2:18, 7:23])
    assert torch.equal(centre, crop_grid(images, 16, grid=3)[4])
    assert crop_grid(images, 16)[0].data_ptr() == images.data_ptr()  # no copies


def test_views_of_the_papers_multi_crop():
    facts = PAPER["testing"]["multi_crop"]["value"]
    crops = crop_grid(torch.zeros(1, 256, 300), 224)
    assert f"{len(crops) ** 0.5:.0f}x{len(crops) ** 0.5:.0f}" == facts["grid"]
    assert len(crops) * facts["flips"] == facts["per_scale"]
    assert facts["per_scale"] * facts["scales"] == facts["total"]


def test_scales_are_those_of_tables_3_and_4():
    single = {(row["config"], row["train_S"]): row["test_Q"] for row in PAPER["table3"]["rows"]}
    for row in PAPER["table4"]["rows"]:
        ends = [int(end) for end in row["train_S"].strip("[]").split(";")]
        scales = evaluation_scales((ends[0], ends[1]) if len(ends) == 2 else ends[0])
        assert list(scales) == row["test_Q"]
        assert [scales[1]] == single[row["config"], row["train_S"]]
    assert evaluation_scales(64, step=8) == (56, 64, 72)
    assert evaluation_scales((32, 61)) == (32, 46, 61)


# Ensembles


def test_an_ensemble_is_the_average():
    first, second = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([[0.3, 0.7], [0.4, 0.6]])
    torch.testing.assert_close(ensemble([first, second]), torch.tensor([[0.6, 0.4], [0.3, 0.7]]))
    assert torch.equal(ensemble([first]), first)
    three = ensemble([first, second, second])
    torch.testing.assert_close(three[0], torch.tensor([0.5, 0.5]))


def test_an_ensemble_of_two_networks():
    images = photographs()
    nets = [small_net(0), small_net(5)]
    expected = sum(plain(plain_dense, net, images, [24], True) for net in nets) / 2
    together = ensemble([evaluate(net, images, [24], progress=False)[0] for net in nets])
    torch.testing.assert_close(together, expected)


# Bad input


def at(net=None, data=None, scales=(16,), **options):
    data = photographs() if data is None else data
    return evaluate(small_net() if net is None else net, data, scales, progress=False, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": []}, "the data set is empty"),
        ({"protocol": "densely"}, "unknown protocol 'densely': choose 'dense', 'crops' or 'both'"),
        ({"scales": ()}, r"at least one Q, such as \[256\]"),
        ({"scales": 256}, r"at least one Q, such as \[256\], got 256"),
        ({"scales": (16, 0)}, "each of scales must be a positive integer, got 0"),
        ({"scales": (15.5,)}, "each of scales must be a positive integer, got 15.5"),
        ({"scales": (24, 15)}, "Q = 15 is too small: 'dense' needs at least 16"),
        ({"scales": (15,), "protocol": "crops"}, "Q = 15 is too small: 'crops' needs at least 16"),
        ({"protocol": "crops", "crop_size": 17}, "Q = 16 is too small: 'crops' needs at least 17"),
        ({"protocol": "both", "crop_size": 17}, "Q = 16 is too small: 'both' needs at least 17"),
        (
            {"scales": [15], "protocol": "both", "crop_size": 9},
            "Q = 15 .* 'both' needs at least 16",
        ),
        ({"protocol": "crops", "crop_size": 0}, "crop_size must be a positive integer"),
        ({"protocol": "crops", "crop_size": 7}, "image of 7x7 pixels is too small .*at least 8"),
        ({"grid": 0}, "grid must be a positive integer"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
        ({"net": nn.Linear(2, 2)}, "'dense' needs a VGGNet, got .*Linear.*'crops' with"),
        ({"net": nn.Linear(2, 2), "protocol": "both"}, "'both' needs a VGGNet"),
        ({"net": nn.Linear(2, 2), "protocol": "crops"}, "with a `crop_size` takes any"),
        (
            {"data": [(torch.zeros(24, 24), 0)]},
            r"\(channels, height, width\), image 0 is \(24, 24\)",
        ),
        (
            {"data": [(torch.zeros(3, 24, 24, dtype=torch.uint8), 0)]},
            "image 0 .* got torch.uint8: divide by 255",
        ),
        ({"data": [(torch.zeros(1, 24, 24).double(), 0)]}, r"shape \(N, 3, height, width\)"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        at(**options)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("protocol", ["dense", "crops"])
def test_pixels_that_are_no_numbers_are_named_with_their_image(protocol, value):
    images = photographs()
    images[3][0][0, 5, 5] = value
    with pytest.raises(ValueError, match=r"image 3 .*NaN or infinite"):
        at(data=images, protocol=protocol)


def test_weights_that_are_no_numbers_are_told_of():
    net = small_net()
    weight_layers(net)["fc8"].bias.data[1] = float("nan")
    with pytest.raises(ValueError, match="scores of image 0 are NaN: has training diverged"):
        at(net)


@pytest.mark.parametrize("label", [torch.tensor([0, 1, 0, 0]), "cat", 1.0, None])
def test_a_label_that_is_no_class_is_named_with_its_image(label):
    images = photographs()
    images[2] = (images[2][0], label)
    with pytest.raises(ValueError, match="the label of image 2 of the data set"):
        at(data=images)


def test_an_image_below_the_least_size_is_rescaled_first():
    net, image = small_net(), torch.randn(3, 6, 7, dtype=torch.double)
    posteriors, _ = at(net, [(image, 0)], flip=False)
    with torch.no_grad():
        large = F.interpolate(image[None], size=(16, 19), mode="bilinear", antialias=True)
        expected = fully_convolutional(net.eval())(large).mean((2, 3)).softmax(1)
    torch.testing.assert_close(posteriors, expected.float())


@pytest.mark.parametrize("protocol", ["dense", "crops", "both"])
def test_a_wrapped_network_is_evaluated_like_the_bare_one(protocol):
    net, images = small_net(), photographs()
    expected, _ = at(net, images, protocol=protocol)
    for wrapped in (nn.DataParallel(net), torch.compile(net, backend="eager")):
        found, _ = at(wrapped, images, protocol=protocol)
        torch.testing.assert_close(found, expected)
        assert net.training


def test_predict_batch_by_batch_is_the_forward_pass_and_leaves_no_trace():
    net = small_net(batch_norm=True, dropout=0.9)
    images = torch.randn(7, 3, 16, 16, dtype=torch.double)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    found = predict(net, images, batch_size=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not found.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(found, net.eval()(images).float())


def test_predict_takes_a_module_without_weights():
    images = torch.randn(2, 3, 1, 1)
    assert torch.equal(predict(nn.Flatten(), images), images.flatten(1))


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_predict_wants_a_batch_size_of_at_least_one(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        predict(small_net(), torch.zeros(1, 3, 16, 16).double(), batch_size=batch_size)


def test_predict_looks_at_what_it_is_given():
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 3, height, width\)"):
        predict(small_net(), torch.zeros(1, 1, 16, 16).double())


def test_a_whole_data_set_is_asked_for_one_part():
    from vgg_utils.data import load_digits

    data = load_digits()
    with pytest.raises(ValueError, match=r"give one part of the data, such as data\."):
        at(data=data)
    net = VGGNet(1, 10, "A", width=1 / 16, pool_size=1, hidden_features=8)
    posteriors, labels = at(net, data.test, (32,), batch_size=250, flip=False)
    images, expected = data.test.tensors
    assert torch.equal(labels, expected)
    torch.testing.assert_close(posteriors, predict(net, images).softmax(1), rtol=1e-4, atol=1e-5)
    as_tensors = at(net, (images, expected), (32,), batch_size=250, flip=False)  # as `fit` takes it
    assert torch.equal(as_tensors[0], posteriors) and torch.equal(as_tensors[1], expected)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "nothing to average"),
        ([torch.full((2, 2), 0.5), torch.full((2, 4), 0.25)], r"same classes .*\(2, 2\), \(2, 4\)"),
        ([torch.full((2, 2), 0.5), torch.full((3, 2), 0.5)], "same images"),
        ([torch.ones(3)], r"\(N, classes\), got \(3,\)"),
        ([torch.full((2, 2), 0.5), torch.randn(2, 2)], "entry 1 do not sum to 1"),
        ([torch.full((2, 2), float("nan"))], "entry 0 do not sum to 1"),
    ],
)
def test_what_makes_no_ensemble(entries, message):
    with pytest.raises(ValueError, match=message):
        ensemble(entries)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(1, 20, 15), 16), "crop of 16 pixels does not fit into an image of 20x15"),
        ((torch.zeros(1, 20, 20), 0), "size must be a positive integer"),
        ((torch.zeros(1, 20, 20), 16, 0), "grid must be a positive integer"),
    ],
)
def test_a_grid_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        crop_grid(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "train_scale must be a positive integer"),
        ((32,), "step must be smaller than the scale 32, got 32"),
        ((64, 0), "step must be a positive integer"),
        (((512, 256),), r"\(S_min, S_max\), got \(512, 256\)"),
        (((0, 256),), "each end of train_scale"),
        (((256.5, 512),), "each end of train_scale"),
    ],
)
def test_scales_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation_scales(*arguments)
