"""Lesson 14's exercises: the right answers, and the mistakes that are known."""

import pytest
from checking import complaint

from vgg_utils.configs import summarise, total

FC7 = next(row for row in summarise("D") if row.name == "fc7")
PEAK, MEMORY, LINK = 989e12, 3.35e12, 25e9  # of the H100, in operations/s, bytes/s and bytes/s


def first_batch(parameters, values, size=2):
    """Return the first batch with as many operations a byte as the H100 has at its peak."""
    return next(
        n
        for n in range(1, 2000)
        if 2 * FC7.macs * n / (size * (values * n + parameters)) >= PEAK / MEMORY
    )


def meet(pool_size):
    """Return the images with which a device computes for as long as it waits for messages."""
    net = total(summarise("D", pool_size=pool_size))
    return 8 * net.parameters / LINK / (6 * net.macs / (0.40 * PEAK))


def weighted(gradients, sizes):
    return sum(g * s for g, s in zip(gradients, sizes, strict=True)) / sum(sizes)


def weighted_in_place(gradients, sizes):
    for gradient, size in zip(gradients, sizes, strict=True):
        gradient *= size
    return sum(gradients) / sum(sizes)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("14.1", first_batch(FC7.parameters, 8192)),
        ("14.1", first_batch(FC7.macs, 8192)),
        ("14.2", weighted),
        ("14.3", meet(1)),
        ("14.3", 51.7),
        ("14.3", 52),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("14.1", first_batch(FC7.parameters, 0), "weights alone"),
        ("14.1", first_batch(FC7.macs, 0), "weights alone"),
        ("14.1", 295, "balance point"),
        ("14.1", 590, "numbers of 4 bytes"),
        ("14.1", 591, "numbers of 4 bytes"),
        ("14.1", 347, "One too many"),
        ("14.1", 344, "One short"),
        ("14.1", first_batch(FC7.parameters, 4096), "both cross"),
        ("14.1", first_batch(FC7.macs, 8192, size=4), "4 bytes"),
        ("14.1", 64, "reach 295"),
        ("14.2", 3, "should be a function"),
        ("14.2", lambda gradients: gradients, "fails"),
        ("14.2", lambda gradients, sizes: 1.0, "return a tensor"),
        ("14.2", lambda gradients, sizes: weighted(gradients, sizes)[0], "shape (2, 3)"),
        ("14.2", lambda gradients, sizes: sum(gradients) / len(gradients), "plain average"),
        ("14.2", lambda gradients, sizes: sum(gradients), "weigh each"),
        ("14.2", lambda gradients, sizes: weighted(gradients, sizes) * 256, "summed loss"),
        ("14.2", lambda gradients, sizes: weighted(gradients, sizes) * 256 / 3, "of devices"),
        ("14.2", weighted_in_place, "changes the gradients"),
        ("14.2", lambda gradients, sizes: gradients[0], "divide by all images"),
        ("14.3", meet(7), "full D"),
        ("14.3", meet(7) / 49, "49th"),
        ("14.3", meet(1) / 0.40, "40%"),
        ("14.3", 25.9, "8 in all"),
        ("14.3", 155.2, "three passes"),
        ("14.3", 2.87, "over NVLink"),
        ("14.3", 1000, "formula"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
