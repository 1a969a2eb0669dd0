"""Exercises on boxes (chapter 8)."""

import math

from vgg_utils.checks.base import numbers
from vgg_utils.configs import summarise


@numbers("8.1", "8.2")
def _tables() -> str:
    third = (1 - 1 / 2) / (1 + 1 / 2)  # boxes of width 1 share 1 - shift and cover 1 + shift
    others = "\n".join(
        f"  {s / 100} +- 0.005: At this shift the IoU is {(100 - s) / (100 + s):.2f}, and not 0.50."
        for s in range(1, 100)
    )
    fc8 = summarise("D")[-1]
    (classes,) = fc8.output_shape
    each = fc8.parameters // classes  # weights and bias of an output
    return f"""
8.1 is {third}: Set (shared area) / (area covered together) equal to 1/2, with a box of width 1.
  {1 / 2}: They share half of a box, but together they cover one and a half: the IoU is 1/3.
  {1 - math.sqrt(1 / 2)}: The box moves to the right only; this shifts it in both directions.
  {1 - third}: That is the share of a box that both cover; how far has it moved?
{others}
8.2 is {4 * (classes - 1) * each}: Count (outputs of PCR - outputs of SCR) times (weights + bias).
  {4 * (classes - 1) * (each - 1)}: Those are the weights; add the biases, one for each output.
  {4 * classes * each}: That is the whole layer of PCR; subtract SCR's.
  {-4 * (classes - 1) * each}: The size is right; PCR has more, so the difference is positive.
  {(classes - 1) * each}: A box is four numbers, so there are four outputs for each class.
  {3 * classes * each}: That is compared with the classifier's last layer; compare with SCR's.
"""
