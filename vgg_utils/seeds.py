"""Random numbers from a seed and a place, such as (seed, epoch, step), whoever draws and when."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def set_seed(*place: int) -> None:
    """Seed the global generators of PyTorch, NumPy and Python from integers of at least 0."""
    # The length goes with it: NumPy takes (3, 1) and (3, 1, 0) for the same.
    words = np.random.SeedSequence((*place, len(place))).generate_state(4)  # uint32
    seed = int(words[0]) << 32 | int(words[1])
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 0.1 ms: too much a step
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    np.random.seed(words)
    random.seed(words.tobytes())


@contextlib.contextmanager
def preserve_random_state() -> Iterator[None]:
    """Put the global generators, those of GPUs included, back to where they were found."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    on_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        torch.cuda.set_rng_state_all(on_gpus)
        if on_mps is not None:
            torch.mps.set_rng_state(on_mps)
