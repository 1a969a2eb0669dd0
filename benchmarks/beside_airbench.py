"""Train our fast CIFAR-10 run and Keller Jordan's airbench in turn, on one GPU.

    pip install airbench
    python benchmarks/beside_airbench.py

airbench (PyPI, arXiv:2404.00498) holds the records for speed. It is imported here and nowhere else,
and no part of the book needs it. Each side trains with every seed, the other way round each time,
after a run that is not counted. Its figures are those it prints itself: accuracy with each test
image seen once, accuracy with its six views of a test image, and seconds by its own clock, which
counts these views too. Ours have one view, and `vgg_utils.fast_cifar10.train` says what they count.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch
import torchvision
from tqdm import tqdm

from vgg_utils.data import ImageData, load_cifar10
from vgg_utils.fast_cifar10 import Recipe, train

Figures = dict[str, float]  # accuracies in percent, and seconds


def our_run(data: ImageData, recipe: Recipe, seed: int) -> Figures:
    run = train(data, recipe, seed=seed)
    return {"one view": 100 - run.history[-1]["test_error"], "seconds": run.seconds}


def airbench_run(train_network: Callable[..., object], seed: int) -> Figures:
    """Train by airbench's function; read the last row of the table that it prints."""
    torch.manual_seed(seed)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        train_network(run=seed)
    return last_row(printed.getvalue())


def last_row(table: str) -> Figures:
    """Read the row "eval": run, epoch, train_loss, train_acc, val_acc, tta_val_acc, seconds.

    Raises ValueError where there is no such row.
    """
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 7 and cells[1] == "eval":
            one, six, seconds = (float(cell) for cell in cells[4:])
            return {"one view": 100 * one, "six views": 100 * six, "seconds": seconds}
    raise ValueError(f"airbench printed no row of results that is known here:\n{table}")


@contextlib.contextmanager
def airbenchs_folder(data_dir: str) -> Iterator[None]:
    """Work where airbench finds CIFAR-10 as it wants it, cifar10/train.pt and test.pt."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cifar10").mkdir()
        for part in ("train", "test"):
            half = torchvision.datasets.CIFAR10(data_dir, train=part == "train")
            torch.save(
                {
                    "images": torch.from_numpy(half.data),
                    "labels": torch.tensor(half.targets),
                    "classes": half.classes,
                },
                Path(folder) / "cifar10" / f"{part}.pt",
            )
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def in_turn(
    sides: dict[str, Callable[[int], Figures]], seeds: Sequence[int]
) -> dict[str, list[Figures]]:
    """Run both sides with each seed, A B B A A B; the run of seed 0 before is not counted."""
    found: dict[str, list[Figures]] = {name: [] for name in sides}
    with tqdm(total=len(sides) * (len(seeds) + 1), unit="run", leave=False) as bar:
        for place, seed in enumerate([0, *seeds]):
            for name in list(sides)[:: -1 if place % 2 else 1]:
                figures = sides[name](seed)
                if place:
                    found[name].append(figures)
                bar.update()
    return found


def table(found: dict[str, list[Figures]]) -> str:
    """Return mean and standard deviation of every figure, and the ratio of the seconds."""
    lines = [f"{'':<14}{'one view':>16}{'six views':>16}{'seconds':>16}"]
    for name, runs in found.items():
        line = f"{name:<14}"
        for figure in ("one view", "six views", "seconds"):
            values = [run[figure] for run in runs if figure in run]
            line += f"{mean_and_deviation(values) if values else '-':>16}"
        lines.append(line)
    ours, theirs = (statistics.mean(run["seconds"] for run in runs) for runs in found.values())
    ours_name, their_name = found
    lines.append(f"{ours_name} takes {ours / theirs:.2f} times as long as {their_name}")
    return "\n".join(lines)


def mean_and_deviation(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def import_airbench() -> ModuleType | None:
    try:
        return importlib.import_module("airbench")
    except ImportError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Train ours and airbench's network in turn.")
    named = "which of its networks, named after the accuracy (default: 94)"
    parser.add_argument("--airbench", choices=["94", "95", "96"], default="94", help=named)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="1 to N (default: 5)")
    parser.add_argument("--compile", action="store_true", help="compile ours")
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="for CIFAR-10")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    if not torch.cuda.is_available():
        parser.error("airbench needs an NVIDIA GPU, and PyTorch finds none here")
    airbench = import_airbench()
    if airbench is None:
        parser.error("airbench is not installed here: pip install airbench")
    data_dir = str(Path(options.data_dir).resolve())
    data = load_cifar10(data_dir)
    recipe = replace(Recipe(), compile=options.compile)
    with airbenchs_folder(data_dir):
        found = in_turn(
            {
                "ours": lambda seed: our_run(data, recipe, seed),
                f"airbench{options.airbench}": lambda seed: airbench_run(
                    getattr(airbench, f"train{options.airbench}"), seed
                ),
            },
            range(1, options.seeds + 1),
        )
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {options.seeds} seeds")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
