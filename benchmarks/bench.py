"""Measure the module against its peers: ratios, never seconds.

    python benchmarks/bench.py                    every case for this device, a GPU if there is one
    python benchmarks/bench.py loop checkpoint    these
    python benchmarks/bench.py --list             what there is

The two sides of a case run in turn, A B B A A B B A, so that whatever else the machine does meets
both. Each pair of neighbours gives a ratio; the median of the ratios is the result, and the
quartiles tell how far to trust it. A table goes to stdout, and to benchmarks/results/ the same as
JSON and, for the book's page of timings, in Markdown.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from cases import CASES, SIZES, Case, Run, Size
from torch.utils import benchmark
from tqdm import tqdm

RESULTS = Path(__file__).resolve().parent / "results"


def ratios(
    ours: Run,
    base: Run,
    repeats: int,
    *,
    returned: bool = False,
    clock: Callable[[], float] = benchmark.timer,  # waits for the GPU to finish
    after_each: Callable[[], object] = lambda: None,
) -> list[float]:
    """Return `repeats` ratios of ours to base; the order alternates from one to the next.

    The cost of a call is the time by `clock`, or with `returned` the number that it returns. A
    timed callable is called once beforehand: first calls allocate memory and choose algorithms.
    """

    def cost(run: Run) -> float:
        begin = clock()
        result = run()
        seconds = clock() - begin
        return float(result) if returned else seconds  # type: ignore[arg-type]

    if not returned:
        ours(), base()
    found = []
    for repeat in range(repeats):
        costs = {}
        for name, run in [("ours", ours), ("base", base)][:: -1 if repeat % 2 else 1]:
            costs[name] = cost(run)
        found.append(costs["ours"] / costs["base"])
        after_each()
    return found


def summary(case: Case, found: Sequence[float]) -> dict[str, Any]:
    """Return median and quartiles of the ratios (at least two), and whether the target is met."""
    low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
    return {
        "question": case.question,
        "ratio": round(middle, 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "target": case.target,
        "met": None if case.target is None else middle <= case.target,
        "repeats": len(found),
    }


def run(names: Sequence[str], size: Size, repeats: int) -> dict[str, Any]:
    """Run the cases by name, with progress on stderr; return what the JSON holds."""
    load = [os.getloadavg()[0]] if hasattr(os, "getloadavg") else []  # not on Windows
    results = {}
    # A number that is returned, such as a size in memory, needs few repeats.
    pairs = {
        name: min(repeats, 3) if CASES[name].returned else repeats * CASES[name].more
        for name in names
    }
    with tqdm(total=sum(pairs.values()), unit="pair", leave=False) as bar:
        for name in names:
            bar.set_description(name)
            case = CASES[name]
            ours, base = case.build(size)
            found = ratios(ours, base, pairs[name], returned=case.returned, after_each=bar.update)
            results[name] = summary(case, found)
            # Said at once, so that a run that is stopped has told what it knew.
            bar.write(f"{name}: {results[name]['ratio']:.3f}", file=sys.stderr)
            del ours, base  # two large networks at a time, not all of them
    load += [os.getloadavg()[0]] if load else []
    packages = ("torch", "torchvision")
    named = "" if list(names) == cases_for(size.device) else f"{' '.join(names)} "
    return {
        "device": device_name(size.device),
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
        "date": time.strftime("%Y-%m-%d"),
        "command": f"python benchmarks/bench.py {named}--repeats {repeats}",
        "load": [round(value, 1) for value in load],  # processes running, before and after
        "size": vars(size),
        "results": results,
    }


def joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return one record of both, in the order of the cases.

    Raises ValueError if they were measured on other devices, with other versions or sizes.
    """
    for name in ("device", "versions", "size"):
        if before[name] != after[name]:
            raise ValueError(f"{name} was {before[name]} before and is {after[name]} now")
    both = {**before["results"], **after["results"]}
    in_order = {name: both[name] for name in CASES if name in both}
    whole = list(in_order) == cases_for(after["size"]["device"])
    command = "python benchmarks/bench.py " + ("" if whole else f"{' '.join(in_order)} ")
    repeats = after["command"].rpartition(" ")[2]
    return {**after, "command": f"{command}--repeats {repeats}", "results": in_order}


def cases_for(device: str) -> list[str]:
    return [name for name, case in CASES.items() if device == "cuda" or not case.only_gpu]


def device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}), threads: {torch.get_num_threads()}"


def made_with(record: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"{record['device']}; {versions}"


def in_words(result: dict[str, Any]) -> tuple[str, str, str]:
    """Return ratio, quartiles and target of a result as text; no target is an empty one."""
    low, high = result["quartiles"]
    target = "" if result["target"] is None else f"{result['target']:.2f}"
    return f"{result['ratio']:.3f}", f"{low:.3f} to {high:.3f}", target


def table(record: dict[str, Any]) -> str:
    """Return the results as lines for people."""
    lines = [
        made_with(record),
        f"{'case':<14}{'what':<37}{'ratio':>7}{'quartiles':>16}{'target':>8}",
    ]
    for name, result in record["results"].items():
        ratio, quartiles, target = in_words(result)
        verdict = {True: "met", False: "MISSED", None: ""}[result["met"]]
        lines.append(
            f"{name:<14}{result['question']:<37}{ratio:>7}{quartiles:>16}{target or '-':>8}"
            f"  {verdict}".rstrip()
        )
    if len(record["load"]) == 2:
        before, after = record["load"]
        lines.append(f"processes running on {os.cpu_count()} cores: {before} before, {after} after")
    return "\n".join(lines)


def markdown(record: dict[str, Any]) -> str:
    """Return the results as the table that the book shows."""
    lines = ["| ours / the other | ratio | quartiles | at most |", "|---|---|---|---|"]
    for result in record["results"].values():
        ratio, quartiles, target = in_words(result)
        missed = " (missed)" if result["met"] is False else ""
        lines.append(f"| {result['question']} | {ratio}{missed} | {quartiles} | {target} |")
    return "\n".join(
        [
            *lines,
            "",
            f"{made_with(record)}; {record['date']}. Made by",
            "",
            "```text",
            record["command"],
            "```",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the module against its peers, in ratios.")
    add = parser.add_argument
    add("cases", nargs="*", metavar="CASE", help="names from --list (default: all for the device)")
    add("--list", action="store_true", help="say what the cases are and do nothing else")
    add("--device", choices=list(SIZES), help="default: cuda where there is one")
    add(
        "--repeats",
        type=int,
        default=15,
        metavar="N",
        help="pairs for each case, four times as many for short ones (default: 15)",
    )
    add("--threads", type=int, metavar="N", help="of PyTorch on the CPU (default: its own choice)")
    add("--add", action="store_true", help="keep the other cases of the file")
    add("--out", type=Path, metavar="FILE", help="default: benchmarks/results/DEVICE.json")
    options = parser.parse_args(arguments)
    if options.list:
        for name, case in CASES.items():
            bound = f", at most {case.target:.3g}" if case.target is not None else ""
            print(f"{name:<14}{case.question}{bound}{' (GPU)' if case.only_gpu else ''}")
        return 0
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}: choose from {', '.join(CASES)}")
    if options.repeats < 2:
        parser.error(f"--repeats must be at least 2, for the quartiles, got {options.repeats}")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    record = run(options.cases or cases_for(device), SIZES[device], options.repeats)
    print(table(record))
    path = options.out or RESULTS / f"{device}.json"
    if options.add and path.exists():
        record = joined(json.loads(path.read_text(encoding="utf-8")), record)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(record), encoding="utf-8")
    print(f"written to {path} and {path.with_suffix('.md').name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
