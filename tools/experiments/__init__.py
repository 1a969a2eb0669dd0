"""The book's measured experiments, as data: what is asked, of which networks, data and seeds."""

from experiments import augmentation, depth, evaluation, fast, initialisation, training, transfer

EXPERIMENTS = {
    **initialisation.EXPERIMENTS,
    **training.EXPERIMENTS,
    **depth.EXPERIMENTS,
    **augmentation.EXPERIMENTS,
    **evaluation.EXPERIMENTS,
    **transfer.EXPERIMENTS,
    **fast.EXPERIMENTS,
}
