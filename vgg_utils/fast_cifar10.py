"""Train on CIFAR-10 fast: a short loop in which every trick has a switch.

    python -m vgg_utils.fast_cifar10                            on a GPU: five seeds, every trick on
    python -m vgg_utils.fast_cifar10 --without flip whitening   the same without these two
    python -m vgg_utils.fast_cifar10 --two-cores --seeds 1      on two cores of a CPU

The network is a chain of 3x3 convolutions and 2x2 max-pools, as VGG is, with batch normalisation.
The aim, 6% error or less within seconds, waits for a GPU; TWO_CORES is for minutes on a CPU.

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
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from tqdm import trange

from vgg_utils.augmentation import random_shift
from vgg_utils.configs import LayerSpec, get_layers, positive
from vgg_utils.data import ImageData, load_cifar10
from vgg_utils.download import DownloadError
from vgg_utils.evaluation import predict, top_k_error
from vgg_utils.model import make_layer
from vgg_utils.seeds import preserve_random_state
from vgg_utils.training import Row, TrainingError, autocast_type, cycle_share
from vgg_utils.user_data import as_datasets, check_dataset

Layers = str | Sequence[LayerSpec]
#: What follows the first convolution, in the form of `layer_configs`.
LAYERS: Layers = ((3, 128), "M", *[(3, 128)] * 2, (3, 256), "M", (3, 512), "M", *[(3, 512)] * 2)


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run, and its tricks, each of which False turns off."""

    epochs: int = 24  #: passes over the training set
    batch_size: int = 512  #: images per step; what does not fill a batch is left out of the epoch
    learning_rate: float = 0.6  #: at its highest, for 512 images; it is scaled with the batch
    weight_decay: float = 5e-4  #: the paper's
    width: float = 1.0  #: factor on the channels of all convolutions but the first
    patterns: int = 27  #: kept in the first layer at most, those of most variance; twice as filters
    # Tricks for speed:
    on_device: bool = True  #: all images lie on the GPU and are augmented there, not on the CPU
    half: bool = True  #: products in bfloat16, or float16 on a GPU made before 2020; not on a CPU
    channels_last: bool = True  #: a pixel's channels lie side by side, as the GPU's kernels want
    half_on_cpu: bool = False  #: `half` on a CPU too, if it multiplies in bfloat16
    compile: bool = False  #: torch.compile; takes a while, so it may pay off over many seeds only
    grow: bool = False  #: a third of the epochs at half the image's side, a third at three quarters
    # Tricks to learn in fewer epochs:
    one_cycle: bool = True  #: the rate rises for a fifth of the run, then falls, else it is half
    nesterov: bool = True  #: look ahead along the momentum before taking the gradient
    whitening: bool = True  #: the first layer is computed from the images, or learnt if off
    small_logits: bool = True  #: outputs are divided by 8, so that they do not saturate the loss
    dirac: bool = False  #: convolutions begin by copying what they read, but a whitened first
    fast_biases: bool = True  #: the biases of batch normalisation learn 64 times as fast
    # Tricks to err less on new images:
    label_smoothing: bool = True  #: a fifth of the target is spread evenly over the classes
    flip: bool = True  #: each image is mirrored in every other epoch, half of them in the first
    shift: bool = True  #: each image moves by up to a sixteenth of its side; edges are reflected
    free_biases: bool = True  #: weight decay spares the biases and scales of batch normalisation

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patterns"):
            positive(name, getattr(self, name))
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate!r}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay!r}")


#: For a CPU, with few channels and patterns, images that grow, dirac, and 16 bits if it has them.
TWO_CORES = Recipe(
    epochs=12,
    batch_size=128,
    weight_decay=1e-3,
    width=0.5,
    patterns=12,
    grow=True,
    dirac=True,
    half_on_cpu=True,
)

#: The tricks that are on by default.
TRICKS = tuple(field.name for field in fields(Recipe) if field.default is True)
NUMBERS = {f.name: f.default for f in fields(Recipe) if not isinstance(f.default, bool)}


PART = 5000  #: images augmented at once, as copies of all of them would fill a small memory


class Run(NamedTuple):
    """A finished run: the network, a row per epoch, and the seconds that training took."""

    model: nn.Sequential
    history: list[Row]
    seconds: float


class Head(nn.Linear):
    """Map (N, channels, H, W) to logits (N, classes): maximum, fully connected layer, factor."""

    scale = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * super().forward(x.amax((2, 3)))


def network(channels: int, classes: int, recipe: Recipe, layers: Layers = LAYERS) -> nn.Sequential:
    """Build a first convolution, at most 18 filters a colour, then `layers`, then the head.

    Raises ValueError as `get_layers` does.
    """
    layers = get_layers(layers, recipe.width)
    filters = 2 * min(recipe.patterns, 9 * channels)  # of 3x3 pixels, each with both signs
    net = make_layer(channels, [(3, filters)], batch_norm=not recipe.whitening)
    net[0].requires_grad_(not recipe.whitening)  # `whiten` sets it, and nothing else
    net.extend(make_layer(filters, layers, batch_norm=True))
    convolutions = [module for module in net if isinstance(module, nn.Conv2d)]
    for convolution in convolutions:
        convolution.bias = None  # batch normalisation would subtract it again
        if recipe.dirac:
            nn.init.dirac_(convolution.weight.data[: convolution.in_channels])
    head = Head(convolutions[-1].out_channels, classes, bias=False)
    head.scale = 1 / 8 if recipe.small_logits else 1.0
    return net.append(head)


@torch.no_grad()
def whiten(convolution: nn.Conv2d, images: torch.Tensor) -> None:
    """Set a 3x3 convolution so that its outputs on these images are uncorrelated.

    Half of its filters are the first principal components of all 3x3 patches, each divided by its
    standard deviation (0.01 more variance holds mere noise back); the others are their negatives,
    so that a ReLU loses nothing.
    """
    patches = F.unfold(images.float(), 3)  # (N, 9 channels, places)
    variances, directions = torch.linalg.eigh(torch.cov(patches.transpose(0, 1).flatten(1)))
    filters = (directions / (variances + 0.01).sqrt()).T.reshape(-1, images.shape[1], 3, 3)
    filters = filters[-(convolution.out_channels // 2) :]  # the variances ascend
    convolution.weight.copy_(torch.cat([filters, -filters]))


def multiplies_in_bfloat16() -> bool:
    """Say whether this CPU does, as far as PyTorch knows; one that doesn't takes far longer so."""
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16"))


def shrink(images: torch.Tensor, scale: float) -> torch.Tensor:
    """Resize images (N, C, H, W) by a factor below 1."""
    small = F.interpolate(images.float(), scale_factor=scale, mode="bilinear", antialias=True)
    return small.to(images.dtype)  # on a CPU it is not made for 16 bits


def augment(images: torch.Tensor, flipped: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Mirror images (N, C, H, W) where `flipped` (N,) says so, and move them."""
    if recipe.flip:
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    if recipe.shift:
        most = max(images.shape[3] // 16, 1)
        padded = F.pad(images, (most,) * 4, mode="reflect")
        images = random_shift(padded, most)[:, :, most:-most, most:-most]
    return images


def train(
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    layers: Layers = LAYERS,
) -> Run:
    """Train a network by a recipe, and test it once, after the last epoch.

    `data` is as from `load_cifar10`; `seed` is of weights, order and augmentation (global random
    states are left as found); `device` is by default the GPU, where there is one; `layers`, a name
    of Table 1 or a list, follow the first convolution.

    A row of the history has `epoch` (from 1), `train_loss` (of augmented images, with smoothed
    labels), `validation_error` if there is a validation set, in the last epoch `test_error` (both
    top-1, percent), and `seconds` of training so far, without copying to the device, three passes
    in which the GPU's libraries choose their algorithms, and testing.

    Raises ValueError for data it cannot learn from, TrainingError when the loss is not finite.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with preserve_random_state(), contextlib.ExitStack() as stack:
        torch.manual_seed(seed)
        stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        torch.backends.cudnn.benchmark = True  # try all algorithms, keep the fastest
        return _train(data, recipe or Recipe(), device, layers)


def _train(data: ImageData, recipe: Recipe, device: torch.device, layers: Layers) -> Run:
    """Do what `train` promises: the whole loop. A trick stands where `recipe` is asked for it."""
    if not isinstance(data.train, TensorDataset) or len(data.train) < recipe.batch_size:
        found = f"a {type(data.train).__name__} of {len(data.train)} images"
        cure = "give a TensorDataset, or a smaller batch_size"
        raise ValueError(f"no batch of {recipe.batch_size} can be taken from {found}: {cure}")
    images, labels = data.train.tensors
    net = network(images.shape[1], len(data.classes), recipe, layers)
    for name, part in as_datasets(data.train, data.validation, data.test, seed=0).items():
        check_dataset(part, name, net)
    if recipe.grow:  # as small as they begin
        check_dataset(TensorDataset(images[:1, :, ::2, ::2], labels[:1]), "first third", net)

    native = recipe.half_on_cpu and device.type == "cpu" and multiplies_in_bfloat16()
    precision = "bfloat16" if native else "auto"
    dtype = autocast_type(precision, device) if recipe.half else None
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    storage = device if recipe.on_device else torch.device("cpu")
    std = images.std((0, 2, 3), keepdim=True)
    images, labels = (images / std).to(storage, dtype or torch.float32), labels.to(storage).long()
    net = net.to(device).to(memory_format=layout)
    model = torch.compile(net) if recipe.compile else net
    scaler = torch.amp.GradScaler(device.type) if dtype is torch.float16 else None
    smoothing = 0.2 if recipe.label_smoothing else 0.0

    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        inputs = inputs.to(device).contiguous(memory_format=layout)
        with torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext():
            return F.cross_entropy(model(inputs), targets.to(device), label_smoothing=smoothing)

    def error(part: TensorDataset) -> float:  # of whole images, each seen once, in float32
        return top_k_error(predict(net, part.tensors[0] / std), part.tensors[1])

    norms = [module for module in net if isinstance(module, nn.BatchNorm2d)]
    for _ in range(3 if device.type == "cuda" or recipe.compile else 0):
        loss_of(images[: recipe.batch_size], labels[: recipe.batch_size]).backward()
    for norm in norms:
        norm.reset_running_stats()

    matrices = [value for value in net.parameters() if value.requires_grad and value.dim() > 1]
    decay = 0.0 if recipe.free_biases else recipe.weight_decay
    fast = 64.0 if recipe.fast_biases else 1.0  # and less decay, for a step takes off rate x decay
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay, "lr_scale": 1.0},
        {"params": [norm.weight for norm in norms], "weight_decay": decay, "lr_scale": 1.0},
        {"params": [norm.bias for norm in norms], "weight_decay": decay / fast, "lr_scale": fast},
    ]
    highest = recipe.learning_rate * recipe.batch_size / 512
    optimizer = torch.optim.SGD(groups, lr=highest, momentum=0.9, nesterov=recipe.nesterov)
    steps = len(images) // recipe.batch_size  # in an epoch
    torch.zeros((), device=device).item()  # waits until the GPU has done all that came before
    history, seconds, begin = [], 0.0, time.perf_counter()
    if recipe.whitening:
        whiten(net[0], images[:1000].to(device))  # type: ignore[arg-type]
    flipped, sized = torch.rand(len(images), device=storage) < 0.5, images
    for epoch in trange(1, recipe.epochs + 1, unit="epoch", leave=False, disable=None):
        net.train()
        flipped, total = ~flipped, torch.zeros((), device=device)
        quarters = 2 + 3 * (epoch - 1) // recipe.epochs if recipe.grow else 4
        if sized.shape[3] != images.shape[3] * quarters // 4:
            small = (shrink(part, quarters / 4) for part in images.split(PART))
            sized = torch.cat([*small]) if quarters < 4 else images
        parts = zip(sized.split(PART), flipped.split(PART), strict=True)
        shown = torch.cat([augment(*part, recipe) for part in parts])
        order = torch.randperm(len(images), device=storage).split(recipe.batch_size)[:steps]
        for step, index in enumerate(order, start=(epoch - 1) * steps):
            share = cycle_share(step, recipe.epochs * steps) if recipe.one_cycle else 0.5
            for group in optimizer.param_groups:
                group["lr"] = share * highest * group["lr_scale"]
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(shown[index], labels[index])
            if scaler:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            else:
                loss.backward()
                optimizer.step()
            total += loss.detach()
        mean = total.item() / steps  # waits again
        seconds += time.perf_counter() - begin
        if not math.isfinite(mean):
            lower = f"try a tenth of the learning rate {recipe.learning_rate:g}"
            raise TrainingError(f"the loss is {mean} in epoch {epoch}: {lower}")
        row: Row = {"epoch": epoch, "train_loss": mean, "seconds": seconds}
        if data.validation is not None:
            row["validation_error"] = error(data.validation)
        if epoch == recipe.epochs:
            row["test_error"] = error(data.test)
        history.append(row)
        begin = time.perf_counter()
    return Run(net, history, seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says, once for every seed; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m vgg_utils.fast_cifar10",
        description="Train on CIFAR-10 fast, on one GPU, or with --two-cores without one. A trial: "
        "--width 0.125 --train-size 5000 --batch-size 50 --epochs 8 --seeds 1",
        argument_default=argparse.SUPPRESS,
    )
    add, off = parser.add_argument, f"turn tricks off: {', '.join(TRICKS)}"
    add("--two-cores", action="store_true", help="begin from the numbers for a CPU")
    add("--without", nargs="+", default=[], choices=TRICKS, metavar="TRICK", help=off)
    for name in (field.name for field in fields(Recipe) if field.default is False):
        add(f"--{name.replace('_', '-')}", action="store_true", help=f"turn {name} on")
    add("--seeds", type=int, default=5, metavar="N", help="train with seeds 1 to N (default: 5)")
    for name, number in NUMBERS.items():
        option = "--" + name.replace("_", "-")
        says = f"default: {number}, of two cores {getattr(TWO_CORES, name)}"
        add(option, type=type(number), metavar="X", help=says)
    add("--train-size", type=int, default=50_000, metavar="N", help="take the first N images only")
    add("--device", default=None, help="cpu, cuda (default: cuda where there is one)")
    add("--data-dir", default="data", metavar="DIR", help="for CIFAR-10 (default: data)")
    options = vars(parser.parse_args(arguments))
    changes = {field.name: options[field.name] for field in fields(Recipe) if field.name in options}
    runs = []
    try:
        plan = TWO_CORES if "two_cores" in options else Recipe()
        recipe = replace(plan, **changes, **dict.fromkeys(options["without"], False))
        data = load_cifar10(options["data_dir"])
        first = data.train[: positive("train_size", options["train_size"])]
        data = data._replace(train=TensorDataset(*first))
        for seed in range(1, positive("seeds", options["seeds"]) + 1):
            runs.append(train(data, recipe, seed=seed, device=options["device"]))
            print(f"seed {seed}", *(f"{name} {x:.4g}" for name, x in runs[-1].history[-1].items()))
    except (TrainingError, DownloadError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in ("test_error", "seconds"):
        values = [run.history[-1][name] for run in runs]
        deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        print(f"{name}: {statistics.mean(values):.2f}{deviation}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
