"""The fast run: its schedule, augmentation and whitening against second ways; every switch."""

import inspect
import random
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import Subset, TensorDataset
from torchvision.transforms.v2.functional import resize

from vgg_utils import fast_cifar10
from vgg_utils.data import ImageData, load_digits
from vgg_utils.fast_cifar10 import TWO_CORES, Recipe, Run, main, network, train, whiten
from vgg_utils.training import TrainingError, cycle_share

TINY = Recipe(epochs=2, batch_size=16, width=1 / 32)


def colour_data(count: int = 64, side: int = 32) -> ImageData:
    """Random images whose neighbouring pixels and colours are correlated, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, side // 4, side // 4, generator=generator)
    images = F.interpolate(coarse + coarse.mean(1, keepdim=True), size=side, mode="bilinear")
    images = 0.2 * images + 0.02 * torch.randn(count, 3, side, side, generator=generator)
    data = TensorDataset(images, torch.arange(count) % 10)
    return ImageData(data, data, [str(label) for label in range(10)], torch.zeros(3))


@pytest.fixture
def inputs(monkeypatch):
    """What the network is given in training, batch by batch."""
    seen = []

    def recording(*arguments, **options):
        net = network(*arguments, **options)
        net.register_forward_pre_hook(
            lambda module, given: seen.append(given[0]) if module.training else None
        )
        return net

    monkeypatch.setattr(fast_cifar10, "network", recording)
    return seen


# The parts


@pytest.mark.parametrize("steps", [10, 33, 1000])
def test_schedule_is_that_of_torch(steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=steps,
        pct_start=0.2,
        anneal_strategy="linear",
        cycle_momentum=False,
        div_factor=5,
        final_div_factor=1e12,
    )
    for step in range(steps):
        assert cycle_share(step, steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        if step + 1 < steps:
            schedule.step()


def test_whitened_outputs_are_uncorrelated_and_held_back_where_there_is_little():
    images = colour_data(200).train.tensors[0]
    convolution = nn.Conv2d(3, 54, 3, bias=False)
    whiten(convolution, images)
    outputs = convolution(images).transpose(0, 1).flatten(1)  # no padding: whole patches only
    assert torch.equal(convolution.weight[:27], -convolution.weight[27:])
    covariance = torch.cov(outputs[:27])
    patches = images.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 27)
    variances = torch.linalg.svdvals(patches - patches.mean(0)) ** 2 / (len(patches) - 1)
    expected = (variances / (variances + 0.01)).sort().values
    assert torch.allclose(covariance.diag().sort().values, expected, atol=1e-3)
    assert torch.allclose(covariance, torch.diag(covariance.diag()), atol=1e-3)
    assert expected[0] < 0.5 < 0.9 < expected[-1]  # some are held back, some are not


def test_fewer_patterns_are_those_of_most_variance():
    images = colour_data(200).train.tensors[0]
    all_of_them, few = (nn.Conv2d(3, 2 * count, 3, bias=False) for count in (27, 5))
    for convolution in (all_of_them, few):
        whiten(convolution, images)
    variances = all_of_them(images)[:, :27].var((0, 2, 3))  # held back where there is little
    strongest = variances.argsort()[-5:]
    assert torch.equal(few.weight[:5], all_of_them.weight[strongest])
    assert torch.equal(few.weight[5:], -few.weight[:5])


def test_first_layer_has_as_many_patterns_as_asked_for_and_as_there_are():
    for channels, patterns, filters in ((3, 27, 54), (3, 12, 24), (1, 27, 18), (1, 12, 18)):
        first = network(channels, 10, replace(TINY, patterns=patterns))[0]
        assert first.weight.shape == (filters, channels, 3, 3)


def test_network_has_the_layers_that_are_listed_and_no_useless_bias():
    net = network(3, 10, Recipe())
    convolutions = [module for module in net if isinstance(module, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [54, 128, 128, 128, 256, 512, 512, 512]
    assert all(c.kernel_size == (3, 3) and c.bias is None for c in convolutions)
    assert net[:-1](torch.zeros(2, 3, 32, 32)).shape == (2, 512, 4, 4)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    net = network(3, 7, replace(TINY, whitening=False), layers="D")
    assert sum(isinstance(module, nn.Conv2d) for module in net) == 1 + 13
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_dirac_convolutions_begin_by_handing_on_what_they_read():
    nets = []
    for dirac in (False, True):
        torch.manual_seed(0)
        nets.append(network(3, 10, Recipe(dirac=dirac)))
    pairs = [pair for pair in zip(*nets, strict=True) if isinstance(pair[0], nn.Conv2d)]
    assert len(pairs) == 8
    for usual, convolution in pairs:
        channels = convolution.in_channels
        x = torch.randn(2, channels, 8, 8)
        assert torch.allclose(convolution(x)[:, :channels], x, atol=1e-6)
        assert not torch.allclose(usual(x)[:, :channels], x, atol=0.1)
        assert torch.equal(convolution.weight[channels:], usual.weight[channels:])


def test_head_takes_the_highest_value_of_each_channel():
    head = fast_cifar10.Head(4, 3)
    x = torch.rand(2, 4, 5, 6)
    highest = torch.stack([image.flatten(1).max(1).values for image in x])
    assert torch.allclose(head(x), highest @ head.weight.T + head.bias)


# The switches


@pytest.fixture
def groups():
    """The parameter groups of each step, as the optimizer has them then."""
    seen = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: seen.append([dict(group) for group in optimizer.param_groups])
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize("whitening", [True, False])
def test_every_parameter_but_the_computed_ones_is_learnt_in_one_group(whitening, groups):
    net = train(colour_data(), replace(TINY, whitening=whitening), device="cpu").model
    ids = [id(value) for group in groups[0] for value in group["params"]]
    assert len(ids) == len(set(ids))
    computed = {id(net[0].weight)} if whitening else set()
    assert set(ids) == {id(value) for value in net.parameters()} - computed


@pytest.mark.parametrize(
    ("off", "factor", "decay_of_biases", "decay_of_scales"),
    [
        ({}, 64, 0, 0),
        ({"fast_biases": False}, 1, 0, 0),
        ({"free_biases": False}, 64, 5e-4 / 64, 5e-4),
        ({"fast_biases": False, "free_biases": False}, 1, 5e-4, 5e-4),
    ],
)
def test_biases_are_fast_and_free_of_decay(off, factor, decay_of_biases, decay_of_scales, groups):
    net = train(colour_data(), replace(TINY, **off), device="cpu").model
    found = {id(value): group for group in groups[3] for value in group["params"]}
    norms = [module for module in net if isinstance(module, nn.BatchNorm2d)]
    weights, rate = found[id(net[2].weight)], groups[3][0]["lr"]
    assert weights["lr"] == rate > 0 and weights["weight_decay"] == 5e-4
    for norm in norms:
        scale, bias = found[id(norm.weight)], found[id(norm.bias)]
        assert (scale["lr"], scale["weight_decay"]) == (rate, decay_of_scales)
        assert bias["lr"] == pytest.approx(factor * rate)
        assert bias["weight_decay"] == decay_of_biases


def test_small_logits_are_an_eighth():
    nets = []
    for small in (True, False):
        torch.manual_seed(0)
        nets.append(network(3, 10, replace(TINY, small_logits=small)).eval())
    images = torch.rand(4, 3, 32, 32)
    assert torch.allclose(8 * nets[0](images), nets[1](images))


def test_first_convolution_is_computed_or_learnt():
    data = colour_data()
    expected = nn.Conv2d(3, 54, 3, bias=False)
    images = data.train.tensors[0]
    whiten(expected, images / images.std((0, 2, 3), keepdim=True))
    computed = train(data, TINY, device="cpu").model
    assert torch.equal(computed[0].weight, expected.weight)
    assert isinstance(computed[1], nn.ReLU)
    torch.manual_seed(0)
    start = network(3, 10, replace(TINY, whitening=False))
    learnt = train(data, replace(TINY, whitening=False), device="cpu").model
    assert not torch.allclose(learnt[0].weight, start[0].weight, atol=1e-4)
    assert isinstance(learnt[1], nn.BatchNorm2d)


@pytest.mark.parametrize("on", [True, False])
def test_rate_follows_the_cycle_or_stays_at_half(on, groups):
    train(colour_data(), replace(TINY, one_cycle=on), device="cpu")
    peak = 0.6 * 16 / 512  # the rate of 512 images, scaled to 16
    shares = [cycle_share(step, 8) if on else 0.5 for step in range(8)]  # 2 epochs of 64 / 16 steps
    assert [step[0]["lr"] for step in groups] == pytest.approx([peak * share for share in shares])


@pytest.mark.parametrize("on", [True, False])
def test_momentum_is_nesterovs_or_plain(on, groups):
    train(colour_data(), replace(TINY, nesterov=on), device="cpu")
    found = {(group["nesterov"], group["momentum"]) for step in groups for group in step}
    assert found == {(on, 0.9)}


@pytest.mark.parametrize(("on", "smoothing"), [(True, 0.2), (False, 0.0)])
def test_labels_are_smoothed_in_training(on, smoothing, monkeypatch):
    found = []
    real = F.cross_entropy

    def spy(*arguments, **options):
        found.append(options["label_smoothing"])
        return real(*arguments, **options)

    monkeypatch.setattr(F, "cross_entropy", spy)
    train(colour_data(), replace(TINY, label_smoothing=on), device="cpu")
    assert found == [smoothing] * 8


def which(given: torch.Tensor, images: torch.Tensor) -> dict[int, bool]:
    """Find each training image in a batch: its number, and whether it came mirrored."""
    found = {}
    for one in given:
        for mirrored in (False, True):
            same = (images.flip(3) if mirrored else images).sub(one).abs().amax((1, 2, 3)) < 1e-5
            found |= {int(number): mirrored for number in same.nonzero()}
    return found


def test_every_image_is_mirrored_in_every_other_epoch(inputs):
    data = colour_data()
    images = data.train.tensors[0]
    images = images / images.std((0, 2, 3), keepdim=True)
    recipe = replace(TINY, epochs=3, batch_size=64, shift=False)
    train(data, recipe, device="cpu")
    first, second, third = (which(given, images) for given in inputs)
    assert len(first) == 64 and 16 < sum(first.values()) < 48
    assert third == first and second == {number: not way for number, way in first.items()}


def test_without_flip_and_shift_the_images_come_as_they_are(inputs):
    data = colour_data(70)  # six images do not fill a batch
    images = data.train.tensors[0]
    images = images / images.std((0, 2, 3), keepdim=True)
    train(data, replace(TINY, flip=False, shift=False), device="cpu")
    assert [len(given) for given in inputs] == [16] * 8
    orders = [which(torch.cat(inputs[epoch : epoch + 4]), images) for epoch in (0, 4)]
    assert all(len(order) == 64 and not any(order.values()) for order in orders)
    assert list(orders[0]) != list(orders[1])


@pytest.mark.parametrize(("side", "most"), [(32, 2), (16, 1), (8, 1)])
def test_shifted_images_are_windows_of_the_reflected_ones(inputs, side, most):
    data = colour_data(side=side)
    images = data.train.tensors[0] / data.train.tensors[0].std((0, 2, 3), keepdim=True)
    train(data, replace(TINY, flip=False, epochs=3), device="cpu")
    before, after = range(most, 0, -1), range(side - 2, side - 2 - most, -1)
    mirror = [*before, *range(side), *after]  # of rows and columns, by numbers
    wide = images[:, :, mirror][:, :, :, mirror]
    windows = {
        (row, column): wide[:, :, row : row + side, column : column + side]
        for row in range(2 * most + 1)
        for column in range(2 * most + 1)
    }
    offsets = set()
    for given in torch.cat(inputs):
        nearest = {place: (w - given).abs().amax((1, 2, 3)).min() for place, w in windows.items()}
        found = [place for place, distance in nearest.items() if distance < 1e-5]
        assert len(found) == 1
        offsets |= set(found)
    assert offsets == set(windows)


def test_images_grow_by_thirds_of_the_run(inputs):
    data = colour_data()
    recipe = replace(TINY, epochs=6, batch_size=64, flip=False, shift=False, grow=True)
    train(data, recipe, device="cpu")
    assert [given.shape[-1] for given in inputs] == [16, 16, 24, 24, 32, 32]
    images = data.train.tensors[0] / data.train.tensors[0].std((0, 2, 3), keepdim=True)
    for given in inputs:  # each is an image as it is, made smaller by torchvision
        side = [given.shape[-1]] * 2
        expected = resize(images, side, antialias=True)
        gaps = (given[:, None] - expected[None]).abs().amax((2, 3, 4)).min(1).values
        assert gaps.max() < 1e-4


def test_a_large_set_is_augmented_in_parts_alike(inputs, monkeypatch):
    recipe = replace(TINY, shift=False, batch_size=64)
    runs = []
    for size in (64, 10):  # 64 images at once, or in seven parts
        monkeypatch.setattr(fast_cifar10, "PART", size)
        runs.append(train(colour_data(), recipe, device="cpu").history)
    assert len(inputs) == 4 and all(len(given) == 64 for given in inputs)
    assert [row["train_loss"] for row in runs[0]] == [row["train_loss"] for row in runs[1]]


@pytest.mark.parametrize("on", [True, False])
def test_layout_is_channels_last_or_plain(on, inputs):
    model = train(colour_data(), replace(TINY, channels_last=on), device="cpu").model
    layout = torch.channels_last if on else torch.contiguous_format
    assert all(given.is_contiguous(memory_format=layout) for given in inputs)
    assert model[2].weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(("on", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_products_are_in_half_precision_where_the_device_has_it(on, dtype, inputs, monkeypatch):
    monkeypatch.setattr(fast_cifar10, "autocast_type", lambda name, device: torch.bfloat16)
    real, products = F.cross_entropy, []
    monkeypatch.setattr(
        F,
        "cross_entropy",
        lambda x, *rest, **more: products.append(x.dtype) or real(x, *rest, **more),
    )
    run = train(colour_data(), replace(TINY, half=on), device="cpu")
    assert {given.dtype for given in inputs} == set(products) == {dtype}
    assert all(value.dtype == torch.float32 for value in run.model.parameters())


@pytest.mark.parametrize(
    ("known", "does"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"neon": True, "bf16": False}, False),
        (None, False),  # an older PyTorch doesn't say
    ],
)
@pytest.mark.parametrize("wanted", [True, False])
def test_a_cpu_multiplies_in_bfloat16_if_it_can_and_if_asked_to(
    known, does, wanted, inputs, monkeypatch
):
    if known is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    run = train(colour_data(), replace(TINY, half_on_cpu=wanted, grow=True), device="cpu")
    half = does and wanted
    assert {given.dtype for given in inputs} == {torch.bfloat16 if half else torch.float32}
    assert all(value.dtype == torch.float32 for value in run.model.parameters())


def test_compiled_network_trains_to_the_same_and_the_steps_before_leave_no_trace(monkeypatch):
    """The steps that compile are at rate zero; with a compiler that does nothing all is equal."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda net: compiled.append(net) or net)
    plain = train(colour_data(), TINY, device="cpu")
    assert not compiled
    other = train(colour_data(), replace(TINY, compile=True), device="cpu")
    assert compiled == [other.model]
    same = zip(plain.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in same if one.dim())  # dim 0: counts of batches


def test_every_switch_is_asked_for_in_the_loop_or_the_network():
    parts = (fast_cifar10._train, fast_cifar10.augment, network)
    code = "".join(inspect.getsource(part) for part in parts)
    for field in fields(Recipe):
        assert f"recipe.{field.name}" in code


# The whole


def test_digits_are_learnt():
    data = load_digits()
    recipe = Recipe(epochs=3, batch_size=32, width=1 / 16, flip=False)
    run = train(data, recipe, device="cpu")
    rows = run.history
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["test_error"] < 20  # chance is 90
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert 0 < rows[0]["seconds"] < rows[1]["seconds"] < rows[2]["seconds"] == run.seconds


def test_seed_fixes_everything_and_matters():
    first, again, other = (
        train(colour_data(), TINY, seed=seed, device="cpu") for seed in (1, 1, 2)
    )
    weights = [run.model[2].weight for run in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert [row["train_loss"] for row in first.history] == [
        row["train_loss"] for row in again.history
    ]


def test_test_set_is_looked_at_once_and_the_validation_part_in_every_epoch(monkeypatch):
    data = colour_data()
    parts = {
        name: TensorDataset(data.test.tensors[0][:count], data.test.tensors[1][:count])
        for name, count in (("validation", 7), ("test", 9))
    }
    looks = []
    real = fast_cifar10.predict
    monkeypatch.setattr(
        fast_cifar10, "predict", lambda net, images: looks.append(len(images)) or real(net, images)
    )
    plain = train(data._replace(test=parts["test"]), TINY, device="cpu")
    assert looks == [9]
    run = train(data._replace(**parts), TINY, device="cpu")
    assert looks == [9, 7, 7, 9]
    keys = {"epoch", "train_loss", "seconds", "validation_error"}
    assert [set(row) for row in run.history] == [keys, keys | {"test_error"}]
    for one, other in zip(plain.history, run.history, strict=True):
        assert one["train_loss"] == other["train_loss"]  # to look changes nothing
    scaled = parts["validation"].tensors[0] / data.train.tensors[0].std((0, 2, 3), keepdim=True)
    wrong = run.model.eval()(scaled).argmax(1) != parts["validation"].tensors[1]
    assert run.history[-1]["validation_error"] == pytest.approx(100 * wrong.float().mean().item())


@pytest.mark.parametrize("finite", [True, False])
def test_random_states_and_the_setting_of_cudnn_are_left_as_found(finite, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    within = []
    real = fast_cifar10.network
    monkeypatch.setattr(
        fast_cifar10,
        "network",
        lambda *given: within.append(torch.backends.cudnn.benchmark) or real(*given),
    )
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    expected = torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    try:
        train(colour_data(), replace(TINY, learning_rate=0.6 if finite else 1e30), device="cpu")
    except TrainingError:
        assert not finite
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()) == expected
    assert within == [True] and not torch.backends.cudnn.benchmark


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epochs": 0}, "epochs must be a positive integer, got 0"),
        ({"patterns": 0}, "patterns must be a positive integer, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a positive integer, got 2.5"),
        ({"batch_size": 65}, "no batch of 65 can be taken from a TensorDataset of 64 images"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"weight_decay": -1}, "weight_decay must not be negative, got -1"),
        ({"weight_decay": float("nan")}, "weight_decay must not be negative, got nan"),
        ({"width": 0}, "width must be a positive factor, got 0"),
    ],
)
def test_bad_numbers_are_named(change, says):
    with pytest.raises(ValueError, match=says):
        train(colour_data(), replace(TINY, **change), device="cpu")


def changed(part, images=None, labels=None):
    data = colour_data()
    before = data.train.tensors
    part_set = TensorDataset(
        before[0] if images is None else images, before[1] if labels is None else labels
    )
    return data._replace(**{part: part_set})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: colour_data(side=4), "does not take an image .3, 4, 4. of the training set"),
        (lambda: changed("train", labels=torch.arange(64) % 10 + 1), "run from 1 to 10"),
        (lambda: changed("test", labels=torch.arange(64) % 10 - 1), "labels of the test set run"),
        (lambda: changed("validation", labels=torch.arange(64) % 11), "validation set run from 0"),
        (lambda: changed("train", labels=torch.full((64,), 3)), "all 64 .* have label 3"),
        (lambda: changed("train", labels=torch.eye(10)[torch.arange(64) % 10]), "argmax"),
        (lambda: changed("train", images=torch.zeros(64, 3, 32, 32).byte()), "uint8"),
        (lambda: changed("train", images=torch.full((64, 3, 32, 32), float("nan"))), "image 0"),
        (lambda: changed("train", images=torch.zeros(64, 32, 32)), "does not take an image"),
        (lambda: changed("test", images=torch.zeros(64, 1, 32, 32)), "image .1, 32, 32. of the t"),
        (
            lambda: colour_data()._replace(train=Subset(colour_data().train, range(64))),
            "from a Subset of 64 images: give a TensorDataset",
        ),
    ],
)
def test_data_that_cannot_be_learnt_from_are_refused_before_the_first_step(data, says, groups):
    with pytest.raises(ValueError, match=says):
        train(data(), TINY, device="cpu")
    assert not groups


def test_images_too_small_to_begin_with_are_refused_before_the_first_step(groups):
    with pytest.raises(ValueError, match=r"an image .3, 6, 6. of the first third"):
        train(colour_data(side=12), replace(TINY, grow=True), device="cpu")
    assert not groups


def test_loss_that_is_not_finite_stops_the_run():
    with pytest.raises(TrainingError, match="in epoch 1: try a tenth of the learning rate 1e"):
        train(colour_data(), replace(TINY, learning_rate=1e30), device="cpu")


# The command

COMMAND = ["--width", "0.03", "--batch-size", "16", "--epochs", "2", "--device", "cpu"]


@pytest.fixture
def cifar10(monkeypatch):
    monkeypatch.setattr(fast_cifar10, "load_cifar10", lambda root: colour_data())


def test_command_prints_the_end_of_every_seed_and_the_mean_over_them(cifar10, capsys):
    assert main([*COMMAND, "--seeds", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" train_loss")[0] for line in lines[:3]] == [
        f"seed {seed} epoch 2" for seed in (1, 2, 3)
    ]
    errors = [float(line.split("test_error ")[1]) for line in lines[:3]]
    mean = sum(errors) / 3
    deviation = (sum((error - mean) ** 2 for error in errors) / 2) ** 0.5
    assert lines[3].startswith("test_error: ")
    found = [float(word) for word in lines[3].removeprefix("test_error: ").split(" ± ")]
    assert found == pytest.approx([mean, deviation], abs=0.02)  # lines are rounded to 4 digits
    assert lines[4].startswith("seconds: ")


def test_command_hands_its_options_to_the_run(cifar10, monkeypatch):
    found = []
    real = train

    def spy(data, recipe, **options):
        found.append((len(data.train), recipe, options["seed"], options["device"]))
        return real(data, replace(recipe, compile=False), **options)

    monkeypatch.setattr(fast_cifar10, "train", spy)
    words = ["--seeds", "1", "--train-size", "40", "--learning-rate", "0.1", "--compile"]
    assert main([*COMMAND, *words, "--without", "flip", "nesterov"]) == 0
    recipe = Recipe(
        epochs=2,
        batch_size=16,
        learning_rate=0.1,
        width=0.03,
        compile=True,
        flip=False,
        nesterov=False,
    )
    assert found == [(40, recipe, 1, "cpu")]


def test_command_begins_from_the_numbers_for_two_cores(cifar10, monkeypatch):
    found = []
    monkeypatch.setattr(
        fast_cifar10,
        "train",
        lambda data, recipe, **options: (
            found.append(recipe) or Run(nn.Sequential(), [{"test_error": 9.0, "seconds": 1.0}], 1.0)
        ),
    )
    main(["--two-cores", "--seeds", "1", "--without", "flip", "--epochs", "3"])
    assert found == [replace(TWO_CORES, flip=False, epochs=3)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seeds", "0"], "error: seeds must be a positive integer, got 0"),
        (["--train-size", "-1"], "error: train_size must be a positive integer, got -1"),
        (["--batch-size", "65"], "error: no batch of 65 can be taken"),
        (["--epochs", "0"], "error: epochs must be a positive integer, got 0"),
    ],
)
def test_command_says_what_is_wrong(cifar10, words, says, capsys):
    assert main([*COMMAND, *words]) == 1
    assert says in capsys.readouterr().err


def test_command_knows_its_tricks(capsys):
    with pytest.raises(SystemExit):
        main(["--without", "flipping"])
    assert "invalid choice: 'flipping'" in capsys.readouterr().err
