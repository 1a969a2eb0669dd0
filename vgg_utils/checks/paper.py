"""Exercises on the paper's tables (chapter 1)."""

import math
from typing import Any

from vgg_utils.checks.base import a_number, exercise, look_up, numbers
from vgg_utils.records import load_record

JITTER = "[256;512]"


def errors(table: str, key: str = "top1_val", **wanted: Any) -> float:
    """Return an error of the first row of a table of the paper with the wanted fields, percent."""
    rows: list[dict[str, Any]] = load_record("paper")[table]["rows"]
    return next(float(row[key]) for row in rows if all(row[k] == v for k, v in wanted.items()))


@numbers("1.2", "1.4")
def _tables() -> str:
    def share(first: str = "B", key: str = "top1_val") -> float:
        """Return the fall from one net to C as a share of that to D."""
        start, c, d = (
            errors("table3", key, config=net, train_S="256") for net in (first, "C", "D")
        )
        return (start - c) / (start - d)

    half = share()
    b, c, d = (errors("table3", config=net, train_S="256") for net in "BCD")

    sizes = load_record("paper")["training"]["dataset"]["value"]
    images, tested = (1000 * int(sizes[part].removesuffix("K")) for part in ("val", "test"))
    pair = {"stage": "post-submission", "evaluation": "multi-crop & dense"}
    single, wrong = errors("table3", config="E", train_S=JITTER), errors("table6", **pair)

    def more(table: str, config: str, key: str = "top1_val") -> float:
        """Return by how many images of the validation set the pair does better than a net."""
        points = errors(table, key, config=config, train_S=JITTER) - errors("table6", key, **pair)
        return points / 100 * images

    right = round(more("table3", "E"))
    return f"""
1.2 is {half} +- 0.006: Divide the fall in top-1 error from B to C by that from B to D, at S = 256.
  {half} +- 0.055: Close: give two decimals.
  {1 - half}: That is the share of the second half, from C to D; take that from B to C.
  {share(key="top5_val")}: That is so for top-5 error; the question is about top-1.
  {share("A")}: That starts at A; the question is about the step from B to D.
  {half / (1 - half)}: That compares the two parts; divide by the whole, from B to D.
  {b - c} or {b - d}: That is a fall in points; divide that from B to C by that from B to D.
1.4 is {right}: Take the difference of the two errors, as a share of all validation images.
  {right - 1}: One too few: round to the nearest whole number, do not cut.
  {right / images} or {100 * right / images}: That is a share of the images; give their count.
  {100 * right}: The errors are in per cent, so divide by 100.
  {right / images * tested}: That is out of the test set; the errors are on validation, {images:,}.
  {more("table3", "E", "top5_val")}: That is so for top-5 error; the question is about top-1.
  {more("table3", "D")}: That compares the pair with D, not E.
  {more("table4", "E")}: That compares the pair with E at three test scales; take it at one.
  {right * 100 / single}: That takes the errors of E as the whole; both are shares of all images.
  {wrong / 100 * images} or {images - wrong / 100 * images}: That is the pair alone; compare with E.
"""


@exercise("1.1")
def _greatest_gain_from_jitter(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return 'The answer should be a pair, (configuration, points), such as ("A", 0.3).'
    config, points = answer
    if isinstance(points, str) and not isinstance(config, str):
        return "The pair is turned round: the configuration comes first, then the points."
    if config not in ("C", "D", "E"):
        return "Choose among C, D and E: only these were trained at 384 and with jitter."

    def gain(net: str, key: str = "top5_val", table: str = "table3", scale: str = "384") -> float:
        before, after = (errors(table, key, config=net, train_S=s) for s in (scale, JITTER))
        return before - after

    best = max("CDE", key=gain)
    share = gain(config) / errors("table3", "top5_val", config=config, train_S="384")
    right = gain(config) if config == best else math.nan
    table = f"""
1.1 is {right}: For each net subtract the top-5 error with jitter from that at 384, both in Table 3.
  {gain(best)}: These points are right, but they are not {config}'s.
  {-gain(config)}: The sign is turned: a fall in error is a gain.
  {gain(config)}: That is what {config} gains, but another net gains more.
  {gain(config, "top1_val")}: That is the gain in top-1 error; the question is about top-5.
  {gain(config, scale="256")}: That starts at S = 256; compare with the net of S = 384.
  {gain(config, table="table4")}: That is from Table 4, with three test scales; Table 3 has one.
  {share} or {100 * share}: That is a share of the error; give the difference of the two, in points.
"""
    return look_up("1.1", table, a_number(points))


@exercise("1.3")
def _single_nets_better_than_seven(answer: Any) -> str | None:
    if not isinstance(answer, list | tuple | set) or not all(
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        for pair in answer
    ):
        return 'Give a list of pairs, [("D", "dense"), ...], written as in the record.'
    rows = load_record("paper")["table5"]["rows"]
    top1, top5, test = (
        errors("table6", key, stage="ILSVRC submission")
        for key in ("top1_val", "top5_val", "top5_test")
    )

    def below(bound: float, key: str = "top5_val") -> set[tuple[str, str]]:
        return {(row["config"], row["evaluation"]) for row in rows if row[key] < bound}

    given, right, nets = {tuple(pair) for pair in answer}, below(top5), below(math.inf)
    turned = {(evaluation, config) for config, evaluation in nets}
    equal = below(math.nextafter(top5, math.inf))
    table = f"""
1.3 is {given == right}: Compare top5_val of each row of Table 5 with the submission's in Table 6.
  {bool(given & turned)}: In a pair turned round, the evaluation comes first; put it second.
  {not given <= nets}: Choose among the rows of Table 5, such as {min(nets)}.
  {given == equal}: Some of these are equal to the seven; lower means strictly lower.
  {given == below(test)}: {test} is the test error of the seven; compare on validation.
  {given == below(top1, "top1_val")}: That is so for top-1 error; compare the top-5 error.
  {given == nets - right}: Those are the ones that do not beat the seven; name the others.
  {bool(given) and given < right}: These do beat the seven, but some are missing: name all of them.
"""
    return look_up("1.3", table)
