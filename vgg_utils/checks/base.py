"""What the lessons' checks share: the list of exercises, and help to judge numbers and functions.

A check is a table in words: the exercise with its right value and what to say if nothing else fits,
then a row for each usual mistake. The values come from the lesson's arithmetic.

    2.5 is {1 + 2 * 2}: Each of the two layers adds 2 pixels.
      {2 * 2} or {1 + 2}: A unit sees 1 pixel before any layer, then 3, then 5.
      {5 / 7} +- 0.1: That is a share of the image; give the number of pixels.

An answer meets a whole number exactly, another to within 2%, `+- 0.1` to within 0.1; the first row
counts. Where no number is asked for, True and False stand in the values' place.
"""

import math
import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], str | None]
CHECKS: dict[str, Check] = {}
TABLES: dict[str, Callable[[], str]] = {}
SLIPS = {
    -1: "The size is right, but the sign is turned.",
    100: "That is a hundredth of it: a share, where per cent or points are wanted.",
    0.01: "That is a hundred times too much: per cent, where a share is wanted.",
    1e6: "That is in millions; give the full count.",
}


class NotYet(Exception):
    """An answer of the wrong form; the message says what is wanted."""


def check(exercise: str, answer: Any) -> None:
    """Print whether the answer to an exercise is right, and if it is not, why.

    An answer of `...` counts as not given yet. Raises ValueError for an unknown exercise.
    """
    if exercise not in CHECKS | TABLES:
        known = ", ".join(sorted(CHECKS | TABLES))
        raise ValueError(f"no exercise {exercise!r}: choose one of {known}")
    if answer is ...:
        print(f"{exercise}: no answer yet.\nReplace the ... and run the cell again.")
        return
    try:
        if exercise in TABLES:
            complaint = look_up(exercise, TABLES[exercise](), a_number(answer))
        else:
            complaint = CHECKS[exercise](answer)
    except NotYet as problem:
        complaint = str(problem)
    print(f"{exercise}: right." if complaint is None else f"{exercise}: not yet. {complaint}")


def exercise(name: str) -> Callable[[Check], None]:
    """Make a function the check: of the answer, it returns what is wrong with it, or None."""
    return lambda function: CHECKS.update({name: function})


def numbers(*names: str) -> Callable[[Callable[[], str]], None]:
    """Make a function that returns a table the check of exercises that ask for one number."""
    return lambda table: TABLES.update(dict.fromkeys(names, table))


def look_up(name: str, table: str, answer: float = math.nan) -> str | None:
    """Return what the table says of an answer to the exercise: None where it is right."""
    (rows,) = re.findall(
        rf"^{re.escape(name)} is (.*(?:\n  .*)*)", re.sub("\n {3,}", " ", table), re.MULTILINE
    )
    (right, otherwise), *mistakes = (row.strip().split(": ", 1) for row in rows.splitlines())
    if _fits(answer, right):
        return None
    for values, sentence in mistakes:
        if _fits(answer, values):
            return sentence
    if right not in ("True", "False"):
        value = float(right.split()[0])
        if math.isclose(answer * value, 1, rel_tol=0.02):
            return "That is upside down: divide the other way round."
        slips = (text for times, text in SLIPS.items() if _fits(answer * times, str(float(value))))
        return next(slips, otherwise)
    return otherwise


def _fits(answer: float, values: str) -> bool:
    for text in values.split(" or "):
        value, _, within = text.partition(" +- ")
        if value in ("True", "False"):
            fits = value == "True"
        elif within or value.removeprefix("-").isdigit():  # a count may go through divisions
            fits = abs(answer - float(value)) <= float(within or 0.01)
        else:
            fits = math.isclose(answer, float(value), rel_tol=0.02)
        if fits:
            return True
    return False


def a_number(answer: Any) -> Any:
    """Return a number, also one in an array or tensor; raises NotYet for anything else."""
    if getattr(answer, "shape", None) is not None and math.prod(answer.shape) == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise NotYet(f"The answer should be a number, and this is {type(answer).__name__}.")
    if not abs(answer) < 1e300:  # a NaN is not below either
        raise NotYet("The answer should be a number of ordinary size.")
    return answer


def call(function: Any, *arguments: Any, how: str, shape: tuple[int, ...] | None = None) -> Any:
    """Return what the reader's function makes of the arguments; `how` describes the call.

    Raises NotYet where it is no function or fails, or, given a shape, returns no such tensor.
    """
    if not callable(function):
        raise NotYet(f"The answer should be a function, and this is {type(function).__name__}.")
    try:
        result = function(*arguments)
    except Exception as error:
        raise NotYet(f"Calling it {how} fails: {type(error).__name__}: {error}.") from None
    if shape and not hasattr(result, "detach"):
        hint = "None: end it with a return" if result is None else type(result).__name__
        raise NotYet(f"The function should return a tensor; it returns {hint}.")
    if shape and result.shape != shape:
        raise NotYet(f"The result should have shape {shape}; it has {tuple(result.shape)}.")
    return result


def alike(a: Any, b: Any) -> bool:
    """Tell whether two tensors of one shape differ by at most 0.2% of the largest value."""
    return bool((a.to(b) - b).abs().max() <= 2e-3 * b.abs().max())
