"""The batches of a training run, from images in memory or from files read on the way.

Both kinds give this process its share of each batch, in the order that the run has drawn.
"""

from __future__ import annotations

import contextlib
import os
import random
import traceback
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from vgg_utils.data import ImageData, ImageFiles
from vgg_utils.distributed import rank_and_processes, share

Augment = Callable[[torch.Tensor], torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor]  # images (n, channels, height, width), labels (n,)


class FromMemory:
    """Batches of a training or test set held in memory, augmented whole."""

    evaluation_batch = 256  # images that `predict` works on at once

    def __init__(self, data: TensorDataset, device: torch.device, augment: Augment | None) -> None:
        self.images, self.labels = data.tensors
        self.device, self.augment = device, augment

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self) -> str:
        """Return what tells this set from another, for the check on resuming."""
        return f"{tuple(self.images.shape)}, labels {_checksum(self.labels)}"

    def training(self, order: list[torch.Tensor], epoch: int) -> Generator[Batch, None, None]:
        """Yield, for each batch of indices in `order`, this process's share of it."""
        for index in order:
            batch = self.images[index.to(self.images.device)].to(self.device)
            # Every process augments the whole batch, so that all draw the same random numbers.
            batch = self.augment(batch) if self.augment else batch
            labels = self.labels[share(index).to(self.labels.device)]
            yield share(batch), labels.to(self.device)

    def evaluation(self) -> Iterator[Batch]:
        """Yield this process's share of all images, the labels on the CPU."""
        yield share(self.images), share(self.labels).cpu()


class FromFiles:
    """The same of a set whose images are read one by one; each process reads its share alone."""

    def __init__(
        self, data: Dataset[Any], device: torch.device, batch_size: int, workers: int, seed: int
    ) -> None:
        if not hasattr(data, "__len__"):
            raise ValueError("training needs data sets with a length, indexed from 0")
        self.data, self.device, self.workers, self.seed = data, device, workers, seed
        self.evaluation_batch = -(-batch_size // rank_and_processes()[1])  # rounded up

    def __len__(self) -> int:
        return len(self.data)

    def describe(self) -> str:
        labels = getattr(self.data, "targets", None)  # as torchvision's data sets have it
        known = "unknown" if labels is None else _checksum(torch.as_tensor(labels))
        image = _Repeatable(self.data, self.seed, 0)[0][0]
        return f"{(len(self), *image.shape)}, labels {known}"

    def training(self, order: list[torch.Tensor], epoch: int) -> Generator[Batch, None, None]:
        for images, labels in self._read([share(index) for index in order], epoch):
            yield images, labels.to(self.device, non_blocking=True)

    def evaluation(self) -> Iterator[Batch]:
        mine = share(torch.arange(len(self)))
        yield from self._read(list(mine.split(self.evaluation_batch)), epoch=0)

    def _read(self, batches: list[torch.Tensor], epoch: int) -> Iterator[Batch]:
        loader = DataLoader(
            _Repeatable(self.data, self.seed, epoch),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # or a loader draws from the global one when it starts
        )
        try:
            for images, labels in loader:
                yield images.to(self.device, non_blocking=True), labels
        except OSError as error:  # a worker's comes with its traceback; the last line says it
            traceback.clear_frames(error.__traceback__)  # they would keep the workers waiting
            raise OSError(str(error).rstrip().split("\n")[-1].removeprefix("OSError: ")) from error


Batches = FromMemory | FromFiles


class _Repeatable(Dataset[Any]):
    """A data set whose random numbers for an image depend on seed, epoch and index alone.

    Not on what was read before, nor on which worker reads it, nor on which process: so a resumed
    run, and one shared among several processes, sees the very same images.
    """

    def __init__(self, data: Dataset[Any], seed: int, epoch: int) -> None:
        self.data, self.seed, self.epoch = data, seed, epoch

    def __getitem__(self, index: int) -> Any:
        with _numbers_of(hash((self.seed, self.epoch, index))):  # of integers: the same everywhere
            return self.data[index]


@contextlib.contextmanager
def _numbers_of(seed: int) -> Iterator[None]:
    """Seed the CPU's random generators, then put back the states in which they were found."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    # Not torch.manual_seed, which sets the GPU's generator too and so would repeat its dropout.
    torch.default_generator.manual_seed(seed % 2**63)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def training_and_test(
    data: ImageData | ImageFiles,
    device: torch.device,
    *,
    augment: Augment | None,
    batch_size: int,
    workers: int | None,
    seed: int,
) -> tuple[Batches, Batches]:
    """Return the batches of both sets; those in memory move to the device where they fit.

    Raises ValueError for `augment` with a training set read from files.
    """
    if workers is None:  # a GPU would wait for its images; a CPU has no core to spare
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine
        allowed = getattr(os, "sched_getaffinity", None)  # fewer cores than there are, on Linux
        cores = len(allowed(0)) if allowed else os.cpu_count() or 1
        workers = min(8, cores // here) if device.type == "cuda" else 0

    in_memory = [half for half in (data.train, data.test) if isinstance(half, TensorDataset)]
    tensors = [tensor for half in in_memory for tensor in half.tensors]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)  # bytes
    fits = device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2

    def batches(half: Dataset[Any], augment: Augment | None) -> Batches:
        if isinstance(half, TensorDataset):
            if fits:
                half = TensorDataset(*(tensor.to(device) for tensor in half.tensors))
            return FromMemory(half, device, augment)
        if augment is not None:
            raise ValueError(
                "augment is for images in memory: those read from files are augmented as they are "
                "read, each by itself, so that every process reads its share alone; change the "
                "data set's transform instead"
            )
        return FromFiles(half, device, batch_size, workers, seed)

    return batches(data.train, augment), batches(data.test, None)


def split(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Split the order of the images; a last batch of one joins its neighbour.

    On a 1x1 map one image leaves batch normalisation nothing to take a variance of.
    """
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _checksum(labels: torch.Tensor) -> str:
    return f"{zlib.crc32(labels.cpu().numpy().tobytes()):08x}"
