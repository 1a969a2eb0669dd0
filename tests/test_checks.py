"""What holds for the check of every exercise; `test_checks_*.py` has each lesson's answers."""

import ast
import importlib
import math
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest
from checking import complaint

from vgg_utils.checks import base, check

EXERCISES = sorted(name for name in base.tables() if re.fullmatch(r"\d+\.\d", name))
ALWAYS_KNOWN = {"answer", "type", "number", "value"}


def mistakes_of_lessons():
    """Yield exercise and answer of every case of the lessons' `test_mistakes_are_named`."""
    for path in Path(__file__).parent.glob("test_checks_*.py"):
        (cases,) = importlib.import_module(path.stem).test_mistakes_are_named.pytestmark
        for exercise, answer, _ in cases.args[1]:
            yield exercise, answer


def names_in(rows):
    """Return the names that conditions and sentences use."""
    formulas = [part for condition, _ in rows for part in re.split(r" or | \+- ", condition)]
    for _, sentence in rows:
        formulas += [field for _, field, _, _ in string.Formatter().parse(sentence) if field]
    nodes = [node for formula in formulas for node in ast.walk(ast.parse(formula, mode="eval"))]
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def test_every_sentence_is_said_to_some_answer(monkeypatch):
    """So no name is misspelt, which would pass its row over, and no row stands behind another."""
    marked = {
        name: [[condition, f"<{name} {n}> {said}"] for n, (condition, said) in enumerate(rows)]
        for name, rows in base.tables().items()
    }
    monkeypatch.setattr(base, "tables", lambda: marked)
    said = {
        mark
        for case in mistakes_of_lessons()
        for mark in re.findall(r"<\S+ \d+>", complaint(*case) or "")
    }
    every = {sentence.split("> ")[0] + ">" for rows in marked.values() for _, sentence in rows}
    assert every <= said, sorted(every - said)


def test_every_value_is_used_by_the_text(monkeypatch):
    given = {}

    def look_up(name, values):
        given.setdefault(name, set()).update(values)
        return real(name, values)

    real = base.look_up
    monkeypatch.setattr(base, "look_up", look_up)
    for case in mistakes_of_lessons():
        complaint(*case)
    general = names_in(base.tables()["any"])
    unused = {
        f"{name}: {value}"
        for name, values in given.items()
        for value in values - names_in(base.tables()[name]) - general - ALWAYS_KNOWN
    }
    assert given and not unused


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


@pytest.mark.parametrize(("times", "hint"), [(-1, "sign"), (100, "percent"), (1e-6, "millions")])
def test_slips_of_sign_and_unit_are_named_where_a_lesson_says_nothing_of_them(times, hint):
    right = 43_003_944  # exercise 4.2: the parameters of E with an average over its last map
    assert complaint("4.2", right) is None
    assert hint in complaint("4.2", right * times)


def test_checks_are_known_without_pytorch_being_loaded():
    code = "import sys; from vgg_utils.checks import check; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
