"""What is compared: each case gives two callables, ours and the base, and says what is asked.

To add a case, write a function that takes a `Size` and returns the two, and enter it in `CASES`.
What the two share is made inside that function, before any clock runs.
"""

from __future__ import annotations

import copy
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader, TensorDataset

from vgg_utils import checkpoint
from vgg_utils.augmentation import random_shift
from vgg_utils.configs import summarise, total
from vgg_utils.data import ImageData, load_digits
from vgg_utils.evaluation import evaluate, evaluation_scales, predict, top_k_error
from vgg_utils.model import VGGNet
from vgg_utils.seeds import set_seed
from vgg_utils.train import DEFAULTS
from vgg_utils.training import fit

# Checkpoints are written here and not to the system's own folder, which may lie in memory.
SCRATCH = Path(__file__).resolve().parent.parent / "build"
DIGITS = DEFAULTS["digits"]
RATE = 0.001  # low enough for any number of epochs: a loss that is not finite would stop `fit`

Run = Callable[[], object]
Pair = tuple[Run, Run]  # ours, base


@dataclass(frozen=True)
class Size:
    """How much work a case is, by device."""

    device: str
    # One training step of a network of full width, colour images, 1,000 classes:
    image: int  # pixels
    batch: int
    large_batch: int  # for the fast steps, whose activations take half the memory
    steps: int  # in one measurement
    matmul: int  # side of the square matrix in the product that they are compared with
    # Training of configuration A on the digits, 32x32 pixels:
    width: float
    small_batch: int
    copies: int  # of the 1,297 images
    # Evaluation of configuration D at the paper's own scales:
    test_width: float
    epoch_seconds: float = 10.0  # of the epoch that a checkpoint is compared with, at least


SIZES = {
    "cpu": Size(
        "cpu", 64, 4, 4, 1, 512, DIGITS.width, DIGITS.batch_size, copies=1, test_width=0.25
    ),
    "cuda": Size(
        "cuda", 224, 64, 256, 5, 8192, width=1.0, small_batch=256, copies=16, test_width=1.0
    ),
}


@dataclass(frozen=True)
class Case:
    """A question, its answer's upper bound (None: of interest only), and what to run.

    The measure is the time that a call takes, or, with `returned`, the number that it returns.
    A call that is short, and so noisy, is paired `more` times as often as others.
    With `only_gpu`, a case on a CPU tells nothing, and is run there only when named.
    """

    question: str
    target: float | None
    build: Callable[[Size], Pair]
    returned: bool = False
    only_gpu: bool = False
    more: int = 1


# The networks against torchvision's


def step(size: Size, config: str, peer: str) -> Pair:
    """A training step of ours and of torchvision's: forward, backward, SGD."""
    return stepper(config, size), stepper(peer, size)


def memory(size: Size, config: str, peer: str) -> Pair:
    """The peak memory of that step in bytes, each measured in a process of its own."""
    ours, base = (partial(in_new_process, peak_memory, name, size) for name in (config, peer))
    return ours, base


def stepper(name: str, size: Size, fast: bool = False) -> Run:
    """Return a function that trains configuration A or D, or torchvision's network of that name.

    A call makes the steps of one measurement, all on the same images.
    """
    gpu = size.device == "cuda"
    layout = torch.channels_last if fast else torch.contiguous_format
    model = network(name).to(size.device).to(memory_format=layout)
    optimizer = sgd(model)
    images = torch.randn(size.batch, 3, size.image, size.image).to(size.device)
    images = images.contiguous(memory_format=layout)
    labels = torch.arange(size.batch).to(size.device)
    net = torch.compile(model) if fast and gpu else model

    def train() -> None:
        for _ in range(size.steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(size.device, torch.bfloat16, enabled=fast and gpu):
                loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()

    return train


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name.startswith("vgg"):
        return getattr(torchvision.models, name)(num_classes=1000)
    return VGGNet(3, 1000, name)


# The fast step: bfloat16, channels last, compiled. On a CPU, for tests, in float32, not compiled.


def fast_stepper(name: str, size: Size) -> Run:
    """Return the fast form of `stepper`, with the large batch."""
    return stepper(name, replace(size, batch=size.large_batch), fast=True)


def fast_beside_peer(size: Size) -> Pair:
    return fast_stepper("D", size), fast_stepper("vgg16", size)


def fast_beside_plain(size: Size) -> Pair:
    """The fast step and the plain one, which is in float32 and NCHW, on as many images."""
    return fast_stepper("D", size), stepper("D", replace(size, batch=size.large_batch))


def fast_beside_product(size: Size) -> Pair:
    """The fast step, and a product of large matrices with the same number of operations.

    The inverse of the ratio is the share of the product's speed that the step attains.
    """
    return fast_stepper("D", size), product(training_flops("D", size), size)


def training_flops(config: str, size: Size) -> int:
    """Return the operations of one step with the large batch.

    An image takes three times its forward pass: in the backward pass each layer makes a product for
    its weights and one for its input. A multiply-accumulate is two operations.
    """
    return 3 * 2 * total(summarise(config, size.image)).macs * size.large_batch


def product(flops: int, size: Size) -> Run:
    """Return a function that multiplies two matrices, once for each step of a measurement.

    The second is a square one of side `size.matmul`; the first is so tall that the product takes
    `flops` operations, but for a rounding to whole tiles of the GPU's kernels.
    """
    side = size.matmul
    rows = max(1, round(flops / (2 * side**2) / 256)) * 256
    dtype = torch.bfloat16 if size.device == "cuda" else torch.float32
    first = torch.randn(rows, side, device=size.device, dtype=dtype)
    second = torch.randn(side, side, device=size.device, dtype=dtype)
    out = torch.empty_like(first)

    def multiply() -> None:
        for _ in range(size.steps):
            torch.mm(first, second, out=out)

    return multiply


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)


def in_new_process(function: Callable[..., float], *arguments: object) -> float:
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory(name: str, size: Size) -> float:
    """Bytes that building and training a network takes at its peak, beyond the libraries'."""
    before = peak_resident()
    train = stepper(name, size)
    train()
    train()  # the second step has the momentum beside the gradients from its beginning
    if size.device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return peak_resident() - before


def peak_resident() -> float:
    """Bytes of memory this process has held at most."""
    if sys.platform == "linux":  # getrusage would hand on the peak of the process that started us
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024.0 * int(line.split()[1])
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)


# The loop


def small(size: Size, **options: Any) -> tuple[VGGNet, ImageData]:
    """Configuration A and the digits, as `python -m vgg_utils.train` takes them on a CPU."""
    torch.manual_seed(0)
    options = {"width": size.width, "hidden_features": DIGITS.hidden_features, **options}
    model = VGGNet(1, 10, "A", pool_size=1, **options)
    return model.to(size.device), repeated(load_digits(), size.copies)


def repeated(data: ImageData, copies: int) -> ImageData:
    """The same with every training image `copies` times."""
    train = (torch.cat([tensor] * copies) for tensor in data.train.tensors)
    return data._replace(train=TensorDataset(*train))


def one_epoch(model: VGGNet, data: ImageData, size: Size, **options: Any) -> None:
    options = {"learning_rate": RATE, "precision": "auto", "progress": False, **options}
    fit(model, data.train, test=data.test, epochs=1, batch_size=size.small_batch, **options)


def loop(size: Size) -> Pair:
    """An epoch by `fit`, and by the shortest loop with the same arithmetic.

    Without dropout, whose masks `fit` draws from seeds of its own. Raises RuntimeError if, on a
    CPU, the two do not end with the same weights to the bit.
    """
    (ours, data), (base, _) = small(size, dropout=0.0), small(size, dropout=0.0)
    plain = {"precision": "float32", "channels_last": False}
    pair = (partial(one_epoch, ours, data, size, **plain), partial(bare_epoch, base, data, size))
    for run in pair:
        run()
    same = zip(ours.parameters(), base.parameters(), strict=True)
    if size.device == "cpu" and not all(torch.equal(one, other) for one, other in same):
        raise RuntimeError("the bare loop no longer does the arithmetic of `fit`: mend bare_epoch")
    return pair


def bare_epoch(model: VGGNet, data: ImageData, size: Size) -> None:
    """What `fit` computes in its only epoch, and nothing else."""
    set_seed(0, 1)  # as `fit` seeds the order of epoch 1
    images, labels = (tensor.to(size.device) for tensor in data.train.tensors)
    optimizer = sgd(model)
    model.train()
    total = torch.zeros((), device=size.device)
    for index in torch.randperm(len(labels)).split(size.small_batch):
        index = index.to(size.device)
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(images[index]), labels[index])
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(index)
    total.item()
    test_error(model, data, size)


def tutorial_epoch(model: VGGNet, data: ImageData, size: Size) -> None:
    """The loop of most tutorials: a DataLoader that collates images one by one."""
    optimizer = sgd(model)
    model.train()
    for images, labels in DataLoader(data.train, size.small_batch, shuffle=True):
        images, labels = images.to(size.device), labels.to(size.device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
    test_error(model, data, size)


def test_error(model: VGGNet, data: ImageData, size: Size) -> float:
    """What `fit` asks of the test set at the end: the loss too."""
    images, labels = data.test.tensors
    logits = predict(model, images.to(size.device))
    F.cross_entropy(logits, labels).item()
    return top_k_error(logits, labels)


def default(size: Size) -> Pair:
    """An epoch in the layout and precision that `fit` chooses, and in NCHW and float32."""
    (ours, data), (base, _) = small(size), small(size)
    plain = {"precision": "float32", "channels_last": False}
    return partial(one_epoch, ours, data, size), partial(one_epoch, base, data, size, **plain)


def tutorial(size: Size) -> Pair:
    (ours, data), (base, _) = small(size), small(size)
    return partial(one_epoch, ours, data, size), partial(tutorial_epoch, base, data, size)


def checkpointing(size: Size) -> Pair:
    """A checkpoint as `fit` writes it, and an epoch without any that lasts `epoch_seconds` or more.

    The epoch is that of README's `python -m vgg_utils.train --batch-norm --out runs/first`, which
    shifts its digits, with each digit as many times as it takes to last so long.
    """
    model, data = small(size, batch_norm=True)
    shift = partial(random_shift, pixels=DIGITS.shift, fill=-data.mean.item())
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as out:
        one_epoch(model, data, size, augment=shift, out=out)
        path, history = max(Path(out).glob("*.pt")), (Path(out) / "history.json").read_bytes()
        state = torch.load(path, map_location=size.device, weights_only=True)

    def save() -> None:
        with tempfile.TemporaryDirectory(dir=SCRATCH) as out:
            checkpoint.save(Path(out), 1, state)
            checkpoint.write_atomically(
                Path(out) / "history.json", lambda file: file.write(history)
            )

    while True:
        begin = time.perf_counter()
        one_epoch(model, data, size, augment=shift)
        if time.perf_counter() - begin >= size.epoch_seconds:
            return save, partial(one_epoch, model, data, size, augment=shift)
        data = repeated(data, 2)


# Evaluation


def looks(size: Size) -> Pair:
    """One square photograph seen by D as in Sect. 3.2: whole at three scales, and in 150 crops.

    Scales (256, 384, 512), crops (224) and mirror images are the paper's. On a CPU every layer has
    a quarter of the paper's channels and features, which takes a pair from minutes to seconds; the
    multiply-accumulates of the two sides keep their ratio (7.1, lesson 8) to within a hundredth.
    """
    torch.manual_seed(0)
    hidden = round(4096 * size.test_width)
    model = VGGNet(3, 1000, "D", width=size.test_width, hidden_features=hidden).to(size.device)
    look = partial(
        evaluate,
        model,
        [(torch.randn(3, 512, 512), 0)],
        evaluation_scales((256, 512)),
        progress=False,
    )
    return partial(look, protocol="dense"), partial(look, protocol="crops")


def folding(size: Size, images_at_once: int | None = None) -> Pair:
    """D in use with its batch norm folded into the convolutions (lesson 13), and with it beside.

    The network is the book's own (32 pixels, `test_width`), in the layout that `fit` leaves it in.
    It's given a batch of `small_batch` images, or as many as asked for.
    Raises RuntimeError if the two do not give the same scores.
    """
    torch.manual_seed(0)
    hidden = round(1024 * size.test_width)
    base = VGGNet(
        3, 10, "D", batch_norm=True, width=size.test_width, hidden_features=hidden, pool_size=1
    )
    base.eval().requires_grad_(False)
    for norm in base.modules():  # as if trained
        if isinstance(norm, nn.BatchNorm2d):
            for name, values in norm.state_dict().items():
                if name in ("weight", "running_var"):
                    values.uniform_(0.5, 2)
                elif name in ("bias", "running_mean"):
                    values.normal_()
    ours = without_norms(base)
    for net in (ours, base):
        net.to(size.device).to(memory_format=torch.channels_last)
    images = torch.randn(images_at_once or size.small_batch, 3, 32, 32).to(size.device)
    images = images.contiguous(memory_format=torch.channels_last)
    right, found = base(images), ours(images)
    if not torch.allclose(found, right, atol=1e-3 * float(right.abs().max())):
        raise RuntimeError("the folded network gives other scores: mend without_norms")
    return partial(predict, ours, images), partial(predict, base, images)


def without_norms(net: VGGNet) -> VGGNet:
    """Return a copy in evaluation mode whose batch norms are folded into the convolutions."""
    folded: list[nn.Module] = []
    for layer in net.features:
        if isinstance(layer, nn.BatchNorm2d):
            conv = folded.pop()
            assert isinstance(conv, nn.Conv2d)
            layer = fuse_conv_bn_eval(conv, layer)
        folded.append(layer)
    copied = copy.deepcopy(net)
    copied.features = nn.Sequential(*folded)
    return copied


CASES = {
    "step_vgg11": Case(
        "VGG-11 step / torchvision's", 1.02, partial(step, config="A", peer="vgg11"), more=4
    ),
    "step_vgg16": Case(
        "VGG-16 step / torchvision's", 1.02, partial(step, config="D", peer="vgg16"), more=4
    ),
    "memory_vgg11": Case(
        "VGG-11 peak memory / torchvision's", 1.02, partial(memory, config="A", peer="vgg11"), True
    ),
    "memory_vgg16": Case(
        "VGG-16 peak memory / torchvision's", 1.02, partial(memory, config="D", peer="vgg16"), True
    ),
    "fast_peak": Case(
        "fast VGG-16 / matmul, same FLOPs", 1 / 0.6, fast_beside_product, only_gpu=True
    ),
    "fast_peer": Case(
        "fast VGG-16 / torchvision's, as fast", 1.02, fast_beside_peer, only_gpu=True
    ),
    "fast_plain": Case("fast VGG-16 / NCHW, float32", 1 / 3, fast_beside_plain, only_gpu=True),
    "loop": Case("fit / a bare loop", 1.03, loop, more=4),
    "default": Case("fit's default / NCHW, float32", 0.85, default, more=4),
    "tutorial": Case("fit's default / a DataLoader loop", None, tutorial, more=4),
    "checkpoint": Case("a checkpoint / an epoch of 10 s", 0.02, checkpointing),
    "dense": Case("D dense, three scales / 150 crops", 0.20, looks),
    "folded": Case(
        "batch norm folded / beside, one image", 0.85, partial(folding, images_at_once=1), more=4
    ),
    "folded_batch": Case("batch norm folded / beside, batches", 0.85, folding, more=4),
}
