"""Exercises on what five seeds can tell (chapter 7)."""

import math
from typing import Any

from vgg_utils.checks.base import call, exercise, numbers
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


@exercise("7.1")
def _verdict(answer: Any) -> str | None:
    from scipy import stats

    for changes, paper in CASES:
        mean, error = sum(changes) / len(changes), stats.sem(changes)
        low, high = stats.t.interval(0.95, len(changes) - 1, loc=mean, scale=error)
        right = "agrees" if mean * paper > 0 else "disagrees"
        right = "cannot tell" if low <= 0 <= high else right
        case = f"the changes {changes} and the paper's {paper}"
        got = call(answer, list(changes), paper, how=f"with {case}")
        if got != right:
            bounds = f"Their mean lies between {low:.2f} and {high:.2f} at 95%"
            return f"For {case} it says {got!r}. {bounds}, so it should say {right!r}."
    return None


@numbers("7.2", "7.3")
def _tables() -> str:
    from scipy import stats

    counts = range(2, 1000)
    t = {n: float(stats.t.ppf(0.975, n - 1)) for n in counts}
    margins = {n: 1.5 * t[n] / math.sqrt(n) for n in counts}
    seeds = next(n for n in counts if margins[n] < 0.8)
    normal, of_five = (
        next(n for n in counts if 1.5 * q / math.sqrt(n) < 0.8) for q in (1.96, 2.78)
    )
    others = "\n".join(
        f"  {n}: With {n} seeds the margin is {margins[n]:.2f} points." for n in counts
    )

    runs = load_record("initialisation")["results"]["D, Xavier, pixels x57"]["runs"]
    errors = [[row["test_error"] for row in run["history"]] for run in runs]  # by seed and epoch
    last, best = (sum(map(of, errors)) / len(errors) for of in (lambda each: each[-1], min))
    most = max(each[-1] - min(each) for each in errors)
    return f"""
7.2 is {seeds}: Give a whole number of seeds, at least 2.
  {normal}: That is with 1.96 for every n. Student's t is larger, and depends on n.
  {of_five}: 2.78 is t for five seeds; with more seeds t is smaller.
  {seeds - 1}: With one more seed the margin falls below 0.8 for the first time.
{others}
7.3 is {last - best} +- 0.006: For each seed: its last error less its lowest one. Then the mean.
  {best - last}: The size is right; the best epoch is lower, so last less best is not negative.
  {most}: That is the largest of the five gains; take their mean.
  {last}: That is the mean error of the last epoch; subtract that of each seed's best epoch.
  {best}: That is the mean error of the best epochs; subtract it from that of the last ones.
"""
