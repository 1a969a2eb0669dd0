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

import contextlib
import json
import math
import random
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from vgg_utils import checkpoint
from vgg_utils.batches import Augment, Batches, FromFiles, split, training_and_test
from vgg_utils.configs import positive
from vgg_utils.data import ImageData, ImageFiles
from vgg_utils.distributed import (
    average,
    from_first,
    own_numbers,
    rank_and_processes,
    take_buffers_of_first,
    weight,
)
from vgg_utils.evaluation import predict, top_k_error

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Row = dict[str, float]


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where it stopped and what to try."""


def fit(
    model: nn.Module,
    data: ImageData | ImageFiles,
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
    workers: int | None = None,
    progress: bool = True,
) -> list[dict[str, float]]:
    """Train a classifier in place and return its history, one row per epoch.

    Arguments:
        model: maps images (N, channels, H, W) to logits (N, classes).
        data: the training set, and the test set on which each epoch's error is reported. Sets in
            memory (TensorDataset) are kept on the device where they fit into half its free memory.
            Of others, pairs (image, label) are read when their batch comes, in training and in
            testing; an image's random augmentation follows from seed, epoch and index alone.
        batch_size: images per step, over all processes. The paper's is 256, of 1.3 million images.
        learning_rate, momentum, weight_decay: the paper's values by default.
        drop_at: epochs after which the learning rate is divided by ten.
        plateau: divide it by ten when the test error has not fallen for this many epochs (the
            paper gives no number). Not together with drop_at. This looks at the test set, so the
            error reported on it comes out somewhat too low. The paper decides by a validation set:
            if you have one, give it as `data.test`, and test once at the end.
        augment: changes a batch of training images in memory, such as a random shift. Images read
            from files come augmented from their data set.
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
        workers: processes that read images from files ahead of time; 0 reads in this one. By
            default, with a GPU, as many as there are cores for it, at most 8; without one, 0. The
            result does not depend on it.
        progress: show a bar.

    Each row has `epoch` (from 1), `learning_rate`, `train_loss` (mean cross-entropy over the epoch,
    with dropout and augmentation on), `test_loss` and `test_error` (top-1, percent).

    Where torch.distributed is initialised, all processes call this alike and each takes its share
    of every batch. That is the training of one process, to rounding, but for two things: dropout
    draws other masks, and batch normalisation takes the statistics of each process's share alone
    and keeps the running ones of process 0. Each process reads its share of the files alone, and
    augments the whole batch of a set in memory, so that all draw the same random numbers.

    Raises ValueError for a setting out of range, or for `augment` with images from files;
    TrainingError as soon as the loss is not finite, or when memory runs out, with a batch size that
    fits; FileExistsError when `out` holds another run's checkpoints and `resume` is off;
    CheckpointError when they cannot be used; OSError for an image that cannot be read, or when
    `out` cannot be written to at the start. Later on that is a warning: training goes on, and what
    was saved stays.
    """
    epochs, batch_size = positive("epochs", epochs), positive("batch_size", batch_size)
    drop_at = [positive("each epoch in drop_at", epoch) for epoch in drop_at]
    plateau = positive("plateau", plateau) if plateau is not None else None
    save_every = positive("save_every", save_every) if save_every is not None else None
    if workers is not None and workers != 0:
        workers = positive("workers", workers)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate!r}")
    if plateau and drop_at:
        raise ValueError("drop_at and plateau are two schedules: give one of them")
    if resume and out is None:
        raise ValueError("resume needs `out`, the folder with the checkpoints")

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    device = torch.device(device) if device else next(model.parameters()).device
    half = autocast_type(precision, device)
    if channels_last is None:
        onednn = device.type == "cpu" and torch.backends.mkldnn.is_available()
        channels_last = device.type == "cuda" or onednn
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    train, test = training_and_test(
        data, device, augment=augment, batch_size=batch_size, workers=workers, seed=seed
    )
    settings = {
        "model": str(model),
        "data": train.describe(),
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
    run = _Run(
        model,
        train,
        test,
        settings,
        device=device,
        half=half,
        channels_last=channels_last,
        out=Path(out) if out is not None else None,
        save_every=save_every,
    )
    with contextlib.closing(run):
        if run.out is not None:
            run.open(run.out, resume)
        run.net = _joined(model, device, compile)
        total = epochs * run.steps
        with tqdm(
            total=total,
            initial=min(run.steps_done, total),
            unit="step",
            disable=not progress or rank_and_processes()[0] > 0,
            leave=False,
        ) as bar:
            while run.place.epoch <= epochs:
                run.train_epoch(bar)
                row = run.end_epoch()
                bar.set_postfix(
                    epoch=row["epoch"],
                    loss=f"{row['train_loss']:.3f}",
                    error=f"{row['test_error']:.1f}%",
                )
    return run.place.history


@dataclass
class _Place:
    """How far a run has come: `step` batches of `epoch`, whose images stand in `order`."""

    epoch: int = 1
    step: int = 0
    order: torch.Tensor | None = None  # (N,), drawn when the epoch begins
    loss_sum: float = 0.0  # over the images of the epoch so far
    history: list[Row] = field(default_factory=list)


class _Run:
    """A run on its way: network, optimiser and `place` change, all else is fixed.

    `settings` are what a checkpoint must share to be taken up.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Batches,
        test: Batches,
        settings: dict[str, Any],
        *,
        device: torch.device,
        half: torch.dtype | None,
        channels_last: bool,
        out: Path | None,
        save_every: int | None,
    ) -> None:
        self.model, self.train, self.test, self.settings = model, train, test, settings
        self.device, self.half, self.channels_last = device, half, channels_last
        self.out, self.save_every = out, save_every
        self.net = model  # that one or, around it, what joins processes or operations
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=settings["learning_rate"],
            momentum=settings["momentum"],
            weight_decay=settings["weight_decay"],
        )
        self.scaler = torch.amp.GradScaler(device.type) if half is torch.float16 else None
        self.place = _Place()
        self.writer = ThreadPoolExecutor(max_workers=1)  # the disk does not hold up the training
        self.writing: Future[None] | None = None
        self.steps = len(split(torch.arange(len(train)), settings["batch_size"]))  # an epoch

    @property
    def steps_done(self) -> int:
        return (self.place.epoch - 1) * self.steps + self.place.step

    def open(self, out: Path, resume: bool) -> None:
        """Go on from the newest checkpoint in `out`, or save the start of a new run there."""
        state = from_first(lambda: _state_to_resume(out, resume, self.settings))
        if state is None:
            from_first(self.save)  # if it cannot be written, no process begins
            return
        self.place = _Place(**state["place"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        checkpoint.set_random_state(state["random"], self.device)
        # What a power failure took of it is there again.
        from_first(lambda: _write_history(out, self.place.history))

    def save(self) -> None:
        """Take a checkpoint and the history as they are now, in process 0, and begin to write them.

        A failure is a warning when the next one is due or the run ends; at the start it is raised.
        """
        if self.out is None or rank_and_processes()[0] > 0:
            return
        state = {
            "settings": self.settings,
            "place": vars(self.place),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else {},
            "random": checkpoint.random_state(self.device),
        }
        content = checkpoint.pack(state)
        self._await_writing()
        writing = self.writer.submit(_write, self.out, self.steps_done, content, self.place.history)
        if self.steps_done == 0:
            writing.result()
        else:
            self.writing = writing

    def _await_writing(self) -> None:
        """Wait until the checkpoint before is on the disk, or warn that it is not."""
        writing, self.writing = self.writing, None
        try:
            if writing is not None:
                writing.result()
        except OSError as error:
            warnings.warn(f"{error}; training goes on", stacklevel=5)  # where fit was called

    def close(self) -> None:
        """See the last checkpoint written, however the run ended."""
        self._await_writing()
        self.writer.shutdown()

    def train_epoch(self, bar: tqdm) -> None:
        """Take the steps of the epoch, or what is left of them after resuming."""
        place, batch_size = self.place, self.settings["batch_size"]
        self.net.train()
        if place.order is None:
            place.order = torch.randperm(len(self.train))
        order = split(place.order, batch_size)[place.step :]
        images = labels = None
        where = f"with batches of {batch_size} images"
        explained = _memory_explained(
            where, self.device, lambda: self._smaller_batch(images, labels)
        )
        # However the epoch ends, processes that read files end with it.
        with explained, contextlib.closing(self.train.training(order, place.epoch)) as shares:
            for index, (images, labels) in zip(order, shares, strict=True):
                loss = self._step(images, labels, len(index))
                place.step += 1
                place.loss_sum += loss * len(index)
                bar.update()
                due = self.save_every and self.steps_done % self.save_every == 0
                if due and place.step < self.steps:  # the epoch's end has one of its own
                    self.save()

    def _step(self, images: torch.Tensor, labels: torch.Tensor, count: int) -> float:
        """Take one step with this process's share of `count` images; return the loss of all."""
        place = self.place
        if self.channels_last and images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        with own_numbers((self.settings["seed"], place.epoch, place.step), self.device):
            with self._cast():
                loss = F.cross_entropy(self.net(images), labels) * weight(count)
            (self.scaler.scale(loss) if self.scaler else loss).backward()
        value = average(loss.detach()).item()
        self._stop_unless_finite(value, f"at epoch {place.epoch}, step {place.step + 1}")
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        return value

    def _stop_unless_finite(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} {where}, with a learning rate of "
                f"{self.optimizer.param_groups[0]['lr']:g}: try a tenth of that rate, and check "
                f"that the images are finite"
            )

    def _smaller_batch(self, images: torch.Tensor | None, labels: torch.Tensor | None) -> str:
        """Name the first half, quarter, ... of the batch for which a step finds memory."""
        if images is None or labels is None:  # not even the first batch could be fetched
            return _advice(self.settings["batch_size"] // 2)
        count = len(images) // 2
        while count:
            try:
                # One more, for a last image without a batch joins the one before it.
                self._use_memory(images[: count + 1], labels[: count + 1])
                return f"{_advice(count * rank_and_processes()[1])}, which fits"
            except torch.cuda.OutOfMemoryError as error:
                traceback.clear_frames(error.__traceback__)
                count //= 2
        return _advice(0)

    def _use_memory(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Use as much memory as a step with these images does, and change no weight."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model.eval()  # batch normalisation refuses to train on a single image
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        # The first step makes room for the momentum too.
        _momentum = [] if self.optimizer.state else [torch.empty_like(w) for w in weights]
        with self._cast():
            loss = F.cross_entropy(self.model(images), labels)
        torch.autograd.grad(loss, weights)  # unlike backward(), it waits for no other process

    def end_epoch(self) -> Row:
        """Return the epoch's row of the history; set the next epoch's rate; save."""
        place, drop_at, plateau = self.place, self.settings["drop_at"], self.settings["plateau"]
        test_loss, test_error = self._evaluate()
        row = {
            "epoch": place.epoch,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": place.loss_sum / len(self.train),
            "test_loss": test_loss,
            "test_error": test_error,
        }
        drops = drop_at.count(place.epoch)
        self.place = _Place(epoch=place.epoch + 1, history=[*place.history, row])
        if plateau and _has_stalled(self.place.history, plateau):
            drops = 1
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.1**drops
        self.save()
        return row

    def _evaluate(self) -> tuple[float, float]:
        """Return loss and top-1 error (percent) on the test set, shared among the processes.

        Images that are read from files pass by batch after batch; only the logits are kept.
        """
        take_buffers_of_first(self.model)  # the last step left each process with its own
        logits, labels = [], []
        where = f"in testing, with batches of {self.test.evaluation_batch} images"
        from_files = isinstance(self.test, FromFiles)
        # In memory, testing takes batches of its own; of files, those of training.
        half = self.settings["batch_size"] // 2 if from_files else 0
        with self._cast(), _memory_explained(where, self.device, lambda: _advice(half)):
            for images, targets in self.test.evaluation():
                logits.append(predict(self.model, images))
                labels.append(targets)
            scores, right = torch.cat(logits), torch.cat(labels)
            own_loss = F.cross_entropy(scores, right).item()
            own_error = top_k_error(scores, right) if math.isfinite(own_loss) else math.nan
        device = self.device if rank_and_processes()[1] > 1 else "cpu"
        mean = torch.tensor([own_loss, own_error], dtype=torch.float64, device=device)
        loss, error = average(mean * weight(len(self.test))).tolist()
        # The epoch's last step may have been one too large: no later one would notice.
        place = self.place
        self._stop_unless_finite(loss, f"in testing after epoch {place.epoch}, step {place.step}")
        return loss, error

    def _cast(self) -> contextlib.AbstractContextManager[Any]:
        if self.half is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.half)


def _write(out: Path, number: int, content: memoryview, history: list[Row]) -> None:
    checkpoint.save(out, number, content)
    _write_history(out, history)


def _write_history(out: Path, history: list[Row]) -> None:
    """Write what a checkpoint holds too, for others to read."""
    rows = json.dumps(history, indent=1) + "\n"
    checkpoint.write_atomically(out / "history.json", rows.encode(), forced=False)


def _joined(model: nn.Module, device: torch.device, compile: bool) -> nn.Module:
    """Return the network that steps go through: of all processes, and compiled, where asked."""
    net = model
    if rank_and_processes()[1] > 1:
        net = nn.parallel.DistributedDataParallel(
            model, device_ids=[device] if device.type == "cuda" else None
        )
    return torch.compile(net) if compile else net  # type: ignore[return-value]


def _has_stalled(history: list[dict[str, float]], patience: int) -> bool:
    """Say whether both the lowest error and the last change of rate lie `patience` epochs back."""
    errors = [row["test_error"] for row in history]
    at_this_rate = [row["learning_rate"] for row in history].count(history[-1]["learning_rate"])
    since_best = len(errors) - 1 - errors.index(min(errors))
    return min(since_best, at_this_rate) >= patience


def autocast_type(name: str, device: torch.device) -> torch.dtype | None:
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


@contextlib.contextmanager
def _memory_explained(
    where: str, device: torch.device, advice: Callable[[], str]
) -> Iterator[None]:
    """Turn the GPU's "out of memory" into what to try."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)  # they hold what the failed pass had made
        raise TrainingError(
            f"out of memory on {device} {where}: try {advice()}; precision='auto' needs less too"
        ) from error


def _advice(batch_size: int) -> str:
    return f"batch_size={batch_size}" if batch_size else "a smaller network or smaller images"


def _state_to_resume(out: Path, resume: bool, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the state to go on from, or None for a new run; make the folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot make the folder {out} ({error.strerror})") from error
    latest = checkpoint.load_latest(out)
    if latest is None:
        return None
    path, state = latest
    if not resume:
        raise FileExistsError(
            f"{out} holds checkpoints already: resume from them, or name another folder"
        )
    _refuse_difference(path, state["settings"], settings)
    return state


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
