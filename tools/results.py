"""Run the book's measured experiments and write one record each to vgg_utils/records/.

    python tools/results.py              every experiment that has no record yet
    python tools/results.py digits_a     this one, anew

A record holds the settings, the seeds, each run's history, the device, the versions, the duration
and the command. The errors reported are those of the last epoch, never the best one.
"""

import argparse
import functools
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import sklearn
import torch

from vgg_utils.augment import random_shift
from vgg_utils.data import load_digits
from vgg_utils.model import VGGNet
from vgg_utils.train import fit

RECORDS = Path(__file__).resolve().parent.parent / "vgg_utils" / "records"

# Each experiment: what it asks, the seeds, and the variants that are compared. The seed chooses the
# split of the digits, the starting weights and the order of the images.
EXPERIMENTS = {
    "digits_a": {
        "question": "How well does configuration A classify unseen digits?",
        "data": "scikit-learn's 1,797 digits at 32x32: 1,297 to train on, 500 to test on",
        "seeds": [1, 2, 3, 4, 5],
        "variants": {
            "A with batch norm": {"layer_config": "A", "batch_norm": True},
            "A without batch norm": {"layer_config": "A", "batch_norm": False},
        },
        "model": {"width": 0.125, "pool_size": 1, "hidden_features": 512},
        "fit": {"epochs": 10, "batch_size": 32, "drop_at": [8]},
        "shift": 2,
    },
}


def run_once(experiment: dict, variant: dict, seed: int) -> dict:
    """Train one network from one seed; return its history and how long it took."""
    begin = time.perf_counter()
    data = load_digits(seed=seed)
    torch.manual_seed(seed)
    model = VGGNet(1, 10, **experiment["model"], **variant)
    paper_white = -data.mean.item()  # what is moved in from outside the image
    augment = functools.partial(random_shift, pixels=experiment["shift"], fill=paper_white)
    history = fit(model, data, augment=augment, seed=seed, **experiment["fit"])
    return {
        "seed": seed,
        "seconds": round(time.perf_counter() - begin, 1),
        "history": [{key: round(value, 4) for key, value in row.items()} for row in history],
    }


def run(name: str) -> dict:
    """Run all variants and seeds of an experiment; return the record."""
    experiment = EXPERIMENTS[name]
    variants = {}
    for label, variant in experiment["variants"].items():
        runs = []
        for seed in experiment["seeds"]:
            runs.append(run_once(experiment, variant, seed))
            error = runs[-1]["history"][-1]["test_error"]
            print(f"{name}: {label}, seed {seed}: {error:.1f}% error, {runs[-1]['seconds']} s")
        errors = [one["history"][-1]["test_error"] for one in runs]
        variants[label] = {
            "test_error_mean": round(statistics.mean(errors), 2),
            "test_error_sd": round(statistics.stdev(errors), 2),
            "runs": runs,
        }
    settings = {key: value for key, value in experiment.items() if key != "question"}
    return {
        "question": experiment["question"],
        "command": f"python tools/results.py {name}",
        "device": f"CPU ({platform.machine()}, {torch.get_num_threads()} thread)",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "date": time.strftime("%Y-%m-%d"),
        "settings": settings,
        "results": variants,
    }


def main() -> int:
    torch.set_num_threads(1)  # sums come out the same on any number of cores
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *EXPERIMENTS], help="default: all missing")
    names = parser.parse_args().names
    for name in names or [n for n in EXPERIMENTS if not (RECORDS / f"{n}.json").exists()]:
        record = run(name)
        (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"wrote vgg_utils/records/{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
