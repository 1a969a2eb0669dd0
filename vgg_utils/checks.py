"""Answers to the book's exercises: `check("2.1", answer)` tells right from wrong, and why.

Each exercise has one function, which returns None for a right answer and otherwise a sentence that
says what is wrong with this one. Right answers are computed here, from the same arithmetic that the
chapter teaches, and common mistakes are recognised by their value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_checks: dict[str, Callable[[Any], str | None]] = {}


def check(exercise: str, answer: Any) -> bool:
    """Print whether the answer to an exercise is right, and if not why; return True if it is.

    An answer of `...` counts as not given yet. Raises ValueError for an unknown exercise.
    """
    if exercise not in _checks:
        raise ValueError(f"no exercise {exercise!r}: choose one of {', '.join(sorted(_checks))}")
    if answer is ...:
        print(f"{exercise}: no answer yet. Replace the ... above and run the cell again.")
        return False
    complaint = _checks[exercise](answer)
    print(f"{exercise}: right." if complaint is None else f"{exercise}: not yet. {complaint}")
    return complaint is None


def _exercise(
    number: str,
) -> Callable[[Callable[[Any], str | None]], Callable[[Any], str | None]]:
    def register(function: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        _checks[number] = function
        return function

    return register


def _not_a_number(answer: Any) -> str | None:
    """Complain about anything but an int or a float."""
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return f"A number is asked for, and this is {type(answer).__name__}."
    return None
