"""Evaluation and training: on the embedded digits, in seconds."""

import math

import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import nn
from torch.utils.data import Subset, TensorDataset

from vgg_utils import checkpoint, train, training
from vgg_utils.augmentation import random_shift
from vgg_utils.data import ImageData, ImageFiles, load_digits
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


def test_top_k_error_equals_scikit_learns():
    torch.manual_seed(0)
    logits, labels = torch.randn(300, 10), torch.randint(0, 10, (300,))
    for k in (1, 3, 5):
        hits = top_k_accuracy_score(labels, logits, k=k, labels=range(10))
        assert top_k_error(logits, labels, k) == pytest.approx(100 * (1 - hits))
    assert top_k_error(logits, labels, 10) == 0


@pytest.mark.parametrize(
    ("logits", "labels", "k"),
    [
        (torch.zeros(3, 2), torch.zeros(2).long(), 1),
        (torch.zeros(0, 2), torch.zeros(0).long(), 1),
        (torch.zeros(3), torch.zeros(3).long(), 1),
        (torch.zeros(3, 4), torch.zeros(3).long(), 5),
        (torch.zeros(3, 4), torch.zeros(3).long(), 0),
        (torch.zeros(3, 4), torch.tensor([0, 1, 4]), 1),
        (torch.zeros(3, 4), torch.tensor([0, 1, -1]), 1),
        (torch.full((3, 4), float("nan")), torch.zeros(3).long(), 1),
    ],
)
def test_top_k_error_refuses_what_does_not_fit(logits, labels, k):
    with pytest.raises(ValueError):
        top_k_error(logits, labels, k)


def test_predict_does_not_depend_on_the_batch_size_and_keeps_the_mode(digits):
    net = small_net()
    images = digits.test.tensors[0][:50]
    net.train()
    one = predict(net, images, batch_size=7)
    assert net.training
    torch.testing.assert_close(one, predict(net.eval(), images, batch_size=50))
    assert not net.training


def test_predict_leaves_a_frozen_part_frozen_even_when_it_fails(digits):
    net = small_net().train()
    net.features.eval()
    modes = [module.training for module in net.modules()]
    predict(net, digits.test.tensors[0][:4])
    assert [module.training for module in net.modules()] == modes
    with pytest.raises(ValueError, match="expected images"):
        predict(net, torch.zeros(2, 3, 16, 16))
    assert [module.training for module in net.modules()] == modes


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
    half = TensorDataset(images, labels)
    fit(net, ImageData(half, half, list("abc"), torch.zeros(1)), epochs=2, progress=False)
    torch.testing.assert_close(net.weight, weight)
    torch.testing.assert_close(net.bias, bias)


def test_learning_rate_drops_after_the_named_epochs(digits):
    history = fit(small_net(), digits, epochs=4, batch_size=256, drop_at=[1, 3], progress=False)
    rates = [row["learning_rate"] for row in history]
    assert rates == pytest.approx([0.01, 0.001, 0.001, 0.0001])
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]


def test_fit_learns_the_digits_and_shuffled_labels_teach_nothing(digits):
    history = fit(small_net(), digits, epochs=6, progress=False)
    assert history[-1]["test_error"] < 8
    assert history[-1]["train_loss"] < history[0]["train_loss"]

    images, labels = digits.train.tensors
    torch.manual_seed(0)
    nonsense = digits._replace(train=TensorDataset(images, labels[torch.randperm(len(labels))]))
    history = fit(small_net(), nonsense, epochs=3, progress=False)
    assert history[-1]["test_error"] > 60


def test_fit_repeats_exactly_from_a_seed(digits):
    shift = lambda batch: random_shift(batch, 1)  # noqa: E731
    runs = [
        fit(small_net(), digits, epochs=2, seed=seed, augment=shift, progress=False)
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_history_holds_the_last_models_error(digits):
    net = small_net()
    history = fit(net, digits, epochs=2, progress=False)
    images, labels = digits.test.tensors
    assert history[-1]["test_error"] == top_k_error(predict(net, images), labels)


def test_last_batch_of_one_joins_its_neighbour():
    """Batch normalisation on a 1x1 map refuses a single image; 1297 = 81 * 16 + 1."""
    torch.manual_seed(0)
    net = VGGNet(1, 10, [(3, 4), "M"], batch_norm=True, pool_size=1, hidden_features=4)
    images, labels = torch.randn(17, 1, 2, 2), torch.randint(0, 10, (17,))
    half = TensorDataset(images, labels)
    history = fit(
        net, ImageData(half, half, [], torch.zeros(1)), epochs=1, batch_size=16, progress=False
    )
    assert math.isfinite(history[0]["train_loss"])


def test_infinite_loss_stops_at_once_and_says_where(digits):
    """At the step of the broken image, before its gradient reaches the weights."""
    images, labels = digits.train.tensors
    broken = images.clone()
    broken[5] = float("nan")
    data = digits._replace(train=TensorDataset(broken, labels))
    torch.manual_seed(0)  # as fit does
    step = torch.randperm(len(images)).tolist().index(5) // 32 + 1
    assert step > 1
    says = f"the loss is nan at epoch 1, step {step}, with a learning rate of 0.01: try a tenth"
    net = small_net()
    with pytest.raises(train.TrainingError, match=says):
        fit(net, data, progress=False)
    assert all(value.isfinite().all() for value in net.parameters())


def test_loss_that_the_last_step_of_an_epoch_makes_infinite_stops_too(digits, tmp_path):
    """No later step of the epoch would show it: the test set does. Nothing of it is saved."""
    says = r"the loss is (nan|inf) in testing after epoch 1, step 1, .* rate of 1e\+20: try a tenth"
    with pytest.raises(train.TrainingError, match=says):
        fit(small_net(), digits, batch_size=2000, learning_rate=1e20, out=tmp_path, progress=False)
    path, _ = checkpoint.load_latest(tmp_path)
    assert path.name == "checkpoint-000000000.pt"


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"drop_at": [0]},
        {"plateau": 0},
        {"save_every": 0},
        {"workers": -1},
        {"precision": "int8"},
        {"resume": True},
    ],
)
def test_fit_refuses_settings_out_of_range(digits, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        fit(small_net(), digits, **options)


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
            history.append({"learning_rate": rate, "test_error": float(error)})
            if training._has_stalled(history, patience):
                rate *= 0.1
            schedule.step(error)
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        assert rate < 1e-3


def test_plateau_drops_the_rate_in_fit():
    images, labels = torch.randn(6, 4), torch.randint(0, 3, (6,))
    half = TensorDataset(torch.zeros_like(images), labels)  # nothing to learn: the error stays
    data = ImageData(half, half, list("abc"), torch.zeros(1))
    net = nn.Linear(4, 3, bias=False)
    history = fit(net, data, epochs=5, plateau=2, progress=False)
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
    few = digits._replace(train=TensorDataset(*(t[:200] for t in digits.train.tensors)))
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
    net.features[0].register_forward_hook(lambda net, x, y: seen.add((net.training, y.dtype)))
    fit(net, digits, epochs=1, batch_size=400, progress=False, **option)
    assert seen == {(True, dtype), (False, dtype)}
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}


@needs_scaler
def test_gradients_of_float16_are_scaled_and_the_scale_is_resumed(digits, tmp_path):
    net, largest = small_net(), []
    net.classifier[-1].register_full_backward_hook(
        lambda net, into, out: largest.append(out[0].abs().max().item())
    )
    options = {"batch_size": 400, **FLOAT16, "out": tmp_path, "progress": False}
    fit(net, digits, epochs=1, **options)
    assert min(largest) > 1  # of a mean over 400 images, none could be above 1 / 400
    path, state = checkpoint.load_latest(tmp_path)
    state["scaler"]["scale"] = 4.0
    path.write_bytes(checkpoint.pack(state))
    fit(net, digits, epochs=2, resume=True, **options)
    assert checkpoint.load_latest(tmp_path)[1]["scaler"]["scale"] == 4


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
@pytest.mark.parametrize(("option", "last"), [({}, True), ({"channels_last": False}, False)])
def test_channels_of_a_pixel_lie_side_by_side_unless_not_wanted(digits, option, last):
    net, seen = small_net(), []
    net.features[4].register_forward_pre_hook(lambda net, x: seen.append(x[0].stride(1) == 1))
    fit(net, digits, epochs=1, batch_size=400, progress=False, **option)
    assert set(seen[:3]) == {last}
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
    fit(small_net(), digits, epochs=1, batch_size=400, progress=False, **option)
    assert steps == ([400, 400, 400, 97] if option else [])


def test_bar_shows_steps_loss_and_error_unless_not_wanted(digits, capfd):
    fit(small_net(), digits, epochs=2, batch_size=400, progress=False)
    assert capfd.readouterr().err == ""
    (_, row) = fit(small_net(), digits, epochs=2, batch_size=400)
    shown = capfd.readouterr().err
    for text in ("8/8", "epoch=2", f"loss={row['train_loss']:.3f}", "error="):
        assert text in shown


def test_auto_precision_is_float32_on_the_cpu_and_suits_the_gpu(monkeypatch):
    assert train.autocast_type("auto", torch.device("cpu")) is None
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert train.autocast_type("auto", torch.device("cuda")) is dtype


class Block:
    """A piece of a pretended memory; it is free again when nothing refers to it."""

    room, used = 60, 0

    def __init__(self, size):
        self.size = 0
        if Block.used + size > Block.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.size = size
        Block.used += size

    def __del__(self):
        Block.used -= self.size


class Keep(torch.autograd.Function):
    """Keep a block until the backward pass, as a layer keeps its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.block = Block(len(x))
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@pytest.mark.parametrize(("room", "fits"), [(60, 20), (12, 5), (4, 1), (2, None)])
def test_out_of_memory_names_the_batch_that_fits(digits, monkeypatch, room, fits):
    """Two layers keep their input: with batches of 40 in 60 units, the second finds no room."""

    class Large(nn.Linear):
        def forward(self, x):
            x = Keep.apply(super().forward(x.flatten(1)))
            return Keep.apply(x)

    monkeypatch.setattr(Block, "room", room)
    few = digits._replace(train=TensorDataset(*(half[:81] for half in digits.train.tensors)))
    few = few._replace(test=TensorDataset(*(half[:1] for half in digits.test.tensors)))
    net = Large(256, 10)
    before = net.weight.clone()
    advice = f"try batch_size={fits}, which fits" if fits else "try a smaller network"
    with pytest.raises(train.TrainingError, match=f"batches of 40 images: {advice}"):
        fit(net, few, batch_size=40, progress=False)
    assert torch.equal(net.weight, before)
    assert Block.used == 0
    if fits:  # also at the end of the epoch, where the 81st image joins the last batch
        fit(net, few, batch_size=fits, epochs=1, progress=False)


def test_out_of_memory_in_testing_says_what_to_try(digits):
    class Large(nn.Linear):
        def forward(self, x):
            if not self.training:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")
            return super().forward(x.flatten(1))

    says = "in testing, with batches of 256 images: try a smaller network or smaller images"
    with pytest.raises(train.TrainingError, match=says):
        fit(Large(256, 10), digits, epochs=1, progress=False)
    # Images from files are tested in batches of the training's size: halving it helps.
    files = ImageFiles(*(Subset(half, range(40)) for half in digits[:2]), *digits[2:])
    with pytest.raises(train.TrainingError, match="batches of 40 images: try batch_size=20"):
        fit(Large(256, 10), files, epochs=1, batch_size=40, progress=False)
