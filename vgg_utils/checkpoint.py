"""Checkpoints that survive a process killed at any moment, a full disk and a damaged file.

A checkpoint is a dictionary, saved beside its final name, forced to the disk, and only then
renamed, which the operating system does in one piece. The last two are kept, so that one that goes
bad later leaves another. To take weights out:

    net.load_state_dict(torch.load(path, weights_only=True)["model"])
"""

from __future__ import annotations

import contextlib
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

FORMAT = "vgg_utils checkpoint 3"
ANY = f"checkpoint-{'[0-9]' * 9}.pt"  # a file under another name is the reader's


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file and what is wrong with it."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file; under `path` stands all of it or, if that fails, what was there."""
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name itself must reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        with contextlib.suppress(OSError):  # network drives may not know how
            os.fsync(folder)
        os.close(folder)


def save(folder: Path, number: int, state: dict[str, Any]) -> Path:
    """Write checkpoint `number` (of steps done); then delete all but the one before it.

    Raises OSError, naming those that are safe, if it cannot be written; none has been deleted then.
    """
    path = folder / f"checkpoint-{number:09d}.pt"
    try:
        write_atomically(path, lambda file: torch.save({"format": FORMAT, **state}, file))
    except (OSError, RuntimeError) as error:  # PyTorch's writer turns a full disk into the latter
        safe = ", ".join(kept.name for kept in _checkpoints(folder)) or "none"
        why = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise OSError(f"could not write {path} ({why}); still safe: {safe}") from error
    older = [other for other in _checkpoints(folder) if other.name < path.name]
    partial = folder.glob(f"{ANY}.partial")  # left by a process that was killed
    for needless in [*older[:-1], *partial]:
        needless.unlink(missing_ok=True)
    return path


def load_latest(folder: str | Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint in a folder that can be read, and its path; None if it has none.

    One that cannot is passed over with a warning. Raises CheckpointError for what is no folder, and
    if there are checkpoints and none can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder with checkpoints in it")
    paths = _checkpoints(folder)
    for path in reversed(paths):
        try:
            return path, load(path)
        except CheckpointError as error:
            warnings.warn(f"{error}; the checkpoint before it is tried", stacklevel=2)
    if paths:
        raise CheckpointError(f"none of the {len(paths)} checkpoints in {folder} can be used")
    return None


def load_to_resume(out: Path, resume: bool, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the state to go on from in `out`, or None for a new run; make the folder.

    Raises FileExistsError if there are checkpoints that are not to be resumed, CheckpointError if
    they belong to other `settings`, and OSError if the folder cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot make the folder {out} ({error.strerror})") from error
    if not resume and _checkpoints(out):
        raise FileExistsError(f"{out} holds checkpoints already: resume, or name another folder")
    latest = load_latest(out)
    if latest is None:
        return None
    path, state = latest
    for name, after in settings.items():
        before = state["settings"].get(name)
        if name == "model" and before != after:  # the first line in which they differ
            pairs = zip(str(before).split("\n"), str(after).split("\n"), strict=False)
            before, after = next((pair for pair in pairs if pair[0] != pair[1]), (before, after))
        if before != after:
            different = f"{name} is {before} there and {after} here"
            raise CheckpointError(f"{path} is of another run: {different}")
    return state


def load(path: str | Path) -> dict[str, Any]:
    """Return what a checkpoint holds, on the CPU; code in the file is not run (`weights_only`).

    Raises CheckpointError for a file that is missing, damaged, or of another kind or version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # PyTorch itself does not look at the checksums
        content = None if broken else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except Exception as error:  # zipfile, pickle and torch raise many kinds
        reason = str(error).split("\n")[0]
        raise CheckpointError(f"{path} is damaged or no checkpoint: {reason}") from error
    if broken:
        raise CheckpointError(f"{path} is damaged: wrong checksum of {broken}")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by this version of vgg_utils.training")
    return content


def _checkpoints(folder: Path) -> list[Path]:
    """Return what `save` has written, oldest first."""
    return sorted(folder.glob(ANY))
