"""Exercises on looking more than once (chapter 6)."""

from typing import Any

from vgg_utils.checks.base import a_number, exercise, look_up, numbers
from vgg_utils.configs import summarise, total


@numbers("6.1", "6.2", "6.4")
def _tables() -> str:
    high, wide = 480 // 32, 640 // 32  # the last map
    places = (high - 6) * (wide - 6)
    side, size = 512, 224
    step = (side - size) // 4
    crop, whole = total(summarise("D")).macs, total(summarise("D", 384)).macs
    dense = total(summarise("D", 384, dense=True)).macs
    return f"""
6.1 is {places}: Divide each side by 32, and count where a window of 7 fits along it.
  {high * wide}: That is the last map; the 7x7 window of fc6 must fit on it at each place.
  {(high - 7) * (wide - 7)}: One too few along each side: a window of 7 fits on a row of 7 once.
  {(high // 7) * (wide // 7)}: The windows overlap: they move by one unit of the map, not seven.
  {(480 - 223) * (640 - 223)}: The windows move by 32 pixels, the stride of five pools, not by one.
  {high - 6} or {wide - 6}: That is one side of the map; multiply by the other.
  {2 * places}: That counts the mirror image too; count the map of one image.
6.2 is {size - step}: Find the step between two starts, and take it from the width of a crop.
  {step}: That is the step from one crop to the next; the question is what both hold.
  {side - size}: That is the way from the first crop to the last; there are four steps in it.
  {size - (side - size) / 5}: Five crops have four steps between them, not five.
  {size - side / 5} or {size - side / 4}: The last crop begins 224 pixels before the edge, so the
    steps share 512 - 224.
  {size - (384 - size) // 4}: That is so at Q = 384; here it is 512.
  {(size - step) * size}: That is the area they share; give its width.
6.4 is {dense / crop} +- 0.051: Divide the sum for D at 384 with `dense=True` by that at 224.
  {whole / crop} +- 0.006: That applies fc6 to fc8 once; `dense=True` applies them at every place.
  {(384 / 224) ** 2}: That is the area, as the convolutions go; fc6 to fc8 work at 36 places.
  {36}: That would be 36 crops; the dense form shares the convolutions between windows.
  {2 * dense / crop}: That includes the mirror image; leave it out.
  {dense} or {crop}: Divide the whole image's multiply-accumulates by the crop's.
"""


@exercise("6.3")
def _neither_first(answer: Any) -> str | None:
    form = "Give a pair of posteriors, such as ([0.2, 0.5, 0.3], [0.1, 0.8, 0.1])."
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        return form
    pair = [entry.tolist() if hasattr(entry, "tolist") else entry for entry in answer]
    for values in pair:
        if not isinstance(values, list | tuple) or len(values) != 3:
            return form + " Each has three numbers."
        if not min(map(a_number, values)) >= 0 or not abs(sum(values) - 1) < 1e-3:
            return "A posterior's numbers are at least 0 and sum to 1."

    def first(values: Any) -> int | None:
        ranked = sorted(values)
        return list(values).index(ranked[-1]) if ranked[-1] - ranked[-2] > 1e-6 else None

    one, other = map(first, pair)
    winner = first([(a + b) / 2 for a, b in zip(*pair, strict=True)])
    table = f"""
6.3 is {None not in (winner, one, other) and winner not in (one, other)}: The average follows one of
    the two: raise the class that both have second.
  {winner is None}: The average has two highest classes; let one of them win.
  {None in (one, other)}: One of the networks has two first choices; let it decide.
  {one == other}: Both networks have the same first choice, so it wins. Give them different ones.
"""
    return look_up("6.3", table)
