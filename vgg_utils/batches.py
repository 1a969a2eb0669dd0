"""Where a batch is drawn: from images in memory, or from a data set that reads them on the way.

Both kinds give this process its shard of each batch, in the order that the run has drawn.
"""

from __future__ import annotations

import functools
import os
import traceback
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from vgg_utils.distributed import rank_and_world_size, shard
from vgg_utils.seeds import set_seed
from vgg_utils.user_data import check_labels, collate, known_labels

Augment = Callable[[torch.Tensor], torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor]  # images (n, channels, height, width), labels (n,)
Stream = Generator[Batch, None, None]
Place = tuple[int, int]  # seed and epoch, from which random numbers follow


@dataclass(eq=False)
class Batches:
    """A data set on its way into a network, batch by batch: what both kinds share."""

    data: Dataset[Any]
    device: torch.device
    evaluation_batch: int  # images tested at a time

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def describe(self) -> str:
        """Return what tells this set from another, for the check on resuming."""
        (image, _), labels = _Seeded(self.data, (0, 0))[0][1], known_labels(self.data)
        content = b"" if labels is None else labels.long().cpu().numpy().tobytes()
        return f"{(len(self), *image.shape)}, labels {zlib.crc32(content):08x}"

    def training(self, batches: list[torch.Tensor], place: Place, first: int) -> Stream:
        """Yield this process's shard of each batch; `first` is the number of the first."""
        for images, labels in self._read([shard(index) for index in batches], place):
            yield images, labels.to(self.device, non_blocking=True)

    def evaluation(self) -> Stream:
        """Yield this process's shard of all images, the labels on the CPU."""
        mine = shard(torch.arange(len(self)))
        for images, labels in self._read(list(mine.split(self.evaluation_batch)), (0, 0)):
            yield images, labels.cpu()

    def _read(self, batches: list[torch.Tensor], place: Place) -> Stream:
        raise NotImplementedError


@dataclass(eq=False)
class FromMemory(Batches):
    """Batches of a data set held in memory, augmented whole."""

    data: TensorDataset
    augment: Augment | None

    def training(self, batches: list[torch.Tensor], place: Place, first: int) -> Stream:
        for step, index in enumerate(batches, start=first):
            # Every process augments the whole batch, so that all draw the same random numbers.
            ((images, labels),) = self._read([index], place)
            if self.augment:
                set_seed(*place, step, 0)
                images = self.augment(images)
            yield shard(images), shard(labels).to(self.device)

    def _read(self, batches: list[torch.Tensor], place: Place) -> Stream:
        images, labels = self.data.tensors
        for index in batches:
            index = index.to(images.device)
            yield images[index].to(self.device), labels[index].long()


@dataclass(eq=False)
class FromDataset(Batches):
    """Batches of a data set that reads its images one by one; each process reads its shard alone.

    An image's random numbers follow from seed, epoch and index alone, whoever reads it and when.
    """

    name: str  # of the set, for errors
    classes: int
    num_workers: int

    def _read(self, batches: list[torch.Tensor], place: Place) -> Stream:
        loader = DataLoader(
            _Seeded(self.data, place),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.num_workers,
            collate_fn=functools.partial(collate, name=self.name),
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # or a loader draws from the global one when it starts
        )
        try:
            for images, labels in loader:
                check_labels(labels, self.name, self.classes)
                yield images.to(self.device, non_blocking=True), labels
        except (OSError, ValueError) as error:  # a worker's comes with its traceback: keep the end
            traceback.clear_frames(error.__traceback__)  # they would keep the workers waiting
            last = str(error).rstrip().split("\n")[-1]
            kind = OSError if isinstance(error, OSError) else ValueError
            raise kind(last.removeprefix(f"{type(error).__name__}: ")) from error
        except Exception as error:
            words = ("pickle", "exited unexpectedly", "bootstrapping")
            if self.num_workers and any(word in str(error).lower() for word in words):
                raise RuntimeError(
                    "the processes that read images could not start. Use num_workers=0; or make "
                    "every transform a named function at the top level of a file, and start the "
                    'training under `if __name__ == "__main__":`'
                ) from error
            raise


@dataclass
class _Seeded(Dataset[Any]):
    """A data set whose entry `index` is (index, (image, label)), with random numbers of its own."""

    data: Dataset[Any]
    place: Place

    def __getitem__(self, index: int) -> Any:
        set_seed(*self.place, index)
        return index, self.data[index]


def draw_from(
    data: Dataset[Any],
    device: torch.device,
    *,
    name: str,
    classes: int,
    augment: Augment | None,
    batch_size: int,
    num_workers: int | None,
) -> Batches:
    """Return the batches of a data set; one in memory moves to a device with twice the room.

    `num_workers` None is one for each core, at most 8, on a GPU, which would wait for its images,
    and 0 on a CPU. Raises ValueError for `augment` with a data set that reads its images.
    """
    if isinstance(data, TensorDataset):
        size = sum(tensor.nbytes for tensor in data.tensors)
        if device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2:
            data = TensorDataset(*(tensor.to(device) for tensor in data.tensors))
        # Testing four times as many takes less memory still than a step of training.
        return FromMemory(data, device, 4 * batch_size, augment)
    if augment is not None:
        raise ValueError("augment is for images in memory: put it into the set's own transform")
    if num_workers is None:
        allowed = getattr(os, "sched_getaffinity", None)  # fewer cores than there are, on Linux
        cores = len(allowed(0)) if allowed else os.cpu_count() or 1
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine
        num_workers = min(8, cores // here) if device.type == "cuda" else 0
    share = -(-batch_size // rank_and_world_size()[1])  # of this process, rounded up
    return FromDataset(data, device, share, name, classes, num_workers)


def split_batches(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Split the order of the images; a last batch of one joins its neighbour."""
    batches = list(order.split(batch_size))
    # On a 1x1 map one image leaves batch normalisation nothing to take a variance of.
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
