"""The book's measured experiments, as data: what is asked, of which networks, data and seeds."""

from experiments import initialisation, training

EXPERIMENTS = {**initialisation.EXPERIMENTS, **training.EXPERIMENTS}
