"""The book's measured experiments, as data: what is asked, of which networks, data and seeds."""

from experiments import (
    augmentation,
    depth,
    evaluation,
    evaluation_photos,
    fast,
    initialisation,
    training,
    transfer,
)

EXPERIMENTS = {
    **initialisation.EXPERIMENTS,
    **training.EXPERIMENTS,
    **depth.EXPERIMENTS,
    **augmentation.EXPERIMENTS,
    **evaluation.EXPERIMENTS,
    **transfer.EXPERIMENTS,
    **fast.EXPERIMENTS,
    **evaluation_photos.EXPERIMENTS,
}
