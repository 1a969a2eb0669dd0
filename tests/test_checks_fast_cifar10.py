"""Lesson 15's exercises: the right answers, and the mistakes that are known."""

import math

import pytest
import torch
from checking import complaint

from vgg_utils.training import cycle_share

MEAN_SHARE = sum(cycle_share(step, 100) for step in range(100)) / 100


def eigen(points):
    return torch.linalg.eigh(torch.cov(points.T))


def whitened(points):
    variances, directions = eigen(points)
    return points @ directions / variances.sqrt()


def whitened_and_turned_back(points):
    variances, directions = eigen(points)
    return points @ directions / variances.sqrt() @ directions.T


def by_cholesky(points):
    return torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.cov(points.T)), points.T, upper=False
    ).T


def turned(points, power):
    variances, directions = eigen(points)
    return points @ directions * variances**power


def by_rows(points):
    variances, directions = eigen(points)
    return points @ directions.T / variances.sqrt()


def lowest(smoothing, classes):
    others = smoothing / classes
    target = torch.tensor([1 - smoothing + others] + [others] * (classes - 1))
    return -(target * target.log()).sum().item()


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("15.1", whitened),
        ("15.1", whitened_and_turned_back),
        ("15.1", by_cholesky),
        ("15.1", lambda points: turned(points.double(), -0.5)),
        ("15.2", MEAN_SHARE),
        ("15.2", 0.52),
        ("15.3", lowest(0.2, 10)),
        ("15.3", torch.tensor(0.867)),
        ("15.3", 0.87),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("15.1", torch.eye(3), "should be a function"),
        ("15.1", lambda points: points @ torch.eye(600), "fails"),
        ("15.1", lambda points: eigen(points)[1], "shape (600, 3)"),
        ("15.1", lambda points: points.tolist(), "return a tensor"),
        ("15.1", lambda points: points, "as they came"),
        ("15.1", lambda points: points / points.std(0), "still correlated"),
        ("15.1", lambda points: turned(points, 0), "divide each column"),
        ("15.1", lambda points: turned(points, -1), "by the variances"),
        ("15.1", lambda points: turned(points, 0.5), "multiplies"),
        ("15.1", by_rows, "columns of what eigh returns"),
        ("15.1", lambda points: 2 * whitened(points), "variances are not 1"),
        ("15.1", lambda points: 2 * points, "Turn the points"),
        ("15.2", 0.5, "begins at 0.2"),
        ("15.2", 0.6, "over the rise"),
        ("15.2", 0.55, "four times as long"),
        ("15.2", 0.4, "leaves out the first fifth"),
        ("15.2", 0.395, "leaves out the first fifth"),
        ("15.2", 100 * MEAN_SHARE, "divide by the 100"),
        ("15.2", 0.6 * MEAN_SHARE, "give the share"),
        ("15.2", 0.8, "Take the mean"),
        ("15.3", 0, "nine classes have a share"),
        ("15.3", -math.log(0.82), "right class alone"),
        ("15.3", -math.log(0.8), "right class alone"),
        ("15.3", -0.82 * math.log(0.82), "right class alone"),
        ("15.3", -(0.8 * math.log(0.8) + 0.2 * math.log(0.02)), "its tenth"),
        ("15.3", -(0.8 * math.log(0.8) + 0.18 * math.log(0.02)), "adds up to 0.98"),
        ("15.3", -(0.8 * math.log(0.8) + 0.2 * math.log(0.2 / 9)), "over all ten"),
        ("15.3", -(0.82 * math.log(0.82) + 0.02 * math.log(0.02)), "one of the nine"),
        ("15.3", lowest(0.2, 10) / math.log(2), "bits"),
        ("15.3", lowest(0.2, 3), "three classes"),
        ("15.3", math.log(10), "does not know"),
        ("15.3", math.log(41), "give the loss"),
        ("15.3", -lowest(0.2, 10), "sign"),
        ("15.3", 1.2, "over the target"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
