"""Train the book's own networks on CIFAR-10, and pack them for the package.

    python tools/networks.py              train all that are missing, and write their card
    python tools/networks.py D_bn E_bn    train these anew
    python tools/networks.py --card       measure what is there once more

Each run keeps its checkpoints in build/own and goes on from them when it has been stopped. A packed
network goes to vgg_utils/weights: 8 bits a weight, with a factor for each output, in a file of
plain arrays. Their card, vgg_utils/records/networks.json, is measured on the packed ones, and the
tables in book/reference/networks.md are made from it.

The recipe was chosen on a held-out tenth of the training images, with another seed; networks.md
says what else was known.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from marks import renewed
from scipy import stats
from torch.nn import functional as F

from vgg_utils.augmentation import random_flip, random_shift
from vgg_utils.data import ImageData, load_cifar10
from vgg_utils.evaluation import predict, top_k_error
from vgg_utils.model import VGGNet, copy_layers
from vgg_utils.pictures import thumbnails
from vgg_utils.trained import WEIGHTS, Trained, load_trained
from vgg_utils.training import fit

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "build" / "own"
CARD = ROOT / "vgg_utils" / "records" / "networks.json"
PAGE = ROOT / "book" / "reference" / "networks.md"


SEED = 1  # of all of them, fixed before any was trained
MODEL: dict[str, Any] = {"pool_size": 1, "hidden_features": 256}
RECIPE: dict[str, Any] = {"batch_size": 64, "one_cycle": True}
BINS = 10  # of the confidence, in the card


class Network(NamedTuple):
    """What a network is, how long it is trained, at which highest rate, and what holds it back."""

    config: str
    batch_norm: bool
    epochs: int
    learning_rate: float
    weight_decay: float = 5e-4
    dropout: float = 0.0
    width: float = 0.25
    from_a: bool = False  # the layers of the plain A, as in Sect. 3.1
    precision: str = "float32"  # of products; all else is float32


NETWORKS = {
    "D_bn": Network("D", True, 100, 0.05, precision="bfloat16"),
    "A": Network("A", False, 60, 0.02, dropout=0.1, precision="bfloat16"),
    "D": Network("D", False, 40, 0.02, dropout=0.1, from_a=True),
    "A_bn": Network("A", True, 40, 0.05),
    "B_bn": Network("B", True, 40, 0.05),
    "E_bn": Network("E", True, 40, 0.05),
    "B": Network("B", False, 40, 0.02, dropout=0.1, from_a=True),
    "E": Network("E", False, 40, 0.02, dropout=0.1, from_a=True),
    "D_bn_half": Network("D", True, 40, 0.05, width=0.5),
}


def augment(images: torch.Tensor) -> torch.Tensor:
    """Mirror half of the images, and move each by up to 4 pixels."""
    return random_flip(random_shift(images, 4))


def train(name: str, data: ImageData, device: str | None = None) -> None:
    """Train one network, with checkpoints in RUNS, and pack it; A first if it starts from it."""
    network = NETWORKS[name]
    if network.from_a and not (WEIGHTS / "A.npz").exists():
        train("A", data, device)
    torch.manual_seed(SEED)
    own = {name: getattr(network, name) for name in ("batch_norm", "width", "dropout")}
    model = VGGNet(3, len(data.classes), network.config, **own, **MODEL)
    model.to(memory_format=torch.channels_last)  # a sixth less time on a CPU
    if network.from_a:
        copy_layers(load_trained("A").model, model)
    settings: dict[str, Any] = {
        "epochs": network.epochs,
        "learning_rate": network.learning_rate,
        "weight_decay": network.weight_decay,
        "precision": network.precision,
        **RECIPE,
        "classes": data.classes,
        "preprocess": data.preprocess,
        "out": RUNS / name,
        "resume": True,
    }
    fit(model, data.train, augment=augment, seed=SEED, device=device, **settings)
    images, labels = data.test.tensors
    error = round(top_k_error(predict(model.cpu(), images), labels), 2)
    trained = Trained(model, data.classes, data.preprocess)
    pack(trained, WEIGHTS / f"{name}.npz", unpacked_error=error)


def in_8_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers from -127 to 127, and a factor for each output (the first axis)."""
    factor = (weight.flatten(1).abs().amax(1) / 127).clamp(min=1e-12)  # of outputs that are zero
    whole = (weight / factor.view(-1, *[1] * (weight.dim() - 1))).round()
    return whole.to(torch.int8), factor


def pack(trained: Trained, path: Path, **more: Any) -> None:
    """Write a network as `load_trained` reads it: weights in 8 bits, all else as it is.

    `more` is written beside it, such as the test error before the weights were rounded.
    """
    model, classes, preprocess = trained
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in model.state_dict().items():
        if tensor.dim() > 1:
            whole, factor = in_8_bits(tensor)
            arrays |= {name: whole.numpy(), f"{name}:factor": factor.numpy()}
        else:
            arrays[name] = tensor.numpy()
    about = {"network": model.arguments, "classes": classes, "pixel_range": model.pixel_range}
    about |= {"preprocess": dataclasses.asdict(preprocess), **more}
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def measure(trained: Trained, images: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """Return what the card says of a network: errors in percent, by class too, and calibration."""
    logits = predict(trained.model, images)
    shares, answers = logits.softmax(1).max(1)
    right = answers == labels
    interval = stats.binomtest(int((~right).sum()), len(labels)).proportion_ci(method="wilson")
    bins = []
    places = (shares * BINS).long().clamp(max=BINS - 1)
    for place in places.unique().tolist():
        inside = places == place
        found = shares[inside].mean().item(), 100 * right[inside].float().mean().item()
        bins.append({"images": int(inside.sum()), "confidence": 100 * found[0], "right": found[1]})
    gaps = sum(one["images"] * abs(one["confidence"] - one["right"]) for one in bins)
    return {
        "test_error": top_k_error(logits, labels),
        "test_error_interval": [100 * interval.low, 100 * interval.high],
        "top_2_error": top_k_error(logits, labels, k=2),
        "test_loss": F.cross_entropy(logits, labels).item(),
        "class_errors": {
            name: 100 * (~right[labels == label]).float().mean().item()
            for label, name in enumerate(trained.classes)
        },
        "calibration": bins,
        "calibration_error": gaps / len(labels),
    }


def card(data: ImageData) -> dict[str, Any]:
    """Measure every packed network on all test images, and note its scores of the thumbnails."""
    networks = {}
    images = thumbnails().images
    for name, network in NETWORKS.items():
        path = WEIGHTS / f"{name}.npz"
        if not path.exists():
            continue
        trained = load_trained(name)
        with np.load(path) as arrays:
            unpacked = json.loads(str(arrays["about"])).get("unpacked_error")
        seen = torch.stack([trained.preprocess(image) for image in images])
        networks[name] = {
            **network._asdict(),
            "parameters": sum(weight.numel() for weight in trained.model.parameters()),
            "bytes": path.stat().st_size,
            **({} if unpacked is None else {"unpacked_error": unpacked}),
            **rounded(measure(trained, *data.test.tensors), 2),
            "thumbnail_scores": rounded(predict(trained.model, seen).tolist(), 4),
        }
    return {
        "data": "CIFAR-10: 50,000 photographs to train on, 10,000 to test on, all of them",
        "test_set": "looked at by the packed networks, and before by a first D_bn, see networks.md",
        "command": "python tools/networks.py",
        "seed": SEED,
        "recipe": {**RECIPE, **MODEL, "momentum": 0.9, "shift": 4, "flip": True},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "numpy")},
        "date": time.strftime("%Y-%m-%d"),
        "networks": networks,
    }


def overview(card: dict[str, Any]) -> str:
    """Return a row for each network, as Markdown."""
    head = ["name", "network", "test error", "calibration", "width", "parameters", "MB", "epochs"]
    rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, one in card["networks"].items():
        low, high = one["test_error_interval"]
        cells = [f"`{name}`", f"{one['config']}, {'batch norm' if one['batch_norm'] else 'plain'}"]
        cells.append(f"{one['test_error']:.1f}% ({low:.1f}&nbsp;to&nbsp;{high:.1f})")
        cells += [f"{one['calibration_error']:.1f}", f"{one['width']:g}", f"{one['parameters']:,}"]
        cells += [f"{one['bytes'] / 1e6:.1f}", str(one["epochs"])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def by_class(card: dict[str, Any]) -> str:
    """Return every network's error by class, as Markdown."""
    networks = card["networks"]
    rows = [f"| class | {' | '.join(f'`{name}`' for name in networks)} |"]
    rows += [f"|---|{'---|' * len(networks)}"]
    for label in next(iter(networks.values()))["class_errors"]:
        errors = [f"{one['class_errors'][label]:.1f}" for one in networks.values()]
        rows.append(f"| {label} | {' | '.join(errors)} |")
    return "\n".join(rows)


def by_confidence(card: dict[str, Any]) -> str:
    """Return how often each network is right when it is so sure, as Markdown."""
    networks = card["networks"]
    rows = [f"| sure by | {' | '.join(f'`{name}`' for name in networks)} |"]
    rows += [f"|---|{'---|' * len(networks)}"]
    for low in range(0, 100, 100 // BINS):
        high, cells = low + 100 // BINS, []
        for one in networks.values():
            inside = [b for b in one["calibration"] if low <= b["confidence"] < high]
            cells.append(f"{inside[0]['right']:.0f}% of {inside[0]['images']:,}" if inside else "")
        if any(cells):
            rows.append(f"| {low} to {high}% | {' | '.join(cells)} |")
    return "\n".join(rows)


def with_tables(text: str, card: dict[str, Any]) -> str:
    """Return the page's text with its tables renewed."""
    made = {"overview": overview(card), "classes": by_class(card), "sure": by_confidence(card)}
    return renewed(text, made)


def rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    return [rounded(inner, digits) for inner in value] if isinstance(value, list) else value


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the book's own networks on CIFAR-10.")
    parser.add_argument("names", nargs="*", help=f"default: all of {', '.join(NETWORKS)}")
    parser.add_argument("--card", action="store_true", help="only measure those that are packed")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="for CIFAR-10")
    parser.add_argument("--device", help="cpu, cuda (default: cpu)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NETWORKS):
        parser.error(f"no network {sorted(unknown)}: choose from {', '.join(NETWORKS)}")
    data = load_cifar10(options.data_dir)
    missing = [name for name in NETWORKS if not (WEIGHTS / f"{name}.npz").exists()]
    for name in [] if options.card else options.names or missing:
        train(name, data, options.device)
        print(f"packed {name}: {(WEIGHTS / f'{name}.npz').stat().st_size / 1e6:.2f} MB", flush=True)
    found = card(data)
    CARD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
