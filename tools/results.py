"""Run the book's measured experiments; each writes one record to vgg_utils/records/.

    python tools/results.py --list          what there is, and what has no record yet
    python tools/results.py                 all for this device that take 45 minutes at most, anew
    python tools/results.py digits_a        this one
    python tools/results.py --missing       those without a record
    python tools/results.py --long          those of more than 45 minutes too
    python tools/results.py --seeds 5 depth_photographs
                                            its first five seeds, and the others another time
    python tools/results.py --pilot depth_photographs
                                            with seeds that do not count, to experiments/pilot
    python tools/results.py --device cuda --missing
                                            what waits for a GPU; see tools/gpu.py

A run that is stopped goes on where it was. All variants are run from the first seeds before the
next ones, and the record is written anew whenever a seed is through; the runs of one that has begun
wait in tools/experiments/begun, for this machine or, committed, another. A record with fewer seeds
than its experiment is gone on with; a whole one is made anew, but for `--missing`. It holds the
question, the settings, every seed's outcome with mean and standard deviation, when the test set was
looked at, the device, the versions, the duration and the command.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import multiprocessing
import os
import platform
import re
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

# One thread a run, several runs at a time: sums come out the same on any number of cores.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from experiments import EXPERIMENTS
from experiments.base import Experiment
from tqdm import tqdm

import vgg_utils
from vgg_utils.checkpoint import write_atomically

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "vgg_utils" / "records"
PARTS = ROOT / "tools" / "experiments" / "begun"
PILOT = ROOT / "tools" / "experiments" / "pilot"
MORE = 3  # exit status: stopped for time, and there is more to do
STOPPED = 130  # exit status: by Ctrl-C
LONG = 45  # minutes of one core; what takes more is run by name, or with --long
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")
# Digits can be expected to come out again only where this is the same.
MADE_WITH = f"vgg_utils {vgg_utils.__version__}; random numbers of `fit` from (seed, epoch, step)"


def settings_of(experiment: Experiment, variant: str) -> dict[str, Any]:
    """Return a variant's settings over the common ones, as JSON gives them back."""
    merged = {**experiment.common, **experiment.variants[variant]}
    return json.loads(json.dumps(merged))


def run_part(name: str, variant: str, seed: int, folder: Path) -> tuple[str, int, dict[str, Any]]:
    """Make one run and store its outcome; return it with what it belongs to."""
    experiment = EXPERIMENTS[name]
    torch.set_num_threads(experiment.threads)
    settings = settings_of(experiment, variant)
    begin = time.perf_counter()
    outcome = experiment.run(settings, seed, folder)
    outcome = {"seed": seed, "seconds": round(time.perf_counter() - begin, 1), **rounded(outcome)}
    path = part_path(name, variant, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = json.dumps({"settings": settings, "made_with": made_with(), "outcome": outcome})
    write_atomically(path, lambda file: file.write(part.encode()))
    return variant, seed, outcome


def rounded(value: Any) -> Any:
    """Return nested lists and dicts with floats cut to four decimals, as a record keeps them."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return value


def part_path(name: str, variant: str, seed: int) -> Path:
    return PARTS / name / f"{re.sub(r'[^a-zA-Z0-9]+', '_', variant)}-{seed}.json"


def finished(name: str, variant: str, seed: int) -> dict[str, Any] | None:
    """Return the outcome of a run made before with these very settings and versions, or None."""
    path = part_path(name, variant, seed)
    if not path.exists():
        return None
    try:
        part = json.loads(path.read_text(encoding="utf-8"))
        same = part["settings"] == settings_of(EXPERIMENTS[name], variant)
        return part["outcome"] if same and part["made_with"] == made_with() else None
    except (ValueError, KeyError, TypeError) as error:
        print(f"{path} can't be read ({error!r}), so this run is made again")
        return None


def stored(name: str) -> dict[str, Any] | None:
    path = RECORDS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def is_partial(name: str, record: dict[str, Any]) -> bool:
    """Say whether a record holds only some of its experiment's seeds."""
    return set(record["settings"]["seeds"]) < set(EXPERIMENTS[name].seeds)


def joins(record: dict[str, Any]) -> bool:
    """Say whether runs made here can join those of a record: they need the same versions."""
    return {**record["versions"], "made_with": record["made_with"]} == made_with()


def from_record(name: str) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the runs of a partial record whose settings have not changed, by variant and seed.

    Raises ValueError if it was made with other versions.
    """
    record = stored(name)
    if record is None or not is_partial(name, record):
        return {}
    if not joins(record):
        raise ValueError(
            f"vgg_utils/records/{name}.json holds some of the seeds, made with "
            f"{record['versions']}, {record['made_with']}; here they are {versions()}, {MADE_WITH}."
            " Install those versions to go on with it, or remove the file to begin anew"
        )
    settings, experiment = record["settings"], EXPERIMENTS[name]
    return {
        (variant, outcome["seed"]): outcome
        for variant, result in record["results"].items()
        if variant in experiment.variants
        and {**settings["common"], **settings["variants"][variant]}
        == settings_of(experiment, variant)
        for outcome in result["runs"]
    }


def in_order(variants: Sequence[str], seeds: Sequence[int], jobs: int) -> list[tuple[str, int]]:
    """Return all runs, as many seeds at a time as there are jobs, so that the first end early."""
    blocks = [seeds[begin : begin + jobs] for begin in range(0, len(seeds), jobs)]
    return [(variant, seed) for block in blocks for variant in variants for seed in block]


class OutOfTime(Exception):
    """There is more to run than the time allows; what is done is kept."""


def run(
    name: str,
    folder: Path,
    jobs: int,
    *,
    pilot: bool = False,
    until: float = math.inf,
    first: int | None = None,
) -> dict[str, Any]:
    """Run what is not there yet of an experiment's variants and (`first`) seeds; return the record.

    On the way the record of the seeds that are through is stored; of a pilot it is not. Raises
    OutOfTime if a run has ended after `until`, by time.monotonic, and it was not the last.
    """
    experiment = EXPERIMENTS[name]
    seeds = (experiment.pilot if pilot else experiment.seeds)[:first]
    variants = list((pilot and experiment.pilot_variants) or experiment.variants)
    before = {} if pilot else from_record(name)
    wanted = [
        (variant, seed)
        for variant, seed in in_order(variants, seeds, jobs)
        if seed in experiment.seeds_of(variant, seeds)
    ]
    found = {pair: before.get(pair) or finished(name, *pair) for pair in wanted}
    outcomes = {pair: outcome for pair, outcome in found.items() if outcome is not None}
    missing = [pair for pair in wanted if pair not in outcomes]
    bar = tqdm(total=len(wanted), initial=len(outcomes), desc=name, unit="run")
    with bar:
        for variant, seed, outcome in run_parts(name, missing, folder, jobs):
            outcomes[variant, seed] = outcome
            shown = {key: round(value, 2) for key, value in list(outcome["measures"].items())[:3]}
            bar.write(f"{name}: {variant}, seed {seed}: {shown}, {outcome['seconds']} s")
            bar.update()
            waiting = {pair[1] for pair in wanted if pair not in outcomes}
            through = [one for one in seeds if one not in waiting]
            old = stored(name)
            # A whole record is not given up for one that has begun.
            # One seed has no spread, so there is nothing yet to judge by.
            new = seed in through and len(through) > 1
            if new and not pilot and (old is None or is_partial(name, old)):
                store(name, record_of(name, variants, through, outcomes))
            if time.monotonic() > until and len(outcomes) < len(wanted):
                raise OutOfTime
    return record_of(name, variants, seeds, outcomes)


def record_of(
    name: str,
    variants: Sequence[str],
    seeds: Sequence[int],
    outcomes: dict[tuple[str, int], dict[str, Any]],
) -> dict[str, Any]:
    """Return the record of these seeds."""
    experiment = EXPERIMENTS[name]
    results = {
        variant: summary([outcomes[variant, seed] for seed in experiment.seeds_of(variant, seeds)])
        for variant in variants
    }
    return {
        "question": experiment.question,
        "paper": experiment.paper,
        "data": experiment.data,
        "test_set": experiment.test_set,
        "command": f"python tools/results.py {name}",
        "device": device_name(experiment),
        "versions": versions(),
        "made_with": MADE_WITH,
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(sum(run["seconds"] for one in results.values() for run in one["runs"])),
        "settings": {
            "seeds": list(seeds),
            "common": experiment.common,
            "variants": experiment.variants,
        },
        "results": results,
    }


def run_parts(
    name: str, missing: list[tuple[str, int]], folder: Path, jobs: int
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Make the missing runs, `jobs` at a time, and give each as it ends."""
    if jobs == 1 or len(missing) < 2:
        for pair in missing:
            yield run_part(name, *pair, folder)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(missing)), mp_context=spawn) as pool:
        futures = [pool.submit(run_part, name, *pair, folder) for pair in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation of every measure over the seeds, and the runs."""
    found: dict[str, Any] = {}
    for measure in runs[0]["measures"]:
        values = [run["measures"][measure] for run in runs]
        found[f"{measure}_mean"] = statistics.mean(values)
        found[f"{measure}_sd"] = statistics.stdev(values) if len(values) > 1 else None
    return {**rounded(found), "runs": runs}


def device_name(experiment: Experiment) -> str:
    if experiment.device == "cuda":
        return torch.cuda.get_device_name()
    threads = f"{experiment.threads} thread{'s' * (experiment.threads > 1)}"
    return f"CPU ({platform.machine()}, {threads})"


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[str], int]:
    """Return a line for each mean that lies further from the stored one than the larger sd.

    And how many means there were to compare.
    """
    lines, compared = [], 0
    for variant, old in before["results"].items():
        new = after["results"].get(variant, {})
        for key in old:
            measure = key.removesuffix("_mean")
            if measure == key or key not in new:
                continue
            compared += 1
            spread = max(old[f"{measure}_sd"] or 0, new[f"{measure}_sd"] or 0)
            if abs(new[key] - old[key]) > spread:
                lines.append(
                    f"{variant}, {measure}: {old[key]:.2f} before, {new[key]:.2f} now,"
                    f" sd {spread:.2f}"
                )
    return lines, compared


def versions() -> dict[str, str]:
    installed = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version(), **installed}


def made_with() -> dict[str, str]:
    """Return what has to be the same for runs to stand in one record."""
    return {**versions(), "made_with": MADE_WITH}


def store(name: str, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(RECORDS / f"{name}.json", lambda file: file.write(text.encode()))


def write(name: str, record: dict[str, Any]) -> None:
    """Store a record, say how it differs from the one before, and drop the parts it is made of."""
    before = stored(name)
    if before is not None and before["settings"]["seeds"] == record["settings"]["seeds"]:
        lines, means = differences(before, record)
        for line in lines:
            print(f"  beyond the spread: {line}")
        print(f"{name}: {means - len(lines)} of {means} means lie within the spread of before")
    store(name, record)
    shutil.rmtree(PARTS / name, ignore_errors=True)
    print(f"wrote vgg_utils/records/{name}.json")


def write_pilot(name: str, record: dict[str, Any]) -> None:
    """Store what no page may read: the spread decides how many seeds the claims get.

    The parts that it's made of go, and those of the seeds that count stay.
    """
    PILOT.mkdir(parents=True, exist_ok=True)
    (PILOT / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for variant in record["results"]:
        for seed in record["settings"]["seeds"]:
            part_path(name, variant, seed).unlink(missing_ok=True)
    print(f"wrote tools/experiments/pilot/{name}.json; see python tools/claims.py --pilot")


def time_needed(
    names: Sequence[str], jobs: int | None, pilot: bool, first: int | None = None
) -> str:
    """Return a line an experiment with the time it takes, roughly, if none of it is done yet."""
    lines = []
    for name in names:
        one = EXPERIMENTS[name]
        share = min(first or math.inf, len(one.seeds)) / len(one.seeds)
        if pilot:
            some = len(one.pilot_variants or one.variants) / len(one.variants)
            share = some * len(one.pilot) / len(one.seeds)
        at_once = runs_at_once(one, jobs)
        minutes = one.minutes * share / at_once
        shown = f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
        lines.append(f"{name}: about {shown}, {at_once} run{'s' * (at_once > 1)} at a time")
    return "\n".join(lines)


def runs_at_once(experiment: Experiment, jobs: int | None) -> int:
    if experiment.threads > 1:
        return 1
    return jobs or (1 if experiment.device == "cuda" else os.cpu_count() or 1)


def overview(name: str, record: dict[str, Any]) -> str:
    """Return a line per variant with its first measures, mean and standard deviation."""
    lines = [f"{name}: {record['question']} ({record['device']}, {record['seconds']} s)"]
    for variant, result in record["results"].items():
        measures = list(result["runs"][0]["measures"])
        shown = []
        for measure in measures[:4]:
            mean, sd = result[f"{measure}_mean"], result[f"{measure}_sd"]
            shown.append(f"{measure} {mean:.2f}" + (f" ± {sd:.2f}" if sd is not None else ""))
        more = [f"and {len(measures) - 4} more"] if len(measures) > 4 else []
        lines.append(f"  {variant}: {', '.join(shown + more)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Run the book's measured experiments. Stopped, it goes on where it was."
    )
    parser.add_argument("names", nargs="*", help="default: every experiment for this device")
    parser.add_argument("--list", action="store_true", help="list the experiments and end")
    parser.add_argument("--missing", action="store_true", help="only those without a record")
    parser.add_argument("--long", action="store_true", help="also what takes over 45 minutes")
    parser.add_argument("--pilot", action="store_true", help="with the seeds that do not count")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="for downloads")
    parser.add_argument("--seeds", type=int, help="no more than the first so many, for now")
    parser.add_argument("--minutes", type=float, default=math.inf, help="then begin no other run")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a core, one a GPU)")
    options = parser.parse_args(arguments)
    if options.list:
        for name, experiment in EXPERIMENTS.items():
            record = stored(name)
            there = "recorded" if record else "no record"
            if record and is_partial(name, record):
                there = f"{len(record['settings']['seeds'])} of {len(experiment.seeds)} seeds"
                there += "" if joins(record) else ", other versions"
            takes = f"{experiment.minutes:g} min on {experiment.device}"
            print(f"{name:30}{there:31}{takes:18}{experiment.question}")
        return 0
    unknown = set(options.names) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"no experiment {sorted(unknown)}: choose from {', '.join(EXPERIMENTS)}")
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    names = options.names or [
        name
        for name, one in EXPERIMENTS.items()
        if one.device == device and (options.long or device == "cuda" or one.minutes <= LONG)
    ]
    if options.pilot and (without := [name for name in names if not EXPERIMENTS[name].pilot]):
        parser.error(f"there are no seeds for a pilot of {', '.join(without)}: name others")
    if options.missing:
        known = {name: stored(name) for name in names}
        names = [name for name, one in known.items() if one is None or is_partial(name, one)]
    on_gpu = [name for name in names if EXPERIMENTS[name].device == "cuda"]
    if on_gpu and not torch.cuda.is_available():
        parser.error(f"PyTorch finds no NVIDIA GPU here; it is needed for {', '.join(on_gpu)}")
    print(time_needed(names, options.jobs, options.pilot, options.seeds))
    until = time.monotonic() + 60 * options.minutes
    done, failed = [], []
    for name in names:
        jobs = runs_at_once(EXPERIMENTS[name], options.jobs)
        try:
            before = stored(name)
            if options.seeds and before and len(before["settings"]["seeds"]) >= options.seeds:
                print(f"{name} has its first {options.seeds} seeds")
                continue
            how = {"pilot": options.pilot, "until": until, "first": options.seeds}
            record = run(name, options.data_dir, jobs, **how)
            (write_pilot if options.pilot else write)(name, record)
            done.append(overview(name, record))
        except OutOfTime:
            print(f"no time left for more of {name}; the same command goes on with it")
            return MORE
        except KeyboardInterrupt:
            print(f"\nstopped; the same command goes on with {name}")
            return STOPPED
        except Exception:  # whatever it is, the experiments after this one are worth having
            traceback.print_exc()
            failed.append(name)
    print("\n\n".join(["", *done]) if done else "nothing was measured")
    if failed:
        print(f"\nfailed, see above; what they finished is kept: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
