"""The exercise on how many 3x3 layers see as far as one large window (chapter 2)."""

from vgg_utils.checks.base import Values, a_number, exercise


@exercise("2.3")
def _layers_for_31_pixels(answer: object) -> Values:
    values = a_number(answer)
    layers = round(values["number"])
    return {**values, "layers": layers, "seen": 1 + 2 * layers}
