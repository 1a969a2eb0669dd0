"""Exercises on the training loop: loss, error and how far to trust them (chapter 5)."""

import math
from typing import Any

from vgg_utils.checks.base import a_number, call, exercise, look_up, numbers


@numbers("5.1", "5.4")
def _tables() -> str:
    ln, log10, log2 = math.log(1000), math.log10(1000), math.log2(1000)
    p, n = 0.02, 500
    digit = math.sqrt(p * (1 - p))  # the spread of a single one
    points = 100 * digit / math.sqrt(n)
    gap = math.hypot(points, 100 * math.sqrt(0.01 * 0.99 / n))
    return f"""
5.1 is {ln} +- 0.014: Each of 1,000 classes gets the same probability; take minus its natural log.
  {log10}: The cross-entropy uses the natural logarithm, and this is the decimal one.
  {log2}: The cross-entropy uses the natural logarithm, and this is the binary one.
  {-ln}: The size is right and the sign is not: a loss is minus the logarithm.
  {math.log(10)}: That is the loss for ten classes.
5.4 is {points} +- 0.03: Put p = 0.02 and n = 500 into the formula, then multiply by 100.
  {points / 100} +- 0.0003: That is right as a share; in percentage points it is 100 times as much.
  {gap}: That is the standard error of the gap; first take that of the 2% alone.
  {100 * digit**2 / n}: That is the variance; take its square root before you multiply by 100.
  {100 * digit / n}: The 500 stands under the square root too.
  {100 * digit} or {digit}: That is the spread of one digit; divide by the square root of 500.
  {2 * points}: That is two standard errors; give one.
"""


@exercise("5.3")
def _top_k(answer: Any) -> str | None:
    import torch
    from sklearn.metrics import top_k_accuracy_score

    scores = torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 10
    one, five = (top_k_accuracy_score(labels, scores, k=k, labels=range(10)) for k in (1, 5))
    for k, share in ((1, one), (5, five)):
        got = call(answer, scores, labels, k, how=f"as answer(scores, labels, {k})")
        if got is None:
            return "The function returns None: end it with a return."
        if getattr(got, "shape", ()):
            return f"The result has shape {tuple(got.shape)}; take the mean, which is one number."
        error = 100 * (1 - share)
        table = f"""
5.3 is {error} +- 0.01: For k = {k} it gives {a_number(got):.2f} where {error:.2f} is right.
  {100 * share} +- 0.01: That is the accuracy; the error is what is left to 100.
  {1 - share} +- 0.0001: The share is right; multiply it by 100 for a percentage.
  {100 * (1 - one)} +- 0.01: It is right for k = 1, and k = 5 gives the same: use the k highest.
"""
        if complaint := look_up("5.3", table, got):
            return complaint
    return None
