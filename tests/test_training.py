"""Training by `fit`: on the embedded digits, in seconds."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import TensorDataset

from vgg_utils import checkpoint, training
from vgg_utils.augmentation import random_shift
from vgg_utils.data import load_digits
from vgg_utils.evaluation import predict, top_k_error
from vgg_utils.model import VGGNet
from vgg_utils.training import fit


def small_net(seed=0):
    torch.manual_seed(seed)
    return VGGNet(
        1,
        10,
        [(3, 16), "M", (3, 32), "M"],
        batch_norm=True,
        pool_size=2,
        hidden_features=64,
        dropout=0.2,
    )


@pytest.fixture(scope="module")
def digits():
    return load_digits(16)


def test_one_step_is_the_papers_update():
    """v <- 0.9 v - lr (gradient + 5e-4 w); w <- w + v, from rest, on one batch (Sect. 3.1)."""
    torch.manual_seed(0)
    images, labels = torch.randn(6, 4), torch.randint(0, 3, (6,))
    net = nn.Linear(4, 3)
    weight = net.weight.detach().clone().requires_grad_()
    bias = net.bias.detach().clone().requires_grad_()
    velocities = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for _ in range(2):
        loss = nn.functional.cross_entropy(images @ weight.T + bias, labels)
        gradients = torch.autograd.grad(loss, (weight, bias))
        velocities = [
            0.9 * v - 0.01 * (gradient + 5e-4 * w)
            for v, gradient, w in zip(velocities, gradients, (weight, bias), strict=True)
        ]
        weight, bias = (
            (w + v).detach().requires_grad_()
            for w, v in zip((weight, bias), velocities, strict=True)
        )
    fit(net, (images, labels), epochs=2, progress=False)
    torch.testing.assert_close(net.weight, weight)
    torch.testing.assert_close(net.bias, bias)


def test_learning_rate_drops_after_the_named_epochs(digits):
    history = fit(
        small_net(), digits.train, epochs=4, batch_size=256, milestones=[1, 3], progress=False
    )
    rates = [row["learning_rate"] for row in history]
    assert rates == pytest.approx([0.01, 0.001, 0.001, 0.0001])
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]


def test_one_cycle_takes_the_steps_that_torchs_schedule_takes(digits):
    """At each step the rate is OneCycleLR's, and the weights are those of the loop by hand."""
    images, labels = (tensor[:50] for tensor in digits.train.tensors)
    net, twin = small_net(), small_net()
    rates = []
    hook = register_optimizer_step_pre_hook(lambda own, *_: rates.append(own.param_groups[0]["lr"]))
    options = {"epochs": 2, "batch_size": 10, "learning_rate": 0.05, "progress": False}
    history = fit(net, (images, labels), one_cycle=True, **options)
    hook.remove()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    cycle = {"pct_start": 0.2, "div_factor": 5, "final_div_factor": 1e12}
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.05, total_steps=10, anneal_strategy="linear", cycle_momentum=False, **cycle
    )
    expected = []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < 10:
            schedule.step()
    assert rates == pytest.approx(expected, abs=1e-9)
    assert [row["learning_rate"] for row in history] == pytest.approx([rates[4], rates[9]])


def test_fit_learns_the_digits_and_shuffled_labels_teach_nothing(digits):
    history = fit(small_net(), digits.train, test=digits.test, epochs=6, progress=False)
    assert history[-1]["test_error"] < 8
    assert history[-1]["train_loss"] < history[0]["train_loss"]

    images, labels = digits.train.tensors
    torch.manual_seed(0)
    nonsense = images, labels[torch.randperm(len(labels))]
    history = fit(small_net(), nonsense, test=digits.test, epochs=3, progress=False)
    assert history[-1]["test_error"] > 60


def test_fit_repeats_exactly_from_a_seed(digits):
    shift = lambda batch: random_shift(batch, 1)  # noqa: E731
    runs = [
        fit(small_net(), digits.train, epochs=2, seed=seed, augment=shift, progress=False)
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_history_holds_the_last_models_errors_and_the_test_set_is_looked_at_once(digits):
    net = small_net()
    few = TensorDataset(*(tensor[:100] for tensor in digits.test.tensors))
    history = fit(net, digits.train, few, test=digits.test, epochs=2, progress=False)
    for name, part in {"validation_error": few, "test_error": digits.test}.items():
        images, labels = part.tensors
        assert history[-1][name] == top_k_error(predict(net, images), labels)
    assert ["test_error" in row for row in history] == [False, True]


def test_schedule_by_patience_never_sees_the_test_set(digits):
    """With other test labels every row but the last one's test error is the same."""
    images, labels = digits.test.tensors
    histories = [
        fit(small_net(), digits.train, test=test, epochs=3, patience=1, progress=False)
        for test in (digits.test, (images, labels.roll(1)))
    ]
    errors = [
        (history[-1].pop("test_loss"), history[-1].pop("test_error")) for history in histories
    ]
    assert errors[0] != errors[1]
    assert histories[0] == histories[1]


def test_a_tenth_of_each_class_is_held_out_for_patience_and_not_trained_on(digits):
    images, labels = digits.train.tensors
    seen = {True: [], False: []}
    net = small_net()
    pixels = images.flatten(1)
    net.register_forward_pre_hook(lambda net, x: seen[net.training].append(x[0].flatten(1)))
    fit(net, digits.train, epochs=1, patience=1, progress=False)
    trained, watched = torch.cat(seen[True]), torch.cat(seen[False])[1:]  # one was for the check
    watched = watched[-130:]

    def index(images):
        return (images[:, None] == pixels).all(2).int().argmax(1)

    kept, held_out = index(trained), index(watched)
    assert len(kept) == len(set(kept.tolist())) == 1297 - 130
    assert not set(kept.tolist()) & set(held_out.tolist())
    counts = torch.bincount(labels[held_out], minlength=10)
    expected = torch.bincount(labels) / 10
    assert (counts - expected).abs().max() < 1


def test_fit_leaves_the_callers_random_numbers_and_modes_alone(digits):
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    before = states()
    fit(small_net_without_seed(), digits.train, epochs=1, batch_size=400, progress=False)
    assert states() == before


def small_net_without_seed():
    with torch.random.fork_rng():
        return small_net()


@pytest.mark.parametrize("part", ["features", "classifier"])
def test_frozen_means_frozen(digits, part):
    """Weights and running statistics, on images brighter than those the statistics are of."""
    net = small_net()
    brighter = digits.train.tensors[0] + 3, digits.train.tensors[1]
    getattr(net, part).requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fit(net, brighter, epochs=1, batch_size=200, progress=False)
    changed = {
        name.split(".")[0]
        for name, value in net.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"features", "classifier"} - {part}
    other = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(module.training is (part == "classifier") for module in other)


def test_batch_norm_with_a_trainable_scale_alone_still_follows_its_batches(digits):
    net = small_net()
    net.features[1].bias.requires_grad_(False)
    fit(net, digits.train, epochs=1, batch_size=200, progress=False)
    assert net.features[1].num_batches_tracked == 7


def test_wholly_frozen_network_is_refused(digits):
    with pytest.raises(ValueError, match="every parameter of the network is frozen"):
        fit(small_net().requires_grad_(False), digits.train)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_checkpoint_of_a_wrapped_network_loads_into_a_bare_one(digits, tmp_path, wrap):
    net = small_net()
    few = tuple(tensor[:64] for tensor in digits.train.tensors)
    fit(wrap(net), few, epochs=1, batch_size=32, out=tmp_path, progress=False)
    path, _ = checkpoint.load_latest(tmp_path)
    bare = small_net(seed=1)
    bare.load_state_dict(torch.load(path, weights_only=True)["model"])
    torch.testing.assert_close(bare.state_dict(), net.state_dict(), rtol=0, atol=0)


def test_last_batch_of_one_joins_its_neighbour():
    """Batch normalisation on a 1x1 map refuses a single image; 1297 = 81 * 16 + 1."""
    torch.manual_seed(0)
    net = VGGNet(1, 10, [(3, 4), "M"], batch_norm=True, pool_size=1, hidden_features=4)
    images, labels = torch.randn(17, 1, 2, 2), torch.randint(0, 10, (17,))
    history = fit(net, (images, labels), epochs=1, batch_size=16, progress=False)
    assert math.isfinite(history[0]["train_loss"])


def test_infinite_loss_stops_at_once_and_says_where(digits):
    """At the step of the broken image, before its gradient reaches the weights."""
    batches = []

    def break_third(images):
        batches.append(len(images))
        return images * (math.nan if len(batches) == 3 else 1)

    says = "the loss is nan at epoch 1, step 3, with a learning rate of 0.01: try a tenth"
    net = small_net()
    with pytest.raises(training.TrainingError, match=says):
        fit(net, digits.train, augment=break_third, progress=False)
    assert all(value.isfinite().all() for value in net.parameters())


def test_loss_that_the_last_step_of_an_epoch_makes_infinite_stops_too(digits, tmp_path):
    """No later step of the epoch would show it: the validation set does. Nothing of it is saved."""
    says = r"the loss is (nan|inf) after epoch 1, step 1, .* rate of 1e\+20: try a tenth"
    options = {"batch_size": 2000, "learning_rate": 1e20, "progress": False}
    with pytest.raises(training.TrainingError, match=says):
        fit(small_net(), digits.train, 0.1, out=tmp_path, **options)
    path, _ = checkpoint.load_latest(tmp_path)
    assert path.name == "checkpoint-000000000.pt"


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"milestones": [0]},
        {"milestones": [1], "patience": 1},
        {"milestones": [1], "one_cycle": True},
        {"patience": 1, "one_cycle": True},
        {"patience": 0},
        {"save_every": 0},
        {"seed": -1},
        {"precision": "int8"},
        {"resume": True},
    ],
)
def test_fit_refuses_settings_out_of_range(digits, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        fit(small_net(), digits.train, **options)


def test_rate_drops_on_a_plateau_as_pytorchs_schedule_does():
    torch.manual_seed(0)
    for patience in (1, 2, 4):
        weight = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=1.0)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, patience=patience - 1, threshold=0, eps=0
        )
        rate, history = 1.0, []
        for error in torch.randint(0, 40, (60,)).tolist():
            history.append({"learning_rate": rate, "validation_error": float(error)})
            if training._has_stalled(history, patience):
                rate *= 0.1
            schedule.step(error)
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        assert rate < 1e-3


def test_patience_drops_the_rate_in_fit():
    images, labels = torch.zeros(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])  # nothing to learn
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    both = (images, labels), (images, labels)
    history = fit(net, *both, epochs=5, patience=2, progress=False)
    rates = [row["learning_rate"] for row in history]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3, 1e-3])


needs_scaler = pytest.mark.skipif(
    not hasattr(torch.amp, "GradScaler"), reason="float16 is for PyTorch 2.3 on"
)
BFLOAT16 = {"precision": "bfloat16"}
FLOAT16 = {"precision": "float16"}


@pytest.mark.parametrize(
    "option", [BFLOAT16, pytest.param(FLOAT16, marks=needs_scaler), {"channels_last": True}]
)
def test_faster_arithmetic_is_the_same_training_to_rounding(digits, option):
    few = tuple(tensor[:200] for tensor in digits.train.tensors)
    rows = [fit(small_net(), few, epochs=1, progress=False, **o)[0] for o in ({}, option)]
    assert rows[1]["train_loss"] == pytest.approx(rows[0]["train_loss"], rel=0.02)


@pytest.mark.parametrize(
    ("option", "dtype"),
    [
        ({}, torch.float32),
        (BFLOAT16, torch.bfloat16),
        pytest.param(FLOAT16, torch.float16, marks=needs_scaler),
    ],
)
def test_products_have_the_precision_asked_for_and_weights_stay_float32(digits, option, dtype):
    net, seen = small_net(), set()

    def note(net, images, outputs):
        if len(outputs) > 1:  # not the one that is looked at before the first step
            seen.add((net.training, outputs.dtype))

    net.features[0].register_forward_hook(note)
    fit(net, digits.train, digits.test, epochs=1, batch_size=400, progress=False, **option)
    assert seen == {(True, dtype), (False, dtype)}
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}


@needs_scaler
def test_gradients_of_float16_are_scaled_and_the_scale_is_resumed(digits, tmp_path):
    net, largest = small_net(), []
    net.classifier[-1].register_full_backward_hook(
        lambda net, into, out: largest.append(out[0].abs().max().item())
    )
    options = {"batch_size": 400, **FLOAT16, "out": tmp_path, "progress": False}
    fit(net, digits.train, epochs=1, **options)
    assert min(largest) > 1  # of a mean over 400 images, none could be above 1 / 400
    path, state = checkpoint.load_latest(tmp_path)
    state["scaler"]["scale"] = 4.0
    torch.save(state, path)
    fit(net, digits.train, epochs=2, resume=True, **options)
    assert checkpoint.load_latest(tmp_path)[1]["scaler"]["scale"] == 4


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
@pytest.mark.parametrize(("option", "last"), [({}, True), ({"channels_last": False}, False)])
def test_channels_of_a_pixel_lie_side_by_side_unless_not_wanted(digits, option, last):
    net, seen = small_net(), []

    def note(net, x):
        if net.training:
            seen.append(x[0].stride(1) == 1)

    net.features[4].register_forward_pre_hook(note)
    fit(net, digits.train, digits.test, epochs=1, batch_size=400, progress=False, **option)
    assert set(seen) == {last}
    assert net.features[4].weight.is_contiguous(memory_format=torch.channels_last) is last


@pytest.mark.parametrize("option", [{}, {"compile": True}])
def test_steps_go_through_the_compiled_network_where_asked(digits, monkeypatch, option):
    steps = []

    class Compiled(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, images):
            steps.append(len(images))
            return self.net(images)

    monkeypatch.setattr(torch, "compile", Compiled)
    fit(small_net(), digits.train, epochs=1, batch_size=400, progress=False, **option)
    assert steps == ([400, 400, 400, 97] if option else [])


def test_bar_shows_steps_loss_and_error_unless_not_wanted(digits, capfd):
    fit(small_net(), digits.train, epochs=2, batch_size=400, progress=False)
    assert capfd.readouterr().err == ""
    (_, row) = fit(small_net(), digits.train, 0.1, epochs=2, batch_size=400)
    shown = capfd.readouterr().err
    for text in ("6/6", "epoch=2", f"train_loss={row['train_loss']:.3g}", "validation_error="):
        assert text in shown


def test_auto_precision_is_float32_on_the_cpu_and_suits_the_gpu(monkeypatch):
    assert training.autocast_type("auto", torch.device("cpu")) is None
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert training.autocast_type("auto", torch.device("cuda")) is dtype


def test_out_of_memory_says_half_the_batch_and_stops(digits):
    class Large(nn.Linear):
        def forward(self, x):
            if self.training and len(x) > 30:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")
            return super().forward(x.flatten(1))

    net = Large(256, 10)
    before = net.weight.clone()
    says = "out of memory on cpu with batches of 40 images: try batch_size=20"
    with pytest.raises(training.TrainingError, match=says):
        fit(net, digits.train, batch_size=40, progress=False)
    assert torch.equal(net.weight, before)
    fit(net, digits.train, batch_size=20, epochs=1, progress=False)  # what it says is so


def test_one_image_too_large_for_memory_asks_for_a_smaller_network(digits):
    class Large(nn.Linear):
        def forward(self, x):
            if self.training:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")
            return super().forward(x.flatten(1))

    with pytest.raises(training.TrainingError, match="try a smaller network or smaller images"):
        fit(Large(256, 10), digits.train, batch_size=1, progress=False)
