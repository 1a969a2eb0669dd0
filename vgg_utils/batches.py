"""Where a batch is drawn: from images in memory, or from a data set that reads them on the way.

Both kinds give this process its shard of each batch, in the order that the run has drawn.
"""

from __future__ import annotations

import os
import traceback
import zlib
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from vgg_utils.distributed import rank_and_world_size, shard
from vgg_utils.seeds import set_seed
from vgg_utils.user_data import check_labels, collate, known_labels

Augment = Callable[[torch.Tensor], torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor]  # images (n, channels, height, width), labels (n,)


class FromMemory:
    """Batches of a data set held in memory, augmented whole."""

    def __init__(
        self, data: TensorDataset, device: torch.device, augment: Augment | None, batch_size: int
    ) -> None:
        self.evaluation_batch = 4 * batch_size  # still takes less memory than a training step
        self.images, self.labels = data.tensors[0], data.tensors[1].long()
        self.device, self.augment = device, augment

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self) -> str:
        """Return what tells this set from another, for the check on resuming."""
        return f"{tuple(self.images.shape)}, labels {_checksum(self.labels)}"

    def training(
        self, batches: list[torch.Tensor], place: tuple[int, int], first: int
    ) -> Generator[Batch, None, None]:
        """Yield, for each batch of indices, this process's shard of it.

        `place` is (seed, epoch), `first` the number of the first of these batches in the epoch.
        """
        for step, index in enumerate(batches, start=first):
            batch = self.images[index.to(self.images.device)].to(self.device)
            # Every process augments the whole batch, so that all draw the same random numbers.
            set_seed(*place, step, 0)
            batch = self.augment(batch) if self.augment else batch
            labels = self.labels[shard(index).to(self.labels.device)]
            yield shard(batch), labels.to(self.device)

    def evaluation(self) -> Generator[Batch, None, None]:
        """Yield this process's shard of all images, the labels on the CPU."""
        mine = shard(torch.arange(len(self)))
        for index in mine.to(self.images.device).split(self.evaluation_batch):
            yield self.images[index].to(self.device), self.labels[index].cpu()


class FromDataset:
    """The same of a data set that reads its images one by one; each process reads its shard alone.

    An image's random numbers follow from seed, epoch and index alone: not from what was read
    before, nor from which worker or process reads it.
    """

    def __init__(
        self,
        data: Dataset[Any],
        device: torch.device,
        *,
        name: str,
        classes: int,
        batch_size: int,
        num_workers: int,
    ) -> None:
        self.data, self.device, self.name, self.classes = data, device, name, classes
        self.num_workers = num_workers
        self.evaluation_batch = -(-batch_size // rank_and_world_size()[1])  # rounded up

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def describe(self) -> str:
        labels = known_labels(self.data)
        checksum = "unknown" if labels is None else _checksum(labels)
        return f"{(len(self), *_Seeded(self.data, (0, 0))[0][1][0].shape)}, labels {checksum}"

    def training(
        self, batches: list[torch.Tensor], place: tuple[int, int], first: int
    ) -> Generator[Batch, None, None]:
        for images, labels in self._read([shard(index) for index in batches], place):
            yield images, labels.to(self.device, non_blocking=True)

    def evaluation(self) -> Generator[Batch, None, None]:
        mine = shard(torch.arange(len(self)))
        yield from self._read(list(mine.split(self.evaluation_batch)), (0, 0))

    def _read(
        self, batches: list[torch.Tensor], place: tuple[int, int]
    ) -> Generator[Batch, None, None]:
        loader = DataLoader(
            _Seeded(self.data, place),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.num_workers,
            collate_fn=_Collate(self.name),
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


Batches = FromMemory | FromDataset


class _Seeded(Dataset[Any]):
    """A data set whose entry `index` is (index, (image, label)), with random numbers of its own."""

    def __init__(self, data: Dataset[Any], place: tuple[int, int]) -> None:
        self.data, self.place = data, place

    def __getitem__(self, index: int) -> Any:
        set_seed(*self.place, index)
        return index, self.data[index]


class _Collate:
    """`collate` for one data set, in a form that other processes can be given."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, pairs: list[tuple[int, Any]]) -> Batch:
        return collate(pairs, self.name)


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
    """Return the batches of a data set; one in memory moves to the device if half of it is free.

    `num_workers` None is one for each core, at most 8, on a GPU, which would wait for its images,
    and 0 on a CPU, which has no core to spare. Raises ValueError for `augment` with a data set that
    reads its images.
    """
    if isinstance(data, TensorDataset):
        size = sum(tensor.nbytes for tensor in data.tensors)
        if device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2:
            data = TensorDataset(*(tensor.to(device) for tensor in data.tensors))
        return FromMemory(data, device, augment, batch_size)
    if augment is not None:
        raise ValueError(
            "augment is for images in memory: a data set that reads its images augments each by "
            "itself, in its own transform"
        )
    if num_workers is None:
        allowed = getattr(os, "sched_getaffinity", None)  # fewer cores than there are, on Linux
        cores = len(allowed(0)) if allowed else os.cpu_count() or 1
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine
        num_workers = min(8, cores // here) if device.type == "cuda" else 0
    options = {"name": name, "classes": classes, "batch_size": batch_size}
    return FromDataset(data, device, num_workers=num_workers, **options)  # type: ignore[arg-type]


def split_batches(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Split the order of the images; a last batch of one joins its neighbour.

    On a 1x1 map one image leaves batch normalisation nothing to take a variance of.
    """
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _checksum(labels: torch.Tensor) -> str:
    return f"{zlib.crc32(labels.cpu().numpy().tobytes()):08x}"
