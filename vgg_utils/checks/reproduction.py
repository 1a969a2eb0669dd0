"""Exercises on what five seeds can tell (lesson 9)."""

import math
from typing import Any

from vgg_utils.checks.base import Values, a_number, call, exercise
from vgg_utils.records import load_record

CASES = (  # changes by seed, and the paper's
    ([-2.0, -1.5, -0.9, -1.2, -1.4], -1.0),
    ([2.0, 1.5, 0.9, 1.2, 1.4], -1.0),
    ([-2.0, 1.5, -0.5, 0.4, 0.2], -1.0),
    ([0.1, 1.9, 0.2, 1.8, 0.9], 0.6),  # holds zero; with 1.96, or s over n, it would not
    ([-0.2, 2.2, -0.1, 2.1, 0.9], 0.6),  # holds zero; one standard error would not reach it
    ([-1.0, -2.0], -1.0),  # with two, t is 12.7
    ([-0.8, -1.2, -0.7, 0.2, -0.9, -1.3, -0.6, -1.1, -0.2, -0.9], 0.3),
)


@exercise("9.1")
def _verdict(answer: Any) -> Values:
    from scipy import stats

    for changes, paper in CASES:
        mean, error = sum(changes) / len(changes), stats.sem(changes)
        low, high = stats.t.interval(0.95, len(changes) - 1, loc=mean, scale=error)
        verdict = "agrees" if mean * paper > 0 else "disagrees"
        verdict = "cannot tell" if low <= 0 <= high else verdict
        case = {"changes": changes, "paper": paper, "low": low, "high": high, "verdict": verdict}
        got = call(answer, list(changes), paper, **case)
        if got != verdict:
            return {"got": got, **case}
    return {"right": True}


@exercise("9.2")
def _seeds_for_a_margin(answer: object) -> Values:
    from scipy import stats

    values = a_number(answer)
    seeds = max(values["number"], 2)  # of fewer the text speaks without a margin
    return {**values, "margin": stats.t.ppf(0.975, seeds - 1) * 1.5 / math.sqrt(seeds)}


@exercise("9.3")
def _gain_of_the_best_epoch(answer: object) -> Values:
    runs = load_record("initialisation")["results"]["D, Xavier, pixels x57"]["runs"]
    errors = [[row["test_error"] for row in run["history"]] for run in runs]  # by seed and epoch
    return {
        **a_number(answer),
        "last": sum(each[-1] for each in errors) / len(errors),
        "best": sum(map(min, errors)) / len(errors),
        "most": max(each[-1] - min(each) for each in errors),
    }
