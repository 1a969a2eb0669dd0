"""The exercises' checks: every wrong answer is refused with a reason, and none breaks them.

That the printed solutions are right is `test_exercises.py`'s matter.
"""

import math

import pytest

from vgg_utils import checks
from vgg_utils.checks import check


def said(capsys, exercise, answer):
    check(exercise, answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("exercise", sorted(checks._checks))
def test_no_answer_yet(capsys, exercise):
    assert said(capsys, exercise, ...) == (
        f"{exercise}: no answer yet. Replace the ... above and run the cell again."
    )


@pytest.mark.parametrize("exercise", sorted(checks._checks))
@pytest.mark.parametrize(
    "answer", [None, "", "abc", -1, 0, 0.5, 10**9, math.nan, True, [], [None], {}, (1, "x")]
)
def test_nonsense_is_refused_with_a_sentence(capsys, exercise, answer):
    out = said(capsys, exercise, answer)
    assert out.startswith(f"{exercise}: not yet. ")
    assert len(out.split()) > 6
    assert out.endswith((".", "?", "`", ")"))


def test_unknown_exercise_lists_what_there_is():
    with pytest.raises(ValueError, match=r"no exercise '9\.9': choose one of .*5\.1"):
        check("9.9", 1)


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("5.1", 3.0, "decimal"),
        ("5.1", math.log2(1000), "binary"),
        ("5.1", math.log(10), "ten classes"),
        ("5.1", -math.log(1000), "sign"),
        ("5.2", 41, "one epoch"),
        ("5.2", 400, "Round up"),
        ("5.2", 405.3125, "part of a step"),
        ("5.2", 406, "two epochs"),
        ("5.3", lambda s, y, k: None, "return"),
        ("5.3", lambda s, y, k: 100 * (s.argmax(1) == y).float().mean(), "accuracy"),
        ("5.3", lambda s, y, k: (s.argmax(1) != y).float().mean(), "multiply"),
        ("5.3", lambda s, y, k: 100 * (s.argmax(1) != y).float().mean(), "k highest"),
        ("5.3", lambda s, y, k: 50.0, "test case"),
        ("5.4", math.sqrt(0.02 * 0.98 / 500), "percentage points"),
        ("5.4", 100 * 0.02 * 0.98 / 500, "variance"),
        ("5.4", 100 * math.sqrt(0.02 * 0.98), "square root of 500"),
    ],
)
def test_common_mistakes_of_chapter_5_are_named(capsys, exercise, answer, hint):
    out = said(capsys, exercise, answer)
    assert "not yet" in out
    assert hint in out
