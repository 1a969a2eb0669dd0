"""The book's measured experiments, as data: what is asked, of which networks, data and seeds."""

from experiments import (
    augmentation,
    evaluation,
    fast_cifar10,
    initialisation,
    inside,
    localisation,
    photographs,
    reproduction,
    training,
    transfer,
    views,
)

EXPERIMENTS = {
    **initialisation.EXPERIMENTS,
    **training.EXPERIMENTS,
    **augmentation.EXPERIMENTS,
    **evaluation.EXPERIMENTS,
    **reproduction.EXPERIMENTS,
    **localisation.EXPERIMENTS,
    **transfer.EXPERIMENTS,
    **inside.EXPERIMENTS,
    **fast_cifar10.EXPERIMENTS,
    **photographs.EXPERIMENTS,
    **views.EXPERIMENTS,
}
