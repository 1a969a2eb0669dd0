"""What several processes (or one, without torch.distributed) need to train as one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def rank_and_world_size() -> tuple[int, int]:
    """Return this process's number, from 0, and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def shard(batch: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a batch: one entry in as many as there are processes.

    A process that would have none gets the first, to stay in step; its `shard_weight` is 0.
    """
    rank, world_size = rank_and_world_size()
    mine = batch[rank::world_size]
    return mine if len(mine) else batch[:1]


def shard_weight(count: int) -> float:
    """Return the factor on a shard's mean with which `all_reduce_mean` gives the mean of all."""
    rank, world_size = rank_and_world_size()
    return world_size * len(range(rank, count, world_size)) / count


def all_reduce_mean(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over the processes, the same on all of them."""
    world_size = rank_and_world_size()[1]
    if world_size == 1:
        return value
    dist.all_reduce(value)
    return value / world_size


def broadcast_buffers(model: nn.Module) -> None:
    """Give the network of every process the buffers of rank 0, such as running averages."""
    if rank_and_world_size()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def _attempt(task: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return what a task returns or None, and the error that it raises or None."""
    try:
        return task(), None
    except Exception as error:
        return None, error


def on_rank_zero(task: Callable[[], Any]) -> Any:
    """Run `task` on rank 0 and return its result on all; an error there is raised on all."""
    rank, world_size = rank_and_world_size()
    if world_size == 1:
        return task()
    outcome: list[Any] = list(_attempt(task) if rank == 0 else (None, None))
    dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def rank_zero_first(task: Callable[[], Any]) -> Any:
    """Run `task` on rank 0, then on the first rank of each other machine, then on the rest.

    So the others find what the first one downloads, even on machines without a common folder. An
    error on any rank ends the waiting and is raised on all.
    """
    rank, world_size = rank_and_world_size()
    if world_size == 1:
        return task()
    # A download may take longer than waiting for a gradient is allowed to. The group isn't
    # destroyed here: before PyTorch 2.8, one destroyed just after its last use can wait for ever.
    waiting: Any = dist.new_group(backend="gloo", timeout=timedelta(hours=12))
    my_turn = 0 if rank == 0 else 1 if os.environ.get("LOCAL_RANK") == "0" else 2
    result = None
    for turn in range(3):
        result, error = _attempt(task) if turn == my_turn else (result, None)
        errors: list[Any] = [None] * world_size
        dist.all_gather_object(errors, error, group=waiting)
        for error in filter(None, errors):
            raise error
    return result
