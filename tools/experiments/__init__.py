"""The book's measured experiments, as data: what is asked, of which networks, data and seeds."""

from experiments import initialisation, training, transfer

EXPERIMENTS = {
    **initialisation.EXPERIMENTS,
    **training.EXPERIMENTS,
    **transfer.EXPERIMENTS,
}
