"""Exercises on the paper's tables (lesson 1)."""

import math
from typing import Any

from vgg_utils.checks.base import Values, a_number, exercise
from vgg_utils.records import load_record


@exercise("1.1")
def _greatest_gain_from_jitter(answer: Any) -> Values:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return {"no_pair": True}
    net, points = answer
    if isinstance(points, str) and not isinstance(net, str):
        return {"turned": True}
    if net not in ("C", "D", "E"):
        return {"other_net": True}

    def gain(key: str = "top5_val", table: str = "table3", scale: str = "384") -> float:
        rows = load_record("paper")[table]["rows"]
        errors = {row["train_S"]: float(row[key]) for row in rows if row["config"] == net}
        return errors[scale] - errors["[256;512]"]

    return {
        **a_number(points),
        "net": net,
        "gain": gain(),
        "top1": gain("top1_val"),
        "from_256": gain(scale="256"),
        "table4": gain(table="table4"),
    }


@exercise("1.3")
def _single_nets_better_than_seven(answer: Any) -> Values:
    try:
        given = {(config, evaluation) for config, evaluation in answer}
    except (TypeError, ValueError):
        return {"no_pairs": True}
    rows, fused = (load_record("paper")[table]["rows"] for table in ("table5", "table6"))
    (seven,) = (row for row in fused if row["stage"] == "ILSVRC submission")

    def below(bound: float, key: str = "top5_val") -> set[tuple[str, str]]:
        return {(row["config"], row["evaluation"]) for row in rows if row[key] < bound}

    return {
        "given": given,
        "turned": given & {(row["evaluation"], row["config"]) for row in rows},
        "nets": below(math.inf),
        "right": below(seven["top5_val"]),
        "with_equal": below(math.nextafter(seven["top5_val"], math.inf)),
        "by_test": below(seven["top5_test"]),
        "test": seven["top5_test"],
        "by_top1": below(seven["top1_val"], "top1_val"),
    }
