"""Make the runs that wait for a GPU, the most valuable first, in stages of under four minutes.

    python tools/gpu.py                          all that is owed
    python tools/gpu.py --minutes 9              begin no further run after 9 minutes
    python tools/gpu.py --state gpu.tar          go on from what that file holds, and keep it there
    python tools/gpu.py --list                   what there is, and what is done

A stage goes on where it was stopped. After three and a half minutes it begins no further run; one
run takes seconds, but some minutes with VGG-16 and with Imagenette. Data that isn't in data/ is
downloaded, the flowers excepted; the stage `airbench` needs its package. Records are written where
they belong: those of the experiments to vgg_utils/records, the benchmarks to benchmarks/results,
the rest to build/gpu. With --state all of it goes into one file as well, for a machine that
forgets.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import bench  # noqa: E402
import results  # noqa: E402
from experiments import EXPERIMENTS  # noqa: E402

OUT = ROOT / "build" / "gpu"
STAGE = 3.5  # minutes after which a stage begins no further run
DEVICE = "cuda"


class Stage(NamedTuple):
    """What it answers, whether that is done, and what does more of it, for so many minutes."""

    question: str
    done: Callable[[], bool]
    run: Callable[[float], None]


def command(name: str, *words: str) -> Stage:
    """Return a stage that is one command; its output is kept in build/gpu once it has succeeded."""
    kept = OUT / f"{name}.txt"

    def run(minutes: float) -> None:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
        print(done.stdout, done.stderr, sep="\n")
        if done.returncode:
            raise RuntimeError(f"{name} ended with {done.returncode}, see above")
        OUT.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout, encoding="utf-8")

    return Stage(" ".join(words), kept.exists, run)


def experiment(name: str) -> Stage:
    """Return a stage that makes runs of an experiment until its record is whole."""

    def done() -> bool:
        record = results.stored(name)
        return record is not None and not results.is_partial(name, record)

    def run(minutes: float) -> None:
        words = [name, "--jobs", "1", "--minutes", str(minutes), "--device", DEVICE]
        ended = results.main(words)
        if ended == results.STOPPED:
            raise KeyboardInterrupt
        if ended not in (0, results.MORE):
            raise RuntimeError(f"{name} failed, see above")

    return Stage(EXPERIMENTS[name].question, done, run)


def benchmarks() -> Stage:
    """Return a stage that measures speed, case by case."""

    def missing() -> list[str]:
        path, known = bench.RESULTS / f"{DEVICE}.json", {}
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))["results"]
        return [name for name in bench.cases_for(DEVICE) if name not in known]

    def run(minutes: float) -> None:
        until = time.monotonic() + 60 * minutes
        for name in missing():
            if time.monotonic() > until:
                return
            bench.main([name, "--device", DEVICE, "--add"])

    return Stage("How fast is the module beside its peers?", lambda: not missing(), run)


def stages() -> dict[str, Stage]:
    return {
        "tests": command("tests", "-m", "pytest", "-q", "-n0", "tests/test_gpu.py"),
        "speed": benchmarks(),
        "fast": experiment("fast_cifar10"),
        "airbench": command("airbench", "benchmarks/beside_airbench.py", "--seeds", "5"),
        "vgg16": experiment("vgg16_cifar10"),
        "depth": experiment("depth_cifar10"),
        "flowers": experiment("evaluation_flowers"),
        "photos": experiment("evaluation_photos"),
    }


def results_of() -> list[Path]:
    """Return all files and folders that a run on a GPU leaves."""
    own = [name for name, one in EXPERIMENTS.items() if one.device == DEVICE]
    records = [results.RECORDS / f"{name}.json" for name in own]
    parts = [results.PARTS / name for name in own]
    speed = [bench.RESULTS / f"{DEVICE}.{kind}" for kind in ("json", "md")]
    return [path for path in (*records, *parts, *speed, OUT) if path.exists()]


def save(state: Path) -> None:
    partial = state.with_name(state.name + ".partial")
    with tarfile.open(partial, "w") as archive:
        for path in results_of():
            archive.add(path, path.relative_to(ROOT))
    partial.replace(state)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the runs that wait for a GPU.")
    parser.add_argument("names", nargs="*", help="stages (default: all, in this order)")
    parser.add_argument("--list", action="store_true", help="say what there is and end")
    parser.add_argument("--minutes", type=float, default=1e9, help="for all of it")
    parser.add_argument("--state", type=Path, help="a file to go on from and to keep results in")
    options = parser.parse_args(arguments)
    if options.state and options.state.exists():
        with tarfile.open(options.state) as archive:
            archive.extractall(ROOT, filter="data")
    known = stages()
    if unknown := set(options.names) - set(known):
        parser.error(f"no stage {sorted(unknown)}: choose from {', '.join(known)}")
    if options.list:
        for name, stage in known.items():
            print(f"{name:10}{'done' if stage.done() else 'owed':6}{stage.question}")
        return 0
    until = time.monotonic() + 60 * options.minutes
    failed = []
    for name in options.names or known:
        stage = known[name]
        while not stage.done() and (left := (until - time.monotonic()) / 60) > 0:
            print(f"{name}: {stage.question}", flush=True)
            try:
                stage.run(min(STAGE, left))
            except Exception as error:  # the stages after this one are worth having
                failed.append(f"{name} ({error})")
                break
            finally:
                if options.state:
                    save(options.state)
    owed = [name for name in options.names or known if not known[name].done()]
    print(f"failed: {'; '.join(failed)}" if failed else f"owed: {', '.join(owed) or 'nothing'}")
    return 1 if failed or owed else 0


if __name__ == "__main__":
    sys.exit(main())
