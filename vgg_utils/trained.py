"""From a run to use: a trained network with its classes and preprocessing, and what it sees.

    python -m vgg_utils.trained runs/first cat.jpg dog.png

names the classes of image files, the likeliest first. In Python:

    trained = load_trained("runs/first")
    classify(trained, ["cat.jpg"])  # [[("cat", 0.97), ("dog", 0.02)]]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from vgg_utils import checkpoint
from vgg_utils.augmentation import Preprocess
from vgg_utils.configs import positive
from vgg_utils.evaluation import predict
from vgg_utils.images import read_image
from vgg_utils.model import VGGNet


class Trained(NamedTuple):
    """A trained network in evaluation mode, the names of its classes, and its preprocessing.

    `preprocess` turns an image (3, H, W) from 0 to 1 into what the network is fed.
    """

    model: VGGNet
    classes: list[str]
    preprocess: Preprocess


def load_trained(path: str | Path, *, device: str | torch.device = "cpu") -> Trained:
    """Rebuild what a run of `fit` or of `python -m vgg_utils.train` has learnt.

    `path` is the run's folder, whose newest checkpoint is taken, or one checkpoint. Raises
    CheckpointError if there is none, if it does not hold classes and preprocessing, or if its
    network is no VGGNet as its constructor builds it.
    """
    found = checkpoint.load_latest(path) if Path(path).is_dir() else (path, checkpoint.load(path))
    if found is None:
        raise checkpoint.CheckpointError(f"{path} holds no checkpoint")
    path, state = found
    problem = "{0} has no {1}: train with fit(..., {1}=...)"
    problems = {name: problem.format(path, name) for name in ("classes", "preprocess")}
    problems["network"] = (
        f"the network of {path} is no VGGNet as its constructor builds one: build it as you did "
        'and load torch.load(path, weights_only=True)["model"] into it'
    )
    for name, problem in problems.items():
        if state[name] is None:
            raise checkpoint.CheckpointError(problem)
    model = VGGNet(**state["network"])
    model.load_state_dict(state["model"])
    model.pixel_range = tuple(state["pixel_range"])
    preprocess = Preprocess(**state["preprocess"])
    return Trained(model.to(device).eval(), state["classes"], preprocess)


def classify(
    trained: Trained | str | Path, files: Sequence[str | Path], *, k: int = 5
) -> list[list[tuple[str, float]]]:
    """Name what image files show: for each the k likeliest (class, probability), likeliest first.

    `trained` comes from `load_trained`, or is the path that it takes. Raises ValueError for a k
    below 1 or no list of files, and OSError for a file that is no image.
    """
    if isinstance(files, str | Path):
        raise ValueError(f"files must be a list, such as [{str(files)!r}]")
    if not isinstance(trained, Trained):
        trained = load_trained(trained)
    k = min(positive("k", k), len(trained.classes))
    answers = []
    for file in files:
        image = trained.preprocess(read_image(file))
        shares, indices = predict(trained.model, image[None])[0].softmax(0).topk(k)
        names = [trained.classes[index] for index in indices]
        answers.append(list(zip(names, shares.tolist(), strict=True)))
    return answers


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the likeliest classes of each image file; return the exit status."""
    about = "Name what image files show."
    parser = argparse.ArgumentParser("python -m vgg_utils.trained", description=about)
    parser.add_argument("run", help="folder of a run (its --out), or a checkpoint")
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="default: 3")
    options = parser.parse_args(arguments)
    try:
        answers = classify(options.run, options.images, k=options.top)
    except (checkpoint.CheckpointError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for file, answer in zip(options.images, answers, strict=True):
        print(f"{file}: " + ", ".join(f"{name} {share:.1%}" for name, share in answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
