"""Lesson 6: how well the recipe trains, and what each part of it does."""

from experiments.base import EVERY_EPOCH, Experiment, train_and_report

SMALL_A = {"layer_config": "A", "width": 0.125, "pool_size": 1, "hidden_features": 512}

EXPERIMENTS = {
    "digits_a": Experiment(
        question="How well does configuration A classify unseen digits?",
        data="scikit-learn's 1,797 digits at 32x32: 1,297 to train on, 500 to test on",
        test_set=EVERY_EPOCH,
        seeds=[1, 2, 3, 4, 5],
        variants={
            "A with batch norm": {"model": {**SMALL_A, "batch_norm": True}},
            "A without batch norm": {"model": {**SMALL_A, "batch_norm": False}},
        },
        common={
            "data": {"name": "digits"},
            "augment": {"shift": 2},
            "fit": {"epochs": 10, "batch_size": 32, "milestones": [8]},
        },
        run=train_and_report,
    )
}
