"""What the first cell of every lesson does, once this module is there.

It takes one thread, finds a folder for what is kept, and says what the page will do to the machine.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import vgg_utils

DRIVE = Path("/content/drive")  # where Colab mounts a reader's Google Drive
KEPT = "MyDrive/vggnet-book"
SWITCH = "On Colab: Runtime > Change runtime type; on Kaggle: Settings > Accelerator."


def start_lesson(lesson: str, *, keep_on_drive: bool = False) -> None:
    """Get ready for a lesson, named as its file is, and print in two lines what is coming.

    One thread computes, unless the environment variable OMP_NUM_THREADS says how many: on cores
    that other programs use too, threads wait for one another far longer than they compute. With
    `keep_on_drive`, on Colab, the working directory becomes a folder on the reader's Drive, which
    asks for consent; downloads and checkpoints there outlive the machine. Random numbers are not
    drawn. Raises ValueError for a name that is no lesson's.
    """
    takes = json.loads(files("vgg_utils").joinpath("lessons.json").read_text("utf-8"))
    if lesson not in takes:
        raise ValueError(f"no lesson is called {lesson!r}: there are {', '.join(takes)}")
    _set_threads()
    if sys.platform == "linux":
        _let_matplotlib_write()
    if keep_on_drive:
        _go_to_drive()
    print("\n".join(describe(takes[lesson])))


def describe(takes: dict[str, Any]) -> tuple[str, str]:
    """Return what the machine is, and what a page takes of it: two lines.

    `takes` is the page's entry in lessons.json: the seconds it took where `pace` was the pace,
    gigabytes of memory, training steps, and the larger work that it offers a GPU.
    """
    import psutil  # comes with Jupyter's kernel
    import torch

    threads, cores = torch.get_num_threads(), os.cpu_count()
    device = f"CPU, {threads} of {cores} cores"
    seconds = takes["seconds"] * pace() / takes["pace"]
    about = f"{5 * math.ceil(seconds / 5)} seconds"
    if seconds > 120:
        about = f"{math.ceil(seconds / 60)} minutes"
    if gpu := torch.cuda.is_available():
        name, memory = torch.cuda.get_device_name(), torch.cuda.mem_get_info()[1]
        device = f"{name} with {memory / 1e9:.0f} GB"
        about += " without the GPU (with it nobody has measured)"
    free = psutil.virtual_memory().available / 1e9
    python = ".".join(map(str, sys.version_info[:3]))
    choice = "nothing is downloaded."
    if takes["choice"]:
        choice = f"larger work, for a GPU, only if you choose it: {takes['choice']}."
        choice += "" if gpu else f" {SWITCH}"
    return (
        f"{device}; {free:.1f} GB of memory free; Python {python}, PyTorch {torch.__version__}, "
        f"vgg_utils {vgg_utils.__version__}.",
        f"This page: {takes['steps']:,} steps of training, about {about}, "
        f"{takes['gigabytes']} GB of memory; {choice}",
    )


def pace(clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds that this machine takes, now, for a small fixed piece of work."""
    import torch
    from torch.nn import functional as F

    images, weight = torch.ones(16, 16, 32, 32), torch.ones(16, 16, 3, 3, requires_grad=True)
    times = []
    for _ in range(12):
        begin = clock()
        F.conv2d(images, weight, padding=1).sum().backward()
        times.append(clock() - begin)
    return sum(times[2:])  # the first two set things up


def _set_threads() -> None:
    """Take one thread, or as many as OMP_NUM_THREADS says, in every library that reads it."""
    threads = os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    if threads.isdigit() and int(threads):
        torch.set_num_threads(int(threads))  # it may have been imported before


def _let_matplotlib_write() -> None:
    """Give matplotlib another folder for its files, where it would complain of the home folder."""
    for variable, usual in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache")):
        folder = Path(os.environ.get(variable) or Path.home() / usual) / "matplotlib"
        try:
            folder.mkdir(parents=True, exist_ok=True)  # as matplotlib does, on Linux
            writable = os.access(folder, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp(prefix="matplotlib-"))


def _go_to_drive() -> None:
    """Make a folder on the reader's Drive the working directory, where there is a Drive."""
    try:
        from google.colab import drive
    except ImportError:
        print("No Drive here: files stay in this folder.")
        return
    try:
        drive.mount(str(DRIVE))
        (DRIVE / KEPT).mkdir(parents=True, exist_ok=True)
        os.chdir(DRIVE / KEPT)
        os.environ["TORCH_HOME"] = str(DRIVE / KEPT / "torch")  # torchvision's weights
    except Exception as error:  # whatever Colab raises when the reader says no
        print(f"Drive was not opened ({error}): files stay on this machine, and go with it.")
