"""What several processes need to train as one: a share each, averages, turns.

Everything works alike with a single process, where torch.distributed has not been initialised.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def rank_and_processes() -> tuple[int, int]:
    """Return this process's number, from 0, and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share(whole: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a batch: one entry in as many as there are processes.

    Where there are fewer entries than processes, one without gets the first entry, so that all
    processes stay in step; its `weight` is 0.
    """
    rank, processes = rank_and_processes()
    mine = whole[rank::processes]
    return mine if len(mine) else whole[:1]


def weight(count: int) -> float:
    """Return what to multiply a mean over this process's share by, before `average`.

    The result is then the mean over the whole batch of `count`. It is 1 where all shares are equal.
    """
    rank, processes = rank_and_processes()
    return processes * len(range(rank, count, processes)) / count


def average(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over the processes, the same on all of them."""
    processes = rank_and_processes()[1]
    if processes == 1:
        return value
    dist.all_reduce(value)
    return value / processes


def take_buffers_of_first(model: nn.Module) -> None:
    """Give the network of every process the buffers of process 0, such as running averages."""
    if rank_and_processes()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


@contextlib.contextmanager
def own_numbers(place: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Give each of several processes its own dropout masks, then put the common state back."""
    rank, processes = rank_and_processes()
    if processes == 1:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(hash((*place, rank)) % 2**63)
        yield


def from_first(task: Callable[[], Any]) -> Any:
    """Run `task` in process 0 and return its result in all; an error there is raised in all."""
    rank, processes = rank_and_processes()
    if processes == 1:
        return task()
    outcome: list[Any] = [None, None]
    if rank == 0:
        try:
            outcome[0] = task()
        except Exception as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def in_turn(task: Callable[[], Any]) -> Any:
    """Run `task` in process 0, then in the first process of each other machine, then in the rest.

    So what the first one downloads is there for the others, and on machines without a common folder
    each downloads once. An error in any process ends the waiting and is raised in all of them.
    """
    rank, processes = rank_and_processes()
    if processes == 1:
        return task()
    # A download may take longer than the time after which waiting for a gradient counts as failed.
    waiting: Any = dist.new_group(backend="gloo", timeout=timedelta(hours=12))
    my_turn = 0 if rank == 0 else 1 if os.environ.get("LOCAL_RANK") == "0" else 2
    result = None
    for turn in range(3):
        error: Exception | None = None
        if turn == my_turn:
            try:
                result = task()
            except Exception as caught:
                error = caught
        errors: list[Any] = [None] * processes
        dist.all_gather_object(errors, error, group=waiting)
        for error in errors:
            if error is not None:
                raise error
    dist.destroy_process_group(waiting)
    return result
