"""What holds for the check of every exercise; `test_checks_*.py` has each lesson's answers."""

import math
import subprocess
import sys

import pytest
from checking import complaint

from vgg_utils.checks import check
from vgg_utils.checks.base import CHECKS, TABLES

EXERCISES = sorted(CHECKS | TABLES)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_no_answer_yet(capsys, exercise):
    check(exercise, ...)
    assert capsys.readouterr().out == (
        f"{exercise}: no answer yet.\nReplace the ... and run the cell again.\n"
    )


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize(
    "answer",
    [
        *(None, "", "abc", -1, 0, 0.5, 10**9, 10**400, math.nan, math.inf, True),
        *([], [None], {}, (1, "x"), ([], {}), len, lambda *given: None),
    ],
)
def test_nonsense_is_refused_with_a_sentence(exercise, answer):
    said = complaint(exercise, answer)
    assert len(said.split()) > 4 and said.endswith((".", "?"))


def test_unknown_exercise_lists_what_there_is():
    with pytest.raises(ValueError, match=r"no exercise '9\.9': choose one of .*5\.1"):
        check("9.9", 1)


@pytest.mark.parametrize(("times", "hint"), [(-1, "sign"), (100, "per cent"), (1e-6, "millions")])
def test_slips_of_sign_and_unit_are_named_where_a_lesson_says_nothing_of_them(times, hint):
    right = 43_003_944  # exercise 3.4: the parameters of E with an average over its last map
    assert complaint("3.4", right) is None
    assert hint in complaint("3.4", right * times)


def test_checks_are_known_without_pytorch_being_loaded():
    code = "import sys; from vgg_utils.checks import check; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
