"""Checkpoints that survive a process killed at any moment, a full disk and a damaged file.

A checkpoint is written beside its final name, forced to the disk, and only then renamed, which the
operating system does in one piece: under its final name stands a whole file or none. The last two
are kept, so one that goes bad later leaves another.

`load_latest(folder)` reads the newest that is whole. Its `state["model"]` is what the network's
`load_state_dict` takes:

    path, state = load_latest(Path("runs/first"))
    net.load_state_dict(state["model"])
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

FORMAT = "vgg_utils checkpoint 2"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file and what is wrong with it."""


def write_atomically(path: Path, content: bytes | memoryview, *, forced: bool = True) -> None:
    """Put `content` under `path`: all of it or, whatever happens, what stood there before.

    Raises OSError (a full disk, a folder that cannot be written to) and leaves no partial file.
    Not `forced` to the disk, it outlives the process but perhaps not a power failure.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            if forced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if forced and os.name == "posix":  # the new name itself must reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        with contextlib.suppress(OSError):  # network drives may not know how
            os.fsync(folder)
        os.close(folder)


def pack(state: dict[str, Any]) -> memoryview:
    """Return `state` as the content of a checkpoint; what changes afterwards is not in it.

    The tensors in its dictionaries are joined, those of a type into one: a network has a hundred,
    and each that is saved by itself costs some time, however small it is.
    """
    apart: dict[torch.dtype, list[torch.Tensor]] = {}
    rest = _take_apart(state, apart)
    joined = {  # as the parts are popped, copies of what lies on a GPU are freed before saving
        dtype: torch.cat([part.as_strided((part.numel(),), (1,)) for part in apart.pop(dtype)])
        for dtype in list(apart)
    }
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "state": rest, "tensors": joined}, buffer)
    return buffer.getbuffer()


def _take_apart(value: Any, apart: dict[torch.dtype, list[torch.Tensor]]) -> Any:
    """Return `value` with its type, shape and strides for each tensor, which goes into `apart`."""
    if isinstance(value, dict):
        return {key: _take_apart(item, apart) for key, item in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    tensor = value.detach().cpu()
    if tensor.nbytes != tensor.untyped_storage().nbytes():  # a part of another, or one expanded
        tensor = tensor.clone()
    apart.setdefault(tensor.dtype, []).append(tensor)
    return tensor.dtype, tuple(tensor.shape), tensor.stride()


def _put_together(value: Any, joined: dict[torch.dtype, torch.Tensor]) -> Any:
    """Return what `_take_apart` was given; its tensors are cut from the front of `joined`."""
    if isinstance(value, dict):
        return {key: _put_together(item, joined) for key, item in value.items()}
    if not (isinstance(value, tuple) and value and isinstance(value[0], torch.dtype)):
        return value
    dtype, shape, strides = value
    count = math.prod(shape)
    values, joined[dtype] = joined[dtype][:count], joined[dtype][count:]
    return values.as_strided(shape, strides).clone()


def save(folder: Path, number: int, content: bytes | memoryview) -> Path:
    """Write checkpoint `number` (of steps done); then delete all but the one before it.

    Raises OSError, with what is kept, when it cannot be written; nothing has been deleted then.
    """
    path = folder / f"checkpoint-{number:09d}.pt"
    try:
        write_atomically(path, content)
    except OSError as error:
        kept = ", ".join(kept.name for kept in _checkpoints(folder)) or "none"
        why = error.strerror or error
        raise OSError(
            error.errno, f"could not write {path} ({why}); checkpoints that are safe: {kept}"
        ) from error
    for old in [older for older in _checkpoints(folder) if older.name < path.name][:-1]:
        old.unlink(missing_ok=True)
    for partial in folder.glob("*.partial"):  # left by a process that was killed
        partial.unlink(missing_ok=True)
    return path


def load_latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint that can be read, and its path; None where there is none.

    A damaged or foreign one is passed over with a warning that names it. Raises CheckpointError
    when there are checkpoints and none can be read.
    """
    paths = _checkpoints(folder)
    for path in reversed(paths):
        try:
            return path, _read(path)
        except CheckpointError as error:
            warnings.warn(f"{error}; the checkpoint before it is tried", stacklevel=2)
    if paths:
        raise CheckpointError(f"none of the {len(paths)} checkpoints in {folder} can be used")
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Return what `save` has written, oldest first; a copy under another name is the reader's."""
    return sorted(folder.glob(f"checkpoint-{'[0-9]' * 9}.pt"))


def _read(path: Path) -> dict[str, Any]:
    """Return what `path` holds. No code in the file is run: `weights_only`."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # PyTorch itself does not look at the checksums
        if broken:
            raise CheckpointError(f"{path} is damaged: wrong checksum of {broken}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile, pickle and torch raise many kinds
        reason = str(error).split("\n")[0]
        raise CheckpointError(f"{path} is damaged or no checkpoint: {reason}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by this version of vgg_utils.train")
    return _put_together(content["state"], content["tensors"])


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every random generator in use: PyTorch's, NumPy's and Python's."""
    name, keys, *rest = np.random.get_state(legacy=True)
    state = {"torch": torch.get_rng_state(), "python": random.getstate()}
    state["numpy"] = (name, np.asarray(keys).tolist(), *rest)
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put every random generator back to a state from `random_state`."""
    torch.set_rng_state(state["torch"])
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(state["numpy"]))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
