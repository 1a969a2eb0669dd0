"""Training with the paper's recipe: SGD with momentum, weight decay, a rate divided by ten.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 3.1.

From the command line:

    python -m vgg_utils.train --out runs/first            train; `--help` lists the options
    python -m vgg_utils.train --out runs/first --resume   go on after an interruption

Several processes, one a GPU (or a CPU), share each batch. On one machine, and on two machines with
four GPUs each (the same line on both, `--node-rank` 0 and 1; `host0` is the first one's name):

    torchrun --nproc-per-node 4 -m vgg_utils.train --out runs/four
    torchrun --nnodes 2 --node-rank 0 --nproc-per-node 4 --master-addr host0 --master-port 29500 \\
        -m vgg_utils.train --out runs/eight

Only process 0, on the first machine, writes and reads `--out`. When a process dies, torchrun stops
the others; the same line with `--resume` goes on, with any number of processes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import random
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from vgg_utils import checkpoint
from vgg_utils.augment import random_flip, random_shift
from vgg_utils.configs import layer_configs, positive
from vgg_utils.data import ImageData, load_cifar10, load_digits
from vgg_utils.evaluate import predict, top_k_error
from vgg_utils.model import VGGNet

Augment = Callable[[torch.Tensor], torch.Tensor]
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where it stopped and what to try."""


@dataclass
class _Place:
    """How far a run has come: `step` batches of `epoch`, whose images stand in `order`."""

    epoch: int = 1
    step: int = 0
    order: torch.Tensor | None = None  # (N,), drawn when the epoch begins
    loss_sum: float = 0.0  # over the images of the epoch so far
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    model: nn.Module,
    data: ImageData,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    drop_at: Sequence[int] = (),
    plateau: int | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "float32",
    channels_last: bool | None = None,
    compile: bool = False,
    out: str | Path | None = None,
    resume: bool = False,
    save_every: int | None = None,
    progress: bool = True,
) -> list[dict[str, float]]:
    """Train a classifier in place and return its history, one row per epoch.

    Arguments:
        model: maps images (N, channels, H, W) to logits (N, classes).
        data: the training set, and the test set on which each epoch's error is reported. They are
            kept on the device where they fit into half its free memory.
        batch_size: images per step, over all processes. The paper's is 256, of 1.3 million images.
        learning_rate, momentum, weight_decay: the paper's values by default.
        drop_at: epochs after which the learning rate is divided by ten.
        plateau: divide it by ten when the test error has not fallen for this many epochs, as the
            paper does with its validation error (it gives no number). Not together with drop_at.
        augment: changes a batch of training images, such as a random shift.
        seed: fixes the order of the images, the augmentation and dropout.
        device: where to train; by default where the model is.
        precision: of the products: "float32", "bfloat16", "float16" (gradients scaled against
            underflow; PyTorch 2.3 on), or "auto": bfloat16 on a GPU made for it, float16 on an
            older one, float32 elsewhere. The weights are float32 always.
        channels_last: keep the channels of a pixel side by side, which is faster; by default on
            NVIDIA GPUs, and on CPUs where PyTorch has oneDNN. Results agree to rounding.
        compile: let torch.compile join operations; pays off in long runs.
        out: folder for checkpoints (after each epoch; the last two are kept) and history.json.
        resume: go on from the newest good checkpoint in `out`, or begin where there is none. On
            the CPU the result is that of a run never interrupted, to the bit.
        save_every: a checkpoint after so many steps too, for long epochs.
        progress: show a bar.

    Each row has `epoch` (from 1), `learning_rate`, `train_loss` (mean cross-entropy over the epoch,
    with dropout and augmentation on), `test_loss` and `test_error` (top-1, percent).

    Where torch.distributed is initialised, all processes call this alike and each takes its share
    of every batch. That is the training of one process, to rounding, but for two things: dropout
    draws other masks, and batch normalisation takes the statistics of each process's share alone
    and keeps the running ones of process 0. Each process augments the whole batch, so that all draw
    the same random numbers.

    Raises ValueError for a setting out of range; TrainingError as soon as the loss is not finite,
    or when memory runs out; FileExistsError when `out` holds another run's checkpoints and `resume`
    is off; CheckpointError when they cannot be used; OSError when `out` cannot be written to at the
    start. Later on that is a warning: training goes on, and what was saved stays.
    """
    epochs, batch_size = positive("epochs", epochs), positive("batch_size", batch_size)
    drop_at = [positive("each epoch in drop_at", epoch) for epoch in drop_at]
    plateau = positive("plateau", plateau) if plateau is not None else None
    save_every = positive("save_every", save_every) if save_every is not None else None
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate!r}")
    if plateau and drop_at:
        raise ValueError("drop_at and plateau are two schedules: give one of them")
    if resume and out is None:
        raise ValueError("resume needs `out`, the folder with the checkpoints")

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    rank, processes = _rank_and_processes()
    device = torch.device(device) if device else next(model.parameters()).device
    half = _precision(precision, device)
    if channels_last is None:
        onednn = device.type == "cpu" and torch.backends.mkldnn.is_available()
        channels_last = device.type == "cuda" or onednn
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    images, labels, test_images, test_labels = _on_device(data, device)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    scaler = torch.amp.GradScaler(device.type) if half is torch.float16 else None
    cast = contextlib.nullcontext if half is None else functools.partial(
        torch.autocast, device.type, dtype=half
    )  # fmt: skip

    settings = {
        "model": str(model),
        "data": f"{tuple(images.shape)}, labels {zlib.crc32(labels.cpu().numpy().tobytes()):08x}",
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "drop_at": drop_at,
        "plateau": plateau,
        "augment": augment is not None,
        "seed": seed,
        "precision": precision,
    }
    place = _Place()
    steps = len(_batches(torch.arange(len(labels)), batch_size))

    def save() -> None:
        if out is None or rank > 0:
            return
        state = {
            "settings": settings,
            "place": asdict(place),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
            "random": checkpoint.random_state(device),
        }
        done = (place.epoch - 1) * steps + place.step
        try:
            checkpoint.save(Path(out), done, state)
            rows = json.dumps(place.history, indent=1) + "\n"
            checkpoint.write_atomically(Path(out) / "history.json", rows.encode())
        except OSError as error:
            if done == 0:
                raise
            warnings.warn(f"{error}; training goes on", stacklevel=3)

    if out is not None:
        state = _open_run(Path(out), resume, settings)
        if state is None:
            save()
        else:
            place = _Place(**state["place"])
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            if scaler and state["scaler"]:
                scaler.load_state_dict(state["scaler"])
            checkpoint.set_random_state(state["random"], device)

    net: nn.Module = model
    if processes > 1:
        net = nn.parallel.DistributedDataParallel(
            model, device_ids=[device] if device.type == "cuda" else None
        )
    if compile:
        net = torch.compile(net)  # type: ignore[assignment]

    bar = tqdm(
        total=epochs * steps, initial=min(place.epoch - 1, epochs) * steps + place.step,
        unit="step", disable=not progress or rank > 0, leave=False,
    )  # fmt: skip
    with bar:
        while place.epoch <= epochs:
            rate = optimizer.param_groups[0]["lr"]
            net.train()
            if place.order is None:
                place.order = torch.randperm(len(labels))
            for index in _batches(place.order, batch_size)[place.step :]:
                # Every process draws the same numbers up to here, then takes its share.
                mine = index[rank::processes]
                weight = processes * len(mine) / len(index)  # 1 where all shares are equal
                with _memory_explained(batch_size, device):
                    batch = images[index.to(images.device)].to(device)
                    batch = augment(batch) if augment else batch
                    if len(mine) < len(index):
                        batch = batch[rank::processes] if len(mine) else batch[:1]
                        mine = mine if len(mine) else index[:1]  # of weight 0, to keep in step
                    if channels_last and batch.dim() == 4:
                        batch = batch.contiguous(memory_format=torch.channels_last)
                    target = labels[mine.to(labels.device)].to(device)
                    optimizer.zero_grad(set_to_none=True)
                    with _own_numbers(rank, processes, (seed, place.epoch, place.step), device):
                        with cast():
                            loss = F.cross_entropy(net(batch), target) * weight
                        (scaler.scale(loss) if scaler else loss).backward()
                    value = _average(loss.detach()).item()
                    if not math.isfinite(value):
                        raise TrainingError(
                            f"the loss is {value} at epoch {place.epoch}, step {place.step + 1}, "
                            f"with a learning rate of {rate:g}: try a tenth of that rate, and "
                            f"check that the images are finite"
                        )
                    if scaler:
                        scaler.step(optimizer)
                        scaler.update()
                    else:
                        optimizer.step()
                place.step += 1
                place.loss_sum += value * len(index)
                bar.update()
                done = (place.epoch - 1) * steps + place.step
                if save_every and done % save_every == 0 and place.step < steps:
                    save()

            with cast():
                test_loss, test_error = _evaluate(model, test_images, test_labels)
            row = {
                "epoch": place.epoch,
                "learning_rate": rate,
                "train_loss": place.loss_sum / len(labels),
                "test_loss": test_loss,
                "test_error": test_error,
            }
            drops = drop_at.count(place.epoch)
            place = _Place(epoch=place.epoch + 1, history=[*place.history, row])
            if plateau and _has_stalled(place.history, plateau):
                drops = 1
            for group in optimizer.param_groups:
                group["lr"] *= 0.1**drops
            save()
            bar.set_postfix(epoch=row["epoch"], loss=f"{row['train_loss']:.3f}",
                            error=f"{test_error:.1f}%")  # fmt: skip
    return place.history


def _batches(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Split the order of the images; a last batch of one joins its neighbour.

    On a 1x1 map one image leaves batch normalisation nothing to take a variance of.
    """
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _has_stalled(history: list[dict[str, float]], patience: int) -> bool:
    """Say whether both the lowest error and the last change of rate lie `patience` epochs back."""
    errors = [row["test_error"] for row in history]
    at_this_rate = [row["learning_rate"] for row in history].count(history[-1]["learning_rate"])
    since_best = len(errors) - 1 - errors.index(min(errors))
    return min(since_best, at_this_rate) >= patience


def _precision(name: str, device: torch.device) -> torch.dtype | None:
    """Return the type for autocast, or None for plain float32."""
    if name == "auto":
        if device.type != "cuda":
            return None  # a processor without bfloat16 arithmetic takes many times longer with it
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)  # the T4 is (7, 5)
        return torch.bfloat16 if ampere else torch.float16
    if name not in PRECISIONS:
        known = ", ".join(repr(known) for known in ("auto", *PRECISIONS))
        raise ValueError(f"unknown precision {name!r}: choose one of {known}")
    return None if name == "float32" else PRECISIONS[name]


def _on_device(data: ImageData, device: torch.device) -> list[torch.Tensor]:
    """Return training images, labels, test images, labels; on the device where they fit."""
    tensors = [*data.train.tensors, *data.test.tensors]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)  # bytes
    if device.type == "cuda" and size > torch.cuda.mem_get_info(device)[0] // 2:
        return tensors
    return [*(tensor.to(device) for tensor in tensors[:3]), tensors[3]]


def _evaluate(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return loss and top-1 error (percent) on the test set, shared among the processes."""
    rank, processes = _rank_and_processes()
    mine = labels[rank::processes]
    logits = predict(model, images[rank::processes])
    found = torch.tensor(
        [F.cross_entropy(logits, mine).item(), top_k_error(logits, mine)], dtype=torch.float64
    )
    weighted = found * (processes * len(mine) / len(labels))
    loss, error = _average(weighted.to(next(model.parameters()).device)).tolist()
    return loss, error


@contextlib.contextmanager
def _memory_explained(batch_size: int, device: torch.device) -> Iterator[None]:
    """Turn the GPU's "out of memory" into the batch size to try."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        advice = "a smaller network or smaller images"
        if batch_size > 1:
            advice = f"batch_size={batch_size // 2}"
        raise TrainingError(
            f"out of memory on {device} with batches of {batch_size} images: try {advice}; "
            f"precision='auto' needs less too"
        ) from error


def _rank_and_processes() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _average(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over the processes, the same on all of them."""
    processes = _rank_and_processes()[1]
    if processes == 1:
        return value
    dist.all_reduce(value)
    return value / processes


@contextlib.contextmanager
def _own_numbers(
    rank: int, processes: int, place: tuple[int, ...], device: torch.device
) -> Iterator[None]:
    """Give each of several processes its own dropout masks, then put the common state back."""
    if processes == 1:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(hash((*place, rank)) % 2**63)
        yield


def _open_run(out: Path, resume: bool, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the state to go on from, read by process 0 for all, or None for a new run."""
    rank, processes = _rank_and_processes()
    found: list[Any] = [None]
    if rank == 0:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot make the folder {out} ({error.strerror})"
            ) from error
        latest = checkpoint.load_latest(out)
        if latest and not resume:
            raise FileExistsError(
                f"{out} holds checkpoints already: resume from them, or name another folder"
            )
        if latest:
            _refuse_difference(latest[0], latest[1]["settings"], settings)
            found = [latest[1]]
    if processes > 1:
        dist.broadcast_object_list(found)
    return found[0]


def _refuse_difference(path: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise CheckpointError if a checkpoint belongs to a run with other settings."""
    for name in now:
        before, after = saved.get(name), now[name]
        if name == "model" and before != after:  # the first line in which they differ
            pairs = zip(str(before).split("\n"), str(after).split("\n"), strict=False)
            before, after = next((pair for pair in pairs if pair[0] != pair[1]), (before, after))
        if before != after:
            raise checkpoint.CheckpointError(
                f"{path} is of another run: {name} is {before} there and {after} here"
            )


# The command line

# What a data set is trained with unless the options say otherwise (chapter 5).
SMALL = {
    "digits": {"width": 0.125, "epochs": 10, "batch_size": 32, "shift": 2},
    "cifar10": {"width": 1.0, "epochs": 20, "batch_size": 128, "shift": 4},
}


def _load(name: str, folder: str) -> tuple[ImageData, Augment]:
    """Return a data set by name and the augmentation that goes with it."""
    data = load_digits() if name == "digits" else load_cifar10(folder)
    shift = int(SMALL[name]["shift"])
    if name == "digits":
        return data, functools.partial(random_shift, pixels=shift, fill=-data.mean.item())
    return data, lambda images: random_flip(random_shift(images, shift))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vgg_utils.train",
        description="Train a configuration of Table 1 with the paper's recipe (Sect. 3.1). "
        "Without options: A, an eighth as wide, on the embedded digits, in seconds.",
        epilog="Several processes: torchrun --nproc-per-node 2 -m vgg_utils.train ...",
    )
    add = parser.add_argument
    add("--config", choices=list(layer_configs), default="A", help="Table 1 (default: A)")
    add(
        "--dataset", choices=list(SMALL), default="digits", help="default: digits, needs no network"
    )
    add("--data-dir", default="data", metavar="DIR", help="for what is downloaded (default: data)")
    add("--epochs", type=int, metavar="N", help="default: digits 10, cifar10 20; paper: 74")
    add("--batch-size", type=int, metavar="N", help="default: digits 32, cifar10 128; paper: 256")
    add("--learning-rate", type=float, default=0.01, metavar="X", help="default: 0.01, the paper's")
    add("--momentum", type=float, default=0.9, metavar="X", help="default: 0.9, the paper's")
    add("--weight-decay", type=float, default=5e-4, metavar="X", help="default: 5e-4, the paper's")
    add("--plateau", type=int, metavar="N",
        help="divide the rate by ten after N epochs without a lower error, as the paper does "
        "(default: 5; the paper gives no number)")  # fmt: skip
    add("--drop-at", type=int, nargs="+", default=[], metavar="EPOCH",
        help="divide the rate by ten after these epochs instead")  # fmt: skip
    add("--width", type=float, metavar="X",
        help="factor on all channels (default: digits 0.125, cifar10 1; paper: 1)")  # fmt: skip
    add("--hidden", type=int, default=512, metavar="N",
        help="length of fc6 and fc7 (default: 512; paper: 4096)")  # fmt: skip
    add("--dropout", type=float, default=0.5, metavar="P", help="default: 0.5, the paper's")
    add("--batch-norm", action="store_true", help="normalise after each convolution; paper: none")
    add("--init", choices=["he", "xavier", "pytorch"], default="he", help="default: he")
    add("--no-augment", action="store_true", help="leave out random shifts and flips")
    add("--seed", type=int, default=0, metavar="N", help="default: 0")
    add("--device", help="cpu, cuda, mps (default: cuda where there is one)")
    add("--precision", choices=["auto", *PRECISIONS], default="auto",
        help="default: auto, which is half precision on GPUs")  # fmt: skip
    add("--compile", action="store_true", help="use torch.compile")
    add("--out", metavar="DIR", help="write history.json and the last two checkpoints here")
    add("--resume", action="store_true", help="go on from the last checkpoint in --out, if any")
    add("--save-every", type=int, metavar="N", help="a checkpoint every N steps, besides epochs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.resume and not options.out:
        parser.error("--resume needs --out, the folder with the checkpoints")
    small = SMALL[options.dataset]
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    together = "LOCAL_RANK" in os.environ  # set by torchrun
    if together:
        if device == "cuda":
            device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    first = _rank_and_processes()[0] == 0
    try:
        data, augment = _load(options.dataset, options.data_dir)
        torch.manual_seed(options.seed)
        model = VGGNet(
            data.train.tensors[0].shape[1], len(data.classes), options.config,
            batch_norm=options.batch_norm, width=options.width or small["width"], pool_size=1,
            hidden_features=options.hidden, dropout=options.dropout, init=options.init,
        )  # fmt: skip
        history = fit(
            model, data, epochs=options.epochs or int(small["epochs"]),
            batch_size=options.batch_size or int(small["batch_size"]),
            learning_rate=options.learning_rate, momentum=options.momentum,
            weight_decay=options.weight_decay, drop_at=options.drop_at,
            plateau=options.plateau or (None if options.drop_at else 5),
            augment=None if options.no_augment else augment, seed=options.seed, device=device,
            precision=options.precision, compile=options.compile, out=options.out,
            resume=options.resume, save_every=options.save_every, progress=sys.stderr.isatty(),
        )  # fmt: skip
    except KeyboardInterrupt:
        if first and options.out:
            given = [word for word in arguments or sys.argv[1:] if word != "--resume"]
            print(f"\nstopped; go on with:\n{parser.prog} {' '.join(given)} --resume")
        elif first:
            print("\nstopped; with --out it could go on later")
        return 130
    except (TrainingError, checkpoint.CheckpointError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if together:
            dist.destroy_process_group()
    if first:
        print(f"epoch {history[-1]['epoch']}: test error {history[-1]['test_error']:.1f}%")
    return 0


if __name__ == "__main__":
    sys.exit(main())
