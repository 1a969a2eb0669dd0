"""Exercises on the paper's tables (chapter 1)."""

import math
from typing import Any

from vgg_utils.checks.base import Values, a_number, exercise
from vgg_utils.records import load_record

JITTER = "[256;512]"


def errors(table: str, key: str = "top1_val", **wanted: Any) -> float:
    """Return an error of the first row of a table of the paper with the wanted fields, percent."""
    rows: list[dict[str, Any]] = load_record("paper")[table]["rows"]
    return next(float(row[key]) for row in rows if all(row[k] == v for k, v in wanted.items()))


@exercise("1.1")
def _greatest_gain_from_jitter(answer: Any) -> Values:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return {"no_pair": True}
    net, points = answer
    if isinstance(points, str) and not isinstance(net, str):
        return {"turned": True}
    if net not in ("C", "D", "E"):
        return {"other_net": True}

    def gain(net: str, key: str = "top5_val", table: str = "table3", scale: str = "384") -> float:
        before, after = (errors(table, key, config=net, train_S=s) for s in (scale, JITTER))
        return before - after

    best = max("CDE", key=gain)
    return {
        **a_number(points),
        "right": gain(net) if net == best else math.nan,
        "net": net,
        "gain": gain(net),
        "greatest": gain(best),
        "top1": gain(net, "top1_val"),
        "from_256": gain(net, scale="256"),
        "table4": gain(net, table="table4"),
        "before": errors("table3", "top5_val", config=net, train_S="384"),
    }


@exercise("1.3")
def _single_nets_better_than_seven(answer: Any) -> Values:
    if not isinstance(answer, list | tuple | set) or not all(
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        for pair in answer
    ):
        return {"no_pairs": True}
    rows = load_record("paper")["table5"]["rows"]
    top1, top5, test = (
        errors("table6", key, stage="ILSVRC submission")
        for key in ("top1_val", "top5_val", "top5_test")
    )

    def below(bound: float, key: str = "top5_val") -> set[tuple[str, str]]:
        return {(row["config"], row["evaluation"]) for row in rows if row[key] < bound}

    given, right, nets = {tuple(pair) for pair in answer}, below(top5), below(math.inf)
    return {
        "given": given,
        "right": right,
        "turned": given & {(evaluation, config) for config, evaluation in nets},
        "nets": nets,
        "example": min(nets),
        "with_equal": below(math.nextafter(top5, math.inf)),
        "by_test": below(test),
        "test": test,
        "by_top1": below(top1, "top1_val"),
    }
