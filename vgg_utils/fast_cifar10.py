"""Train on CIFAR-10 fast, on one GPU: a short loop in which every trick has a switch.

    python -m vgg_utils.fast_cifar10                            five seeds, every trick on
    python -m vgg_utils.fast_cifar10 --without flip whitening   the same without these two
    python -m vgg_utils.fast_cifar10 --help                     the tricks, and more options

The network is a chain of 3x3 convolutions and 2x2 max-pools, as VGG is, with batch normalisation.
The loop is written to be read: `train` is all of it, and each trick stands at a line that bears its
name in `Recipe`. Its aim is an error of 6% or less within seconds; whether a GPU reaches that has
not been measured yet. On a processor alone the whole run takes hours; `--width` and `--train-size`
make it small.

Who found what: Page, "How to train your ResNet" (myrtle.ai, 2018 to 2019), for images kept on the
GPU, the schedule, smoothing, whitening and small logits; Wind, "94% on CIFAR-10 in 94 lines and 94
seconds" (2022), for the order of the layers, and that no residual connections are needed;
tysam-code, hlb-CIFAR10 (GitHub, 2023), for fast biases; Jordan, "94% on CIFAR-10 in 3.29 seconds on
a single GPU" (arXiv:2404.00498, 2024), for filters of both signs and alternating flips.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from vgg_utils.configs import LayerSpec, check_image_size, get_layers, positive
from vgg_utils.data import ImageData, load_cifar10
from vgg_utils.download import DownloadError
from vgg_utils.evaluation import predict, top_k_error
from vgg_utils.model import make_layer
from vgg_utils.training import Row, TrainingError, autocast_type

#: What follows the first convolution, in the form of `layer_configs`.
LAYERS: tuple[LayerSpec, ...] = (
    (3, 128),
    "M",
    (3, 128),
    (3, 128),
    (3, 256),
    "M",
    (3, 512),
    "M",
    (3, 512),
    (3, 512),
)


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run, and its tricks, each of which False turns off.

    Numbers:
        epochs: passes over the training set.
        batch_size: images per step. What does not fill a batch is left out of the epoch.
        learning_rate: at its highest, for 512 images; it is scaled with the batch.
        weight_decay: as in `vgg_utils.training.fit`, 5e-4.
        width: factor on the channels of all convolutions but the first.

    Tricks for speed:
        on_device: all images lie on the GPU and are augmented there. Off: the processor augments,
            and sends batch after batch.
        half: products in bfloat16, or in float16 on GPUs made before 2020. Without a GPU: none.
        channels_last: a pixel's channels lie side by side, as the GPU's kernels want them.
        compile: torch.compile joins operations. Off by default: compiling takes a while, probably
            longer than it saves in one run.

    Tricks to learn in fewer epochs:
        one_cycle: the rate rises over the first fifth of the run, then falls to zero. Off: it
            stays at half of its highest value, about the cycle's mean.
        nesterov: look ahead along the momentum before taking the gradient.
        whitening: the first convolution is computed from the images and stays as it is. Off: it is
            learnt, and batch normalisation follows it as it follows the others.
        small_logits: the output is divided by 8, so that the first steps do not saturate the loss.
        fast_biases: the biases of batch normalisation learn 64 times as fast.

    Tricks to err less on new images:
        label_smoothing: a fifth of the target is spread evenly over the classes.
        flip: each image is mirrored in every other epoch, half of them in the first. Off: never.
        shift: each image moves by up to 4 pixels each way; the edge is filled by reflection.
        free_biases: weight decay spares biases and the scales of batch normalisation.
    """

    epochs: int = 24
    batch_size: int = 512
    learning_rate: float = 0.6
    weight_decay: float = 5e-4
    width: float = 1.0
    on_device: bool = True
    half: bool = True
    channels_last: bool = True
    compile: bool = False
    one_cycle: bool = True
    nesterov: bool = True
    whitening: bool = True
    small_logits: bool = True
    fast_biases: bool = True
    label_smoothing: bool = True
    flip: bool = True
    shift: bool = True
    free_biases: bool = True


#: The tricks that are on by default, by name.
TRICKS = tuple(field.name for field in fields(Recipe) if field.default is True)


class Run(NamedTuple):
    """A finished run: the network, a row per epoch, and the seconds that training took."""

    model: nn.Module
    history: list[Row]
    seconds: float


class Head(nn.Module):
    """Each channel's highest value, then one fully connected layer, then a factor."""

    def __init__(self, channels: int, classes: int, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes, bias=False)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map maps (N, channels, H, W) to logits (N, classes)."""
        return self.scale * self.linear(x.amax((2, 3)))


def network(
    in_channels: int, classes: int, recipe: Recipe, layers: str | Sequence[LayerSpec] = LAYERS
) -> nn.Sequential:
    """Build the network: a first convolution of 18 filters a colour, then `layers`, then the head.

    Without whitening the first convolution is one like the others. Raises ValueError as
    `make_layer` does.
    """
    rest = get_layers(layers, recipe.width)
    filters = 2 * 9 * in_channels  # of 3x3 pixels, each with both signs
    net = nn.Sequential(
        *make_layer(in_channels, [(3, filters)], batch_norm=not recipe.whitening),
        *make_layer(filters, rest, batch_norm=True),
        Head(
            [entry[1] for entry in rest if not isinstance(entry, str)][-1],
            classes,
            scale=1 / 8 if recipe.small_logits else 1.0,  # trick: small_logits
        ),
    )
    for module in net:
        if isinstance(module, nn.Conv2d):
            module.bias = None  # batch normalisation would subtract it again
    if recipe.whitening:
        net[0].requires_grad_(False)  # `whiten` sets it, and nothing else
    return net


@torch.no_grad()
def whiten(convolution: nn.Conv2d, images: torch.Tensor) -> None:
    """Set a 3x3 convolution so that its outputs on these images are uncorrelated.

    Half of the filters are the principal components of all 3x3 patches, each divided by its
    standard deviation; the others are their negatives, so that a ReLU loses nothing. Components
    of little variance, which are mostly noise, are held back by 0.01 added to every variance.
    """
    patches = F.unfold(images.float(), 3)  # (N, 9 channels, places)
    variances, directions = torch.linalg.eigh(torch.cov(patches.transpose(0, 1).flatten(1)))
    filters = (directions / (variances + 0.01).sqrt()).T.reshape(-1, images.shape[1], 3, 3)
    convolution.weight.copy_(torch.cat([filters, -filters]))


def one_cycle(step: int, steps: int) -> float:
    """Return the share of the highest rate at a step from 0: 0.2 at first, 1 at a fifth, 0 last."""
    return float(np.interp(step, [0, 0.2 * steps - 1, steps - 1], [0.2, 1, 0]))


def shift(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Move each image by its own random offset of at most `pixels` each way, on its device.

    Places beyond an edge show what lies as far before it, as a mirror on the edge pixel would.
    """

    def places(length: int) -> torch.Tensor:  # where each pixel comes from, (N, length)
        offsets = torch.randint(-pixels, pixels + 1, (len(images), 1), device=images.device)
        place = (torch.arange(length, device=images.device) + offsets).abs()  # the first edge
        return (length - 1) - (length - 1 - place).abs()  # the last edge

    rows, columns = places(images.shape[2])[:, :, None], places(images.shape[3])[:, None, :]
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return images[image, :, rows, columns].permute(0, 3, 1, 2)  # indexing puts channels last


def parameter_groups(net: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Return what SGD takes: weights; scales of batch normalisation; its biases.

    `share` is the group's part of the learning rate.
    """
    named = [(name, value) for name, value in net.named_parameters() if value.requires_grad]
    biases = [value for name, value in named if name.endswith("bias")]
    scales = [value for name, value in named if name.endswith("weight") and value.dim() == 1]
    weights = [value for _, value in named if value.dim() > 1]
    spared = 0.0 if recipe.free_biases else recipe.weight_decay  # trick: free_biases
    fast = 64.0 if recipe.fast_biases else 1.0  # trick: fast_biases
    return [
        {"params": weights, "weight_decay": recipe.weight_decay, "share": 1.0},
        {"params": scales, "weight_decay": spared, "share": 1.0},
        # A step takes off rate x decay: at a higher rate the same is taken off by less decay.
        {"params": biases, "weight_decay": spared / fast, "share": fast},
    ]


@contextlib.contextmanager
def _fastest_algorithms() -> Iterator[None]:
    """Let cuDNN try all its algorithms for each shape and keep the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@_fastest_algorithms()
def train(
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    layers: str | Sequence[LayerSpec] = LAYERS,
    test_each_epoch: bool = True,
    report: Callable[[Row], object] = lambda row: None,
) -> Run:
    """Train a network on images in memory, and test it on whole images, each seen once.

    Arguments:
        data: such as `load_cifar10` gives.
        recipe: the numbers and tricks; by default all of `Recipe`.
        seed: fixes weights, order and augmentation. On a CPU the result is the same to the bit.
        device: by default the GPU, where there is one.
        layers: what follows the first convolution, a name of Table 1 or a list.
        test_each_epoch: or only after the last, which saves time on a CPU.
        report: is given each epoch's row: `epoch` (from 1), `train_loss` (of augmented images, with
            smoothed labels), `seconds` of training so far, and, where it was tested, `test_error`
            (top-1, percent).

    `seconds` counts all that happens from the first look at the images on the device to the last
    step: whitening, augmentation, steps. Not counted: loading, copying all images to the device, a
    few steps at rate zero in which the GPU's libraries choose their algorithms, and testing.

    Raises ValueError for numbers out of range, images too small for the pools, or fewer images than
    a batch; TrainingError when the loss is not finite.
    """
    recipe = recipe or Recipe()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    _check(recipe, data, layers)
    torch.manual_seed(seed)

    half = autocast_type("auto", device) if recipe.half else None  # trick: half
    scaler = torch.amp.GradScaler(device.type) if half is torch.float16 else None
    home = device if recipe.on_device else torch.device("cpu")  # trick: on_device
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format  # trick

    images, labels = data.train.tensors
    deviation = images.std((0, 2, 3), keepdim=True)
    images, labels = (images / deviation).to(home, half or torch.float32), labels.to(home)
    tests, truth = (data.test.tensors[0] / deviation).to(device), data.test.tensors[1]

    net = network(images.shape[1], len(data.classes), recipe, layers).to(device)
    net = net.to(memory_format=layout)
    model = torch.compile(net) if recipe.compile else net  # trick: compile
    cast = torch.autocast(device.type, half) if half else contextlib.nullcontext()
    smoothing = 0.2 if recipe.label_smoothing else 0.0  # trick: label_smoothing

    def optimizer() -> torch.optim.Optimizer:
        groups = parameter_groups(net, recipe)
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=recipe.nesterov)  # trick

    def step(batch: torch.Tensor, answers: torch.Tensor, rate: float) -> torch.Tensor:
        batch = batch.to(device).contiguous(memory_format=layout)
        for group in sgd.param_groups:
            group["lr"] = rate * group["share"]
        sgd.zero_grad(set_to_none=True)
        with cast:
            loss = F.cross_entropy(model(batch), answers.to(device), label_smoothing=smoothing)
        if scaler:
            scaler.scale(loss).backward()
            scaler.step(sgd)
            scaler.update()
        else:
            loss.backward()
            sgd.step()
        return loss.detach()

    batches = len(images) // recipe.batch_size  # in an epoch
    steps = recipe.epochs * batches
    peak = recipe.learning_rate * recipe.batch_size / 512

    sgd = optimizer()
    for _ in range(3 if device.type == "cuda" or recipe.compile else 0):
        step(images[: recipe.batch_size], labels[: recipe.batch_size], rate=0.0)
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    sgd, history, seconds = optimizer(), [], 0.0

    begin = _now(device)
    if recipe.whitening:  # trick: whitening
        whiten(net[0], images[:1000].to(device))  # type: ignore[arg-type]
    mirrored = torch.rand(len(images), device=home) < 0.5
    for epoch in range(1, recipe.epochs + 1):
        net.train()
        seen, total = images, torch.zeros((), device=device)
        if recipe.flip:  # trick: flip
            mirrored = ~mirrored
            seen = torch.where(mirrored[:, None, None, None], seen.flip(3), seen)
        if recipe.shift:  # trick: shift
            seen = shift(seen, 4)
        order = torch.randperm(len(images), device=home).split(recipe.batch_size)[:batches]
        for number, index in enumerate(order, start=(epoch - 1) * batches):
            share = one_cycle(number, steps) if recipe.one_cycle else 0.5  # trick: one_cycle
            total += step(seen[index], labels[index], share * peak)
        seconds += _now(device) - begin
        loss = total.item() / batches
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch}: try a tenth of the learning rate "
                f"{recipe.learning_rate:g}, and check that the images are finite"
            )
        row: Row = {"epoch": epoch, "train_loss": loss, "seconds": seconds}
        if test_each_epoch or epoch == recipe.epochs:
            row["test_error"] = top_k_error(predict(net, tests), truth)  # in float32
        history.append(row)
        report(row)
        begin = _now(device)
    return Run(net, history, seconds)


def _now(device: torch.device) -> float:
    """Return the time once the GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _check(recipe: Recipe, data: ImageData, layers: str | Sequence[LayerSpec]) -> None:
    """Raise ValueError for a recipe that cannot be, or does not go with these images."""
    positive("epochs", recipe.epochs)
    positive("batch_size", recipe.batch_size)
    if not recipe.learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {recipe.learning_rate!r}")
    if recipe.weight_decay < 0:
        raise ValueError(f"weight_decay must not be negative, got {recipe.weight_decay!r}")
    images = data.train.tensors[0]
    check_image_size(get_layers(layers), *images.shape[2:])
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"{len(images)} images do not fill a batch of {recipe.batch_size}: "
            "choose a smaller batch_size"
        )


def _parser() -> argparse.ArgumentParser:
    start = Recipe()
    parser = argparse.ArgumentParser(
        prog="python -m vgg_utils.fast_cifar10",
        description="Train on CIFAR-10 fast, on one GPU. Every trick can be turned off.",
    )
    add = parser.add_argument
    add(
        "--without",
        nargs="+",
        default=[],
        metavar="TRICK",
        choices=TRICKS,
        help=f"turn tricks off: {', '.join(TRICKS)}",
    )
    add("--compile", action="store_true", help="use torch.compile; may pay off over many seeds")
    add("--seeds", type=int, default=5, metavar="N", help="train with seeds 1 to N (default: 5)")
    add("--epochs", type=int, default=start.epochs, metavar="N", help="default: %(default)s")
    add(
        "--batch-size", type=int, default=start.batch_size, metavar="N", help="default: %(default)s"
    )
    add(
        "--learning-rate",
        type=float,
        default=start.learning_rate,
        metavar="X",
        help="at its highest, for 512 images (default: %(default)s)",
    )
    add("--width", type=float, default=start.width, metavar="X", help="factor on all channels")
    add("--train-size", type=int, metavar="N", help="train on the first N images only")
    add("--device", help="cpu, cuda (default: cuda where there is one)")
    add("--data-dir", default="data", metavar="DIR", help="for CIFAR-10 (default: data)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says, once for every seed; return the exit status."""
    options = _parser().parse_args(arguments)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        width=options.width,
        learning_rate=options.learning_rate,
        compile=options.compile,
    )
    recipe = replace(recipe, **dict.fromkeys(options.without, False))
    if device == "cpu" and options.width == 1 and options.train_size is None:
        print(
            "without a GPU this takes hours; for a small trial add --width 0.125 "
            "--train-size 5000 --batch-size 50 --epochs 8 --seeds 1",
            file=sys.stderr,
        )
    try:
        seeds = range(1, positive("seeds", options.seeds) + 1)
        data = load_cifar10(options.data_dir)
        if options.train_size is not None:
            size = positive("train_size", options.train_size)
            train_set = TensorDataset(*(tensor[:size] for tensor in data.train.tensors))
            data = data._replace(train=train_set)
        runs = [
            train(data, recipe, seed=seed, device=device, report=_printer(seed)) for seed in seeds
        ]
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except (TrainingError, DownloadError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(_summary("accuracy", [100 - run.history[-1]["test_error"] for run in runs], "%"))
    print(_summary("training", [run.seconds for run in runs], " s"))
    return 0


def _printer(seed: int) -> Callable[[Row], None]:
    """Return what prints a row of the history of this seed."""
    return lambda row: print(
        f"seed {seed}  epoch {row['epoch']:>2}  loss {row['train_loss']:.3f}  "
        f"test error {row['test_error']:5.2f}%  {row['seconds']:.1f} s",
        flush=True,
    )


def _summary(name: str, values: Sequence[float], unit: str) -> str:
    """Return mean and standard deviation over the seeds in words."""
    spread = f", sd {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    seeds = f"{len(values)} seed{'s' * (len(values) > 1)}"
    return f"{name}: {statistics.mean(values):.2f}{unit}{spread} ({seeds}, last epoch)"


if __name__ == "__main__":
    sys.exit(main())
