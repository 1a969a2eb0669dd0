"""The exercise on how far a box may be off (chapter 8)."""

from vgg_utils.checks.base import Values, a_number, exercise


@exercise("8.1")
def _shift_at_half(answer: object) -> Values:
    values = a_number(answer)
    shift = values["number"]
    return {**values, "iou": (1 - shift) / (1 + shift)} if shift > 0 else values
