"""Lesson 9's exercises: the right answers, and the mistakes that are known."""

import math

import numpy as np
import pytest
from checking import complaint

from vgg_utils.records import load_record


def interval_holds_no_zero(changes, t):
    return abs(np.mean(changes)) > t * np.std(changes, ddof=1) / math.sqrt(len(changes))


def judge(rule):
    """A verdict by a rule that says of the changes whether their mean differs from zero."""

    def verdict(changes, paper):
        if not rule(changes):
            return "cannot tell"
        return "agrees" if np.mean(changes) * paper > 0 else "disagrees"

    return verdict


T = {2: 12.706, 5: 2.776, 10: 2.262}  # of a printed table: 97.5%, n - 1 degrees of freedom
BEST_XAVIER = [
    [row["test_error"] for row in run["history"]]
    for run in load_record("initialisation")["results"]["D, Xavier, pixels x57"]["runs"]
]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("9.1", judge(lambda changes: interval_holds_no_zero(changes, T[len(changes)]))),
        ("9.2", 16),
        ("9.2", 16.0),
        ("9.3", np.mean([each[-1] - min(each) for each in BEST_XAVIER])),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("9.1", 3, "should be a function"),
        ("9.1", lambda changes: "agrees", "fails"),
        ("9.1", lambda changes, paper: "agrees", "should say 'disagrees'"),
        # the standard deviation instead of the standard error; 2.78 for every n; 1.96
        ("9.1", judge(lambda c: abs(np.mean(c)) > np.std(c, ddof=1)), "should say"),
        ("9.1", judge(lambda c: interval_holds_no_zero(c, 2.776)), "[-1.0, -2.0]"),
        ("9.1", judge(lambda c: interval_holds_no_zero(c, 1.96)), "should say 'cannot tell'"),
        ("9.2", 14, "1.96"),
        ("9.2", 28, "2.78"),
        ("9.2", 15, "first time"),
        ("9.2", 5, "With 5 seeds the margin is 1.86 points"),
        ("9.2", 15.6, "whole number"),
        ("9.3", -np.mean([each[-1] - min(each) for each in BEST_XAVIER]), "not negative"),
        ("9.3", max(each[-1] - min(each) for each in BEST_XAVIER), "largest"),
        ("9.3", np.mean([each[-1] for each in BEST_XAVIER]), "subtract that of each"),
        ("9.3", np.mean([min(each) for each in BEST_XAVIER]), "subtract it from"),
        ("9.3", 50.0, "lowest one"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
