"""A trained network, from a run or one of the book's own, with its classes and preprocessing.

    python -m vgg_utils.trained D_bn cat.jpg dog.png

names the classes of image files, the likeliest first. In Python:

    trained = load_trained("D_bn")
    classify(trained, ["cat.jpg"])  # [[("cat", 0.97), ("dog", 0.02)]]

The book's own were trained on CIFAR-10 by `tools/networks.py`; their card is in the reference part.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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


WEIGHTS = Path(__file__).parent / "weights"
#: The book's own networks, plain ones, some with batch norm (_bn), one of half the width.
OWN = tuple(sorted(file.stem for file in WEIGHTS.glob("*.npz")))


def load_trained(path: str | Path, *, device: str | torch.device = "cpu") -> Trained:
    """Rebuild one of the book's own networks, or what a run has learnt.

    `path` is one of `OWN`; or the folder of a run of `fit` or of `python -m vgg_utils.train`, whose
    newest checkpoint is taken; or one checkpoint. Raises CheckpointError if there is none, if it
    does not hold classes and preprocessing, or if its network is no VGGNet as its constructor
    builds it.
    """
    own = WEIGHTS / f"{path}.npz"
    if own.parent == WEIGHTS and own.is_file():
        return _trained(_read_weights(own), device)
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
    return _trained(state, device)


def _read_weights(file: Path) -> dict[str, Any]:
    """Return what a checkpoint would hold of one of the book's own networks.

    A weight is a whole number of 8 bits times the factor of its output. Nothing in it is code.
    """
    with np.load(file, allow_pickle=False) as arrays:
        weights = {name: torch.from_numpy(arrays[name]) for name in arrays if name != "about"}
        about = json.loads(str(arrays["about"]))
    for name in [name for name in weights if name.endswith(":factor")]:
        whole, factor = weights[name.removesuffix(":factor")], weights.pop(name)
        weights[name.removesuffix(":factor")] = whole * factor.view(-1, *[1] * (whole.dim() - 1))
    return {"model": weights, **about}


def _trained(state: dict[str, Any], device: str | torch.device) -> Trained:
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
