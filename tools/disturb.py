"""Run a notebook several times, each time with its trainings disturbed a little.

    python tools/disturb.py book/05_initialisation.ipynb              ten runs
    python tools/disturb.py book/05_initialisation.ipynb --threads 2  as on a reader's machine

Training amplifies rounding: another processor or another number of threads adds up in another
order, and after some hundred steps the weights have little in common. A notebook may show what
survives that, and not what one lucky run happened to do. Here every optimizer's parameters are
multiplied by 1 + 1e-7 times a normal number as it takes its first step, with other numbers in
each run; nothing else is random that was not random before. Trainings that start alike are
disturbed alike, so that a notebook may still compare two of them to the bit. Processes that a
notebook starts are left alone.

What is said for each cell: the errors it raised, and how its text differed between the runs, number
by number. The exit status is 1 if a cell failed, or if one differed whose output is compared.
"""

import argparse
import inspect
import os
import re
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, repeat, zip_longest
from pathlib import Path

import nbformat
from notebooks import execute

NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
PICTURE = re.compile(r"base64,[A-Za-z0-9+/=\s]+")
IGNORED = "nbval-ignore-output"


def disturb_trainings(run: int, scale: float) -> None:
    """Disturb, in this process, every optimizer's parameters at its first step.

    The noise follows from the run and the parameter's shape alone. An optimizer that comes with a
    state, out of a checkpoint, goes on with a training that was disturbed when it began.
    """
    from weakref import WeakSet

    import torch
    from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

    started: WeakSet[Optimizer] = WeakSet()

    def hook(optimizer: Optimizer, *_: object) -> None:
        if optimizer in started:
            return
        started.add(optimizer)
        if optimizer.state:
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                generator = torch.Generator().manual_seed(run)
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                factor = (1 + scale * noise).to(parameter.device)
                parameter.data.copy_(parameter.data.double() * factor)

    register_optimizer_step_pre_hook(hook)


@dataclass
class Cell:
    """What one code cell did in all the runs."""

    number: int  # as in In[number]
    tags: list[str]
    source: str
    texts: list[str] = field(default_factory=list)  # one a run
    errors: list[str] = field(default_factory=list)  # of the runs that failed

    @property
    def title(self) -> str:
        ignored = ", not compared" if IGNORED in self.tags else ""
        return f"cell [{self.number}]{ignored}: {self.source.splitlines()[0]}"

    @property
    def breaks(self) -> bool:
        """Tell whether what happened here would stop a reader or fail a test."""
        return bool(self.errors) or (IGNORED not in self.tags and len(set(self.texts)) > 1)

    def report(self) -> list[str]:
        """Return lines on what failed or differed; none if nothing did."""
        lines = [
            f"  failed in {n} of the runs: {error}" for error, n in Counter(self.errors).items()
        ]
        if len(set(self.texts)) > 1:
            lines += [f"  {line}" for line in differences(self.texts)]
        return [self.title, *lines] if lines else []


def differences(texts: list[str]) -> list[str]:
    """Return each line of the texts that moved, with the range of each number that did.

    Texts that differ in words or in the count of numbers are told apart as wholes.
    """
    if len({NUMBER.sub("#", text).replace(" ", "") for text in texts}) > 1:
        return [f"{n} times {text.strip()!r}" for text, n in Counter(texts).most_common()]
    lines = []
    for versions in zip(*(text.splitlines() for text in texts), strict=True):
        if len(set(versions)) > 1:
            spans = map(span, zip(*(NUMBER.findall(version) for version in versions), strict=True))
            between = NUMBER.split(versions[0])
            lines.append("".join(chain(*zip_longest(between, spans, fillvalue=""))).strip())
    return lines


def span(numbers: tuple[str, ...]) -> str:
    """Return a number that stayed as it is, another as [least to greatest]."""
    if len(set(numbers)) == 1:
        return numbers[0]
    ordered = sorted(numbers, key=lambda number: float(number.replace(",", "")))
    return f"[{ordered[0]} to {ordered[-1]}]"


def run_disturbed(path: Path, run: int, scale: float, threads: int) -> list[tuple[str, str]]:
    """Execute a notebook in a fresh kernel; return text and error (or "") of each code cell."""
    notebook = nbformat.read(path, as_version=4)
    source = inspect.getsource(disturb_trainings)
    source += f"\n\ndisturb_trainings({run}, {scale})\ndel disturb_trainings"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(source))
    execute(notebook, path.parent, threads, allow_errors=True)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    first, *others = [text_and_error(cell.outputs) for cell in cells]
    if first[1]:
        raise RuntimeError(f"the disturbance itself failed: {first[1]}")
    return others


def text_and_error(outputs: list[nbformat.NotebookNode]) -> tuple[str, str]:
    texts, error = [], ""
    for output in outputs:
        if output.output_type == "error":
            error = f"{output.ename}: {output.evalue}".splitlines()[0]
        elif output.output_type == "stream":
            texts.append(output.text if output.name == "stdout" else "")
        else:
            data = output.get("data", {})
            texts.append(PICTURE.sub("", str(data.get("text/html", data.get("text/plain", "")))))
    return "\n".join(texts), error


def disturb(path: Path, runs: int, scale: float, threads: int) -> list[Cell]:
    """Run a notebook so many times, two runs at a time where their threads have cores."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells = [
        Cell(number, cell.metadata.get("tags", []), cell.source)
        for number, cell in enumerate(code, start=1)
    ]
    at_a_time = min(2, max(1, (os.cpu_count() or 1) // threads))
    with ProcessPoolExecutor(at_a_time) as pool:
        fixed = repeat(path), range(1, runs + 1), repeat(scale), repeat(threads)
        for outcome in pool.map(run_disturbed, *fixed):
            for cell, (text, error) in zip(cells, outcome, strict=True):
                cell.texts.append(text)
                cell.errors += [error] if error else []
    return cells


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="of each kernel (default: 1)")
    parser.add_argument("--scale", type=float, default=1e-7, help="relative (default: 1e-7)")
    options = parser.parse_args()
    cells = disturb(options.notebook, options.runs, options.scale, options.threads)
    lines = [line for cell in cells for line in cell.report()]
    print(f"{options.notebook}: {options.runs} runs, weights disturbed by {options.scale:g}")
    print("\n".join(lines) if lines else "no cell failed, and none said anything else")
    return int(any(cell.breaks for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
