"""The book's measured experiments, as data: what is asked, of which networks, data and seeds."""

from experiments import training

EXPERIMENTS = {**training.EXPERIMENTS}
