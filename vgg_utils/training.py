"""Training with the paper's recipe: SGD with momentum, weight decay, a rate divided by ten.

`fit` is all that a caller needs; `_Run` below holds the loop. A batch is drawn in `batches.py`.
`python -m vgg_utils.train` does the same from the command line.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 3.1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from tqdm import tqdm

from vgg_utils import checkpoint
from vgg_utils.augmentation import Preprocess
from vgg_utils.batches import Augment, Batches, draw_from, split_batches
from vgg_utils.configs import positive
from vgg_utils.distributed import (
    all_reduce_mean,
    broadcast_buffers,
    on_rank_zero,
    rank_and_world_size,
    shard_weight,
)
from vgg_utils.evaluation import predict, top_k_error
from vgg_utils.inputs import unwrap
from vgg_utils.seeds import preserve_random_state, set_seed
from vgg_utils.user_data import as_datasets, check_dataset

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
Row = dict[str, float]
Data = Dataset[Any] | tuple[torch.Tensor, torch.Tensor] | Sequence[tuple[torch.Tensor, int]]


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where it stopped and what to try."""


def fit(
    model: nn.Module,
    train: Data,
    validation: Data | float | None = None,
    *,
    test: Data | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    milestones: Sequence[int] = (),
    patience: int | None = None,
    one_cycle: bool = False,
    augment: Augment | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "float32",
    channels_last: bool | None = None,
    compile: bool = False,
    num_workers: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    save_every: int | None = None,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    progress: bool = True,
) -> list[Row]:
    """Train a classifier in place and return its history, one row per epoch.

    Arguments:
        model: maps images (N, channels, H, W) to logits (N, classes). Frozen means frozen: batch
            normalisation whose parameters all ask for no gradient keeps its statistics too.
        train: a data set of pairs (image, label), or the two tensors (images, labels). Sets in
            memory are kept on the device if they fit into half its free memory. Of others, a pair
            is read when its batch comes, with random numbers of seed, epoch and index alone.
        validation: what each epoch's error is measured on: a set like `train`, or the share of
            `train` that is held out for it. None is a tenth if `patience` is given, else nothing.
        test: looked at once, after the last epoch, whose row then has `test_loss`, `test_error`.
        epochs, batch_size: the paper's are 74, and 256 images a step, of 1.3 million.
        learning_rate, momentum, weight_decay: the paper's values by default.
        milestones: epochs after which the learning rate is divided by ten.
        patience: divide it by ten when the validation error has not fallen for this many epochs, as
            the paper does (it gives no number).
        one_cycle: let it rise for a fifth of all steps, then fall to zero, see `cycle_share`.
        augment: changes a batch of training images in memory, such as a random shift. Data sets
            that read their images augment them in their own transform.
        seed: of order, augmentation and dropout. The global generators are left as they were.
        device: where to train; by default where the model is.
        precision: of the products: "float32", "bfloat16", "float16" (gradients scaled against
            underflow; PyTorch 2.3 on), or "auto": bfloat16 on a GPU made for it, float16 on an
            older one, float32 elsewhere. The weights are float32 always.
        channels_last: keep the channels of a pixel side by side, which is faster; by default on
            NVIDIA GPUs, and on CPUs where PyTorch has oneDNN. Results agree to rounding.
        compile: let torch.compile join operations; pays off in long runs.
        num_workers: processes that read images ahead of time, as in DataLoader. By default a GPU
            gets one for each core, at most 8, a CPU none. The result does not depend on it.
        out: folder for history.json and checkpoints, after each epoch; the last two are kept.
        resume: go on from the newest good checkpoint in `out`, or begin if there is none. On the
            CPU the result is that of a run never interrupted, to the bit.
        save_every: a checkpoint after so many steps too, for long epochs.
        classes, preprocess: names of the classes, and what turns an image file into an input; kept
            in the checkpoints for `load_trained`.
        progress: show a bar.

    A row has `epoch` (from 1), `learning_rate` (of its end), `train_loss` (mean cross-entropy, with
    dropout and augmentation), of a validation set `validation_loss`, `validation_error` (top-1, %).

    If torch.distributed is initialised, all processes call this alike and each takes its shard of
    every batch. That is the training of one process, to rounding, but dropout draws other masks,
    and batch normalisation takes each shard's statistics and keeps the running ones of rank 0.

    Raises, before the first step, ValueError for a setting out of range and for data that the model
    cannot learn from; FileExistsError if `out` holds another run's checkpoints and `resume` is off;
    CheckpointError if they cannot be used; OSError if `out` cannot be written to (later on that is
    a warning, and what was saved stays). TrainingError as soon as the loss is not finite, or if
    memory runs out; OSError for an image that cannot be read.
    """
    epochs, batch_size = positive("epochs", epochs), positive("batch_size", batch_size)
    milestones = [positive("each epoch of milestones", epoch) for epoch in milestones]
    patience = None if patience is None else positive("patience", patience)
    save_every = None if save_every is None else positive("save_every", save_every)
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate!r}")
    if bool(milestones) + bool(patience) + one_cycle > 1:
        raise ValueError("milestones, patience and one_cycle are schedules: give one of them")
    if resume and out is None:
        raise ValueError("resume needs `out`, the folder with the checkpoints")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("every parameter of the network is frozen: there is nothing to train")
    device = torch.device(device) if device else next(model.parameters()).device
    amp_dtype = autocast_type(precision, device)
    if channels_last is None:
        onednn = device.type == "cpu" and torch.backends.mkldnn.is_available()
        channels_last = device.type == "cuda" or onednn

    with preserve_random_state(), contextlib.ExitStack() as stack:
        if validation is None and patience:
            validation = 0.1
        sets = as_datasets(train, validation, test, seed)
        looks = {name: check_dataset(data, name, model) for name, data in sets.items()}
        model.to(device)
        if channels_last:
            model.to(memory_format=torch.channels_last)
        batches: dict[str, Batches] = {}
        options: dict[str, Any] = {"batch_size": batch_size, "num_workers": num_workers}
        for name, data in sets.items():
            options |= {"augment": augment if name == "training set" else None}
            options |= {"name": name, "classes": looks[name].classes}
            batches[name] = draw_from(data, device, **options)
        known = {name: each.describe() for name, each in batches.items() if name != "test set"}
        settings: dict[str, Any] = {"model": str(unwrap(model)), **known, "seed": seed}
        settings |= {"augment": augment is not None, "batch_size": batch_size}
        settings |= {"learning_rate": learning_rate, "momentum": momentum, "precision": precision}
        settings |= {"weight_decay": weight_decay, "milestones": milestones, "patience": patience}
        settings |= {"one_cycle": epochs if one_cycle else None}  # its length is part of it
        pixels = looks["training set"].low, looks["training set"].high
        unwrap(model).pixel_range = pixels
        about = {
            "network": getattr(unwrap(model), "arguments", None),
            "classes": None if classes is None else list(classes),
            "preprocess": None if preprocess is None else dataclasses.asdict(preprocess),
            "pixel_range": pixels,
        }
        folder = None if out is None else Path(out)
        run = _Run(
            model, batches, settings, about, device, amp_dtype, channels_last, folder, save_every
        )
        if folder is not None:
            run.open(folder, resume)
        run.net = _wrapped(model, device, compile)
        quiet = not progress or rank_and_world_size()[0] > 0
        bar = tqdm(total=epochs * run.steps, unit="step", disable=quiet, leave=False)
        stack.enter_context(bar).update(run.steps_done)
        while run.progress.epoch <= epochs:
            run.train_epoch(bar)
            row = run.end_epoch(last=run.progress.epoch == epochs)
            shown = {name: f"{row[name]:.3g}" for name in list(row)[2:]}
            bar.set_postfix(epoch=row["epoch"], **shown)
    return run.progress.history


@dataclasses.dataclass
class _Progress:
    """How far a run has come: `step` batches of `epoch`."""

    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0  # over the images of the epoch so far
    history: list[Row] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Run:
    """A run on its way: network, optimizer and `progress` change, all else is fixed.

    `settings` are what a checkpoint must share to be taken up; `about` is kept for its readers.
    """

    model: nn.Module
    batches: dict[str, Batches]
    settings: dict[str, Any]
    about: dict[str, Any]
    device: torch.device
    amp_dtype: torch.dtype | None
    channels_last: bool
    out: Path | None
    save_every: int | None

    def __post_init__(self) -> None:
        self.train_set = self.batches["training set"]
        self.net = self.model  # that one or, around it, what joins processes or operations
        learning = [weight for weight in self.model.parameters() if weight.requires_grad]
        options = {name: self.settings[name] for name in ("momentum", "weight_decay")}
        self.optimizer = torch.optim.SGD(learning, lr=self.settings["learning_rate"], **options)
        float16 = self.amp_dtype is torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type) if float16 else None
        self.progress = _Progress()
        order = torch.arange(len(self.train_set))
        self.steps = len(split_batches(order, self.settings["batch_size"]))  # an epoch

    @property
    def steps_done(self) -> int:
        return (self.progress.epoch - 1) * self.steps + self.progress.step

    def open(self, out: Path, resume: bool) -> None:
        """Go on from the newest checkpoint in `out`, or save the start of a new run there."""
        state = on_rank_zero(lambda: checkpoint.load_to_resume(out, resume, self.settings))
        if state is None:
            on_rank_zero(self.save)  # if it cannot be written, no process begins
            return
        self.progress = _Progress(**state["progress"])
        unwrap(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        # What a power failure took of it is there again.
        on_rank_zero(lambda: _write_history(out, self.progress.history))

    def save(self) -> None:
        """Write a checkpoint and the history on rank 0; only at the start is a failure an error."""
        if self.out is None or rank_and_world_size()[0] > 0:
            return
        state = {
            "model": unwrap(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else {},
            "progress": dataclasses.asdict(self.progress),
            "settings": self.settings,
            **self.about,
        }
        try:
            checkpoint.save(self.out, self.steps_done, state)
            _write_history(self.out, self.progress.history)
        except OSError as error:
            if self.steps_done == 0:
                raise
            warnings.warn(f"{error}; training goes on", stacklevel=4)  # where fit was called

    def train_epoch(self, bar: tqdm) -> None:
        """Take the steps of the epoch, or what is left of them after resuming."""
        progress, batch_size = self.progress, self.settings["batch_size"]
        place = self.settings["seed"], progress.epoch
        set_seed(*place)
        order = split_batches(torch.randperm(len(self.train_set)), batch_size)[progress.step :]
        set_train_mode(self.net)
        shards = self.train_set.training(order, place, progress.step)
        # However the epoch ends, processes that read images end with it.
        with self._memory_explained(batch_size), contextlib.closing(shards):
            for index, (images, labels) in zip(order, shards, strict=True):
                set_seed(*place, progress.step, 1 + rank_and_world_size()[0])  # of dropout
                if epochs := self.settings["one_cycle"]:
                    share = cycle_share(self.steps_done, epochs * self.steps)
                    for group in self.optimizer.param_groups:
                        group["lr"] = share * self.settings["learning_rate"]
                loss = self._step(images, labels, len(index))
                progress.step += 1
                progress.loss_sum += loss * len(index)
                bar.update()
                due = self.save_every and self.steps_done % self.save_every == 0
                if due and progress.step < self.steps:  # the epoch's end has one of its own
                    self.save()

    def _step(self, images: torch.Tensor, labels: torch.Tensor, count: int) -> float:
        """Take one step with this process's shard of `count` images; return the loss of all."""
        if self.channels_last and images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = F.cross_entropy(self.net(images), labels) * shard_weight(count)
        (self.scaler.scale(loss) if self.scaler else loss).backward()
        value = all_reduce_mean(loss.detach()).item()
        where = f"at epoch {self.progress.epoch}, step {self.progress.step + 1}"
        self._stop_unless_finite(value, where)
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        return value

    def end_epoch(self, last: bool) -> Row:
        """Return the epoch's row of the history; set the next epoch's rate; save."""
        progress, patience = self.progress, self.settings["patience"]
        row = {
            "epoch": progress.epoch,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": progress.loss_sum / len(self.train_set),
        }
        for part in ["validation", "test"] if last else ["validation"]:
            if f"{part} set" in self.batches:
                found = self._evaluate(self.batches[f"{part} set"])
                row[f"{part}_loss"], row[f"{part}_error"] = found
        self.progress = _Progress(epoch=progress.epoch + 1, history=[*progress.history, row])
        drops = self.settings["milestones"].count(progress.epoch)
        if patience and _has_stalled(self.progress.history, patience):
            drops = 1
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.1**drops
        self.save()
        return row

    def _evaluate(self, batches: Batches) -> tuple[float, float]:
        """Return loss and top-1 error (percent) on a set, shared among the processes."""
        broadcast_buffers(self.model)  # the last step left each process with its own
        logits, labels = [], []
        with self._autocast(), self._memory_explained(batches.evaluation_batch):
            for images, targets in batches.evaluation():
                logits.append(predict(self.model, images))
                labels.append(targets)
        scores, right = torch.cat(logits), torch.cat(labels)
        own_loss = F.cross_entropy(scores, right).item()
        own_error = top_k_error(scores, right) if math.isfinite(own_loss) else math.nan
        device = self.device if rank_and_world_size()[1] > 1 else "cpu"
        mean = torch.tensor([own_loss, own_error], dtype=torch.float64, device=device)
        loss, error = all_reduce_mean(mean * shard_weight(len(batches))).tolist()
        # The epoch's last step may have been one too large: no later one would notice.
        progress = self.progress
        self._stop_unless_finite(loss, f"after epoch {progress.epoch}, step {progress.step}")
        return loss, error

    def _stop_unless_finite(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            rate = f"with a learning rate of {self.optimizer.param_groups[0]['lr']:g}"
            cure = "try a tenth of that rate, and check that the images are finite"
            raise TrainingError(f"the loss is {loss} {where}, {rate}: {cure}")

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.amp_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp_dtype)

    @contextlib.contextmanager
    def _memory_explained(self, batch_size: int) -> Iterator[None]:
        """Turn the GPU's "out of memory" into what to try."""
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)  # they hold what the failed pass had made
            half = self.settings["batch_size"] // 2
            smaller = f"batch_size={half}" if half else "a smaller network or smaller images"
            where = f"on {self.device} with batches of {batch_size} images"
            cure = f"try {smaller}; precision='auto' needs less too"
            raise TrainingError(f"out of memory {where}: {cure}") from error


def cycle_share(step: int, steps: int) -> float:
    """Return the share of the highest rate at a step from 0: 0.2 at first, 1 at a fifth, 0 last.

    One cycle of Smith and Topin (arXiv:1708.07120), in straight lines.
    """
    return float(np.interp(step, [0, 0.2 * steps - 1, steps - 1], [0.2, 1, 0]))


def set_train_mode(model: nn.Module) -> None:
    """Switch to training mode, but leave frozen batch normalisation alone.

    One whose parameters all ask for no gradient would otherwise go on adapting its statistics.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters(recurse=False))
        frozen = parameters and not any(each.requires_grad for each in parameters)
        if frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def autocast_type(name: str, device: torch.device) -> torch.dtype | None:
    """Return the type for autocast, or None for plain float32."""
    if name == "auto":
        if device.type != "cuda":
            return None  # a processor without bfloat16 arithmetic takes many times longer with it
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)  # the T4 is (7, 5)
        return torch.bfloat16 if ampere else torch.float16
    if name not in PRECISIONS:
        raise ValueError(f"unknown precision {name!r}: choose one of {['auto', *PRECISIONS]}")
    return PRECISIONS[name]


def _wrapped(model: nn.Module, device: torch.device, compile: bool) -> nn.Module:
    """Return the network that steps go through: of all processes, and compiled, where asked."""
    if rank_and_world_size()[1] > 1:
        gpus = [device] if device.type == "cuda" else None
        model = nn.parallel.DistributedDataParallel(model, device_ids=gpus)
    return torch.compile(model) if compile else model  # type: ignore[return-value]


def _has_stalled(history: list[Row], patience: int) -> bool:
    """Say whether both the lowest error and the last change of rate lie `patience` epochs back."""
    errors = [row["validation_error"] for row in history]
    at_this_rate = [row["learning_rate"] for row in history].count(history[-1]["learning_rate"])
    since_best = len(errors) - 1 - errors.index(min(errors))
    return min(since_best, at_this_rate) >= patience


def _write_history(out: Path, history: list[Row]) -> None:
    """Write what a checkpoint holds too, for others to read."""
    rows = json.dumps(history, indent=1) + "\n"
    checkpoint.write_atomically(out / "history.json", lambda file: file.write(rows.encode()))
