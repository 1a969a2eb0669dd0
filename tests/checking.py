"""Help for the tests of the exercises' checks."""

import contextlib
import io

from vgg_utils.checks import check


def complaint(exercise, answer):
    """Return what `check` finds wrong with an answer, or None where it is right."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        check(exercise, answer)
    said = printed.getvalue().strip()
    if said == f"{exercise}: right.":
        return None
    assert said.startswith(f"{exercise}: not yet. "), said
    return said.removeprefix(f"{exercise}: not yet. ")
