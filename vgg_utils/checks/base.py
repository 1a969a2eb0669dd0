"""What the checks of all lessons share: reading the text files, judging numbers and functions.

What a reader is told stands in `<stem>.txt`; the head of `base.txt` explains the form. Where a
value takes code, `<stem>.py` has a function marked `@exercise("2.5")`: of the answer, it returns
the values of the names in the text, and the number to be judged as "number".
"""

import functools
import importlib.resources
import math
import re
from collections.abc import Callable
from typing import Any

Values = dict[str, Any]
CHECKS: dict[str, Callable[[Any], Values]] = {}
FUNCTIONS = {**vars(math), "__builtins__": {}}


class NotYet(Exception):
    """An answer of the wrong form; the argument is the values that the check returns."""


def exercise(name: str) -> Callable[[Callable[[Any], Values]], None]:
    """Make a function the check of an exercise."""
    return lambda function: CHECKS.update({name: function})


def check(exercise: str, answer: Any) -> None:
    """Print whether the answer to an exercise is right, and if it is not, why.

    An answer of `...` counts as not given yet. Raises ValueError for an unknown exercise.
    """
    known = sorted(name for name in tables() if name[0].isdigit())
    if exercise not in known:
        raise ValueError(f"no exercise {exercise!r}: choose one of {', '.join(known)}")
    if answer is ...:
        print(f"{exercise}: no answer yet.\nReplace the ... and run the cell again.")
        return
    try:
        values = CHECKS.get(exercise, a_number)(answer)
    except NotYet as early:
        (values,) = early.args
    complaint = look_up(exercise, {"answer": answer, "type": type(answer).__name__, **values})
    print(f"{exercise}: right." if complaint is None else f"{exercise}: not yet. {complaint}")


@functools.cache
def tables() -> dict[str, list[list[str]]]:
    """Return the rows of each exercise, pairs of a condition and a sentence."""
    files = importlib.resources.files(__package__).iterdir()
    text = "\n".join(file.read_text("utf-8") for file in files if file.name.endswith(".txt"))
    found = {}
    for table in re.findall(r"^\w.*(?:\n  .*)*", re.sub("\n {3,}", " ", text), re.MULTILINE):
        name, rows = re.split(" is |\n", table, maxsplit=1)
        found[name] = [row.strip().split(": ", 1) for row in rows.splitlines()]
    return found


def look_up(name: str, values: Values) -> str | None:
    """Return what the text says, given the values of its names: None where the answer is right."""
    (right, otherwise), *mistakes = tables()[name]
    if fits(right, values):
        return None
    if "number" in values:
        values = {**values, "value": float(evaluate(re.split(r" or | \+- ", right)[0], values))}
    rows = mistakes + tables()["any"]
    sentences = (sentence for condition, sentence in rows if fits(condition, values))
    return str(evaluate(f"f{next(sentences, otherwise)!r}", values))  # the text, as an f-string


def fits(condition: str, values: Values) -> bool:
    """Tell whether a condition is true, or one of its values near the number to be judged.

    A condition with a name that has no value is not met.
    """
    number = values.get("number", math.nan)
    for option in condition.split(" or "):
        formula, _, margin = option.partition(" +- ")
        try:
            value = evaluate(formula, values)
        except NameError:
            return False
        if isinstance(value, int | float) and not isinstance(value, bool):
            absolute = float(margin or (0.01 if isinstance(value, int) else 0))
            relative = 0 if absolute else 0.02
            value = math.isclose(number, value, rel_tol=relative, abs_tol=absolute)
        if value:
            return True
    return False


def evaluate(formula: str, values: Values) -> Any:
    """Work out a formula, which is the text's own and nothing that a reader has given."""
    return eval(formula, FUNCTIONS, values)


def a_number(answer: Any) -> Values:
    """Return a number as "number", also one in an array; raises NotYet for anything else."""
    if getattr(answer, "shape", None) is not None and math.prod(answer.shape) == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise NotYet({"kind": type(answer).__name__})
    if not abs(answer) < 1e300:  # a NaN is not below either
        raise NotYet({"huge": True})
    return {"number": answer}


def call(function: Any, *arguments: Any, shape: Any = None, **known: Any) -> Any:
    """Return what the reader's function makes of the arguments.

    Raises NotYet where it is no function or fails (with the values known so far), or where, given a
    shape, it returns no such tensor.
    """
    if not callable(function):
        raise NotYet({"no_function": True})
    try:
        result = function(*arguments)
    except Exception as error:
        raise NotYet({"failure": f"{type(error).__name__}: {error}", **known}) from None
    if shape and not hasattr(result, "detach"):
        raise NotYet({"returned": type(result).__name__})
    if shape and result.shape != shape:
        raise NotYet({"wanted": tuple(shape), "found": tuple(result.shape)})
    return result


def alike(a: Any, b: Any) -> bool:
    """Tell whether two tensors of one shape differ by at most 0.2% of the largest value."""
    return bool((a.to(b) - b).abs().max() <= 2e-3 * b.abs().max())
