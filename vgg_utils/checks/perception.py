"""Exercises on a style's Gram matrix and on a folded block (lesson 13)."""

from typing import Any

from vgg_utils.checks.base import NotYet, Values, a_number, exercise


@exercise("13.2")
def _gram_of_two_channels(answer: Any) -> Values:
    import torch

    try:
        maps = torch.as_tensor(answer).double()
    except (TypeError, ValueError, RuntimeError):
        raise NotYet({"no_maps": True}) from None
    if maps.shape != (2, 2, 2) or not maps.isfinite().all():
        return {"no_maps": True}
    rows = maps.flatten(1)
    g11, g12, _, g22 = (rows @ rows.T / 4).flatten().mul(1e4).round().div(1e4).tolist()
    return {
        **{"g11": g11, "g12": g12, "g22": g22, "negative": bool((maps < 0).any())},
        "summed": (g11, g12, g22) == (0.125, 0.0625, 0.125),
        "right": (g11, g12, g22) == (0.5, 0.25, 0.5) and not (maps < 0).any(),
    }


@exercise("13.4")
def _folded_by_hand(answer: Any) -> Values:
    if hasattr(answer, "tolist"):
        answer = answer.tolist()
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        return {"no_pair": True}
    weight, bias = (a_number(value)["number"] for value in answer)

    def near(wanted_weight: float, wanted_bias: float) -> bool:
        return abs(weight - wanted_weight) < 0.01 and abs(bias - wanted_bias) < 0.01

    return {
        **{"near": near, "right": near(8, -10), "swapped": near(-10, 8)},
        **{"weight": near(8, bias), "bias": near(weight, -10)},
    }
