"""Chapter 8: boxes from a classifier (Table 8), features for new classes, and where it looks.

One classifier a seed, of the digits 0 to 6 in scenes, serves all three; 7, 8 and 9 are kept back.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch.utils.data import TensorDataset

from experiments.base import Experiment, Settings
from vgg_utils.configs import layer_configs
from vgg_utils.data import DigitScenes, ImageData, digit_scenes
from vgg_utils.localise import (
    BoxedImages,
    box_regressor,
    boxes_of,
    crop,
    fit_boxes,
    grad_cam,
    iou,
    merge_boxes,
    random_corners,
    squares,
    uncrop,
)
from vgg_utils.model import VGGNet
from vgg_utils.training import fit

SIDE, SIZE, STRIDE = 40, 32, 8  # of a scene, of the network's input, between two squares
SEEN = 7  # the digits below are for the classifier
SCENES = {"size": SIDE, "scale": [18, 32], "distractors": 4}
CLASSIFIER = {
    "scenes": SCENES,
    "counts": [2900, 1000],  # of all ten digits: for training and for test
    "model": {
        "layer_config": layer_configs["A"][:10],  # its first four blocks
        "batch_norm": True,
        "width": 0.125,
        "pool_size": 2,
        "hidden_features": 256,
        "dropout": 0.2,
    },
    "fit": {"epochs": 6, "batch_size": 32, "learning_rate": 0.02, "drop_at": [4]},
}
DATA = (
    "digit scenes of 40x40 pixels from scikit-learn's digits: some 2,030 to train on and 700 to "
    "test on with 0 to 6, 870 and 300 with 7 to 9; the networks see squares of 32 pixels"
)


class Study(NamedTuple):
    """A classifier of 0 to 6 and the scenes: with 0 to 6, and with 7 to 9, which it has not met."""

    net: VGGNet
    train: BoxedImages
    test: BoxedImages
    new_train: BoxedImages
    new_test: BoxedImages
    error: float  # of the classifier on the middle squares of `test`, percent


def study(settings: Settings, seed: int) -> Study:
    """Return the study of a seed; trained once in a process, since many variants begin there."""
    return _study(json.dumps(settings["classifier"]), seed)


@lru_cache(maxsize=10)
@torch.enable_grad()
def _study(settings: str, seed: int) -> Study:
    wanted = json.loads(settings)
    train, test = (
        digit_scenes(count, train=is_train, seed=seed, **wanted["scenes"])
        for count, is_train in zip(wanted["counts"], (True, False), strict=True)
    )
    mean = train.images[train.labels < SEEN].mean()

    def select(scenes: DigitScenes, seen: bool) -> BoxedImages:
        kept = (scenes.labels < SEEN) == seen
        first = 0 if seen else SEEN
        return BoxedImages(
            scenes.images[kept] - mean,
            scenes.labels[kept] - first,
            scenes.boxes[kept],
            [str(digit) for digit in (range(SEEN) if seen else range(SEEN, 10))],
        )

    data = select(train, True)
    held_out = select(test, True)
    middle, _ = middle_squares(held_out)
    torch.manual_seed(seed)
    net = VGGNet(1, SEEN, **wanted["model"])

    def augment(images: torch.Tensor) -> torch.Tensor:
        no_boxes = torch.zeros(len(images), 4)
        return crop(images, no_boxes, random_corners(images, SIZE), SIZE)[0]

    history = fit(
        net,
        ImageData(
            TensorDataset(data.images, data.labels),
            TensorDataset(middle, held_out.labels),
            data.classes,
            mean.view(1),
        ),
        augment=augment,
        seed=seed,
        progress=False,
        **wanted["fit"],
    )
    net.eval()
    return Study(
        net, data, held_out, select(train, False), select(test, False), history[-1]["test_error"]
    )


def untrained(settings: Settings, seed: int) -> VGGNet:
    """Return the classifier as it was before its training."""
    torch.manual_seed(seed)
    return VGGNet(1, SEEN, **settings["classifier"]["model"]).eval()


def middle_squares(data: BoxedImages) -> tuple[torch.Tensor, torch.Tensor]:
    corners = torch.full((len(data.images), 2), (SIDE - SIZE) // 2)
    return crop(data.images, data.boxes, corners, SIZE)[0], corners


def wrong(boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return ~(iou(boxes, truth) > 0.5)  # so that a box that is no number counts as wrong


def percent(values: torch.Tensor) -> float:
    return 100 * values.float().mean().item()


# Boxes (Appendix A)


@torch.no_grad()
def localisation(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train one box regressor; report the share of wrong boxes (IoU at most 0.5), percent.

    Unless the name says otherwise the class is given and the network sees the middle square. "cut"
    are the test scenes whose box reaches beyond that square, "uncut" the others.
    """
    base = study(settings, seed)
    start = base.net if settings["start"] == "classifier" else untrained(settings, seed)
    torch.manual_seed(seed)
    model = box_regressor(start, SEEN if settings["regression"] == "PCR" else 1)
    images, labels, boxes = (part[: settings["boxes"]] for part in base.train[:3])
    train = BoxedImages(images, labels, boxes, base.train.classes)
    with torch.enable_grad():
        losses = fit_boxes(
            model, train, size=SIZE, layers=settings["layers"], seed=seed, **settings["fit"]
        )
    mistakes = middle_mistakes(model, base.test)
    cut = (base.test.boxes[:, :2] - SIDE / 2).abs() + base.test.boxes[:, 2:] / 2 > SIZE / 2
    cut = cut.any(dim=1)
    measures = {
        "error": percent(mistakes),
        "training_scenes_error": percent(middle_mistakes(model, train)),
        "average_box_error": percent(wrong(train.boxes.mean(dim=0), base.test.boxes)),
    }
    if settings["regression"] == "SCR":
        measures["new_digits_error"] = percent(middle_mistakes(model, base.new_test))
    if settings.get("whole_image"):
        answers = base.net(middle_squares(base.test)[0]).argmax(dim=1)
        mistaken = answers != base.test.labels
        own = middle_mistakes(model, base.test._replace(labels=answers))
        measures["class_error"] = percent(mistaken)
        measures["own_class_error"] = percent(mistaken | own)
        measures["cut"] = percent(cut)
        measures["cut_error"] = percent(mistakes[cut])
        measures["uncut_error"] = percent(mistakes[~cut])
        for name, sides in (("one_scale", [40]), ("three_scales", [32, 40, 48])):
            answers, given, found = whole_image(base, model, sides)
            mistaken, mistakes = answers != base.test.labels, wrong(given, base.test.boxes)
            measures[f"{name}_error"] = percent(mistakes)
            measures[f"{name}_cut_error"] = percent(mistakes[cut])
            measures[f"{name}_uncut_error"] = percent(mistakes[~cut])
            measures[f"{name}_class_error"] = percent(mistaken)
            measures[f"{name}_own_class_error"] = percent(mistaken | wrong(found, base.test.boxes))
    return {"measures": measures, "losses": losses}


def middle_mistakes(model: VGGNet, data: BoxedImages) -> torch.Tensor:
    """Say of each scene whether the box of its label, predicted from the middle, is wrong (N,)."""
    middle, corners = middle_squares(data)
    return wrong(uncrop(boxes_of(model(middle), data.labels), corners, SIZE), data.boxes)


def whole_image(
    base: Study, model: VGGNet, sides: list[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Merge the boxes of all squares; return classes (N,), boxes of the true class and of ours."""
    posteriors, boxes = [], []
    for side in sides:
        cut, corners = squares(base.test.images, side, SIZE, STRIDE)
        for place, corner in enumerate(corners):
            square = cut[:, place]
            posteriors.append(base.net(square).softmax(dim=1))  # (N, classes)
            each = model(square).view(len(square), -1, 4)
            each = [uncrop(b, corner.expand(len(b), 2), SIZE) * SIDE / side for b in each]
            boxes.append(torch.stack(each))  # (N, classes, 4)
    scores, candidates = torch.stack(posteriors, 1), torch.stack(boxes, 1)  # (N, M, ...)
    answers = scores.mean(dim=1).argmax(dim=1)

    def merged(labels: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [
                merge_boxes(candidates[i, :, label], scores[i, :, label])[0][0]
                for i, label in enumerate(labels.tolist())
            ]
        )

    return answers, merged(base.test.labels), merged(answers)


# Features (Appendix B)

PER_CLASS = [2, 5, 10, 20, 50]
DRAWS = 5  # of the labelled examples, in each run


@torch.no_grad()
def descriptors(net: VGGNet, images: torch.Tensor, settings: Settings) -> np.ndarray:
    """Return one descriptor for each image, of length 1: fc7 after its ReLU, averaged over places.

    Over scales they are averaged or stacked, as `settings["scales_by"]` says (App. B).
    """
    if settings["features"] == "pixels":
        return normalize(images.flatten(1).numpy())
    by_scale = []
    for side in settings["sides"]:
        cut, _ = squares(images, side, SIZE, STRIDE)
        flat = torch.cat(
            [net.avgpool(net.features(part)).flatten(1) for part in cut.flatten(0, 1).split(500)]
        )
        fc7 = net.classifier[:-1](flat).view(*cut.shape[:2], -1)
        by_scale.append(fc7.mean(dim=1))
    if settings.get("scales_by") == "stacking":
        return normalize(torch.cat(by_scale, dim=1).numpy())
    return normalize(torch.stack(by_scale).mean(dim=0).numpy())


def features(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Train linear SVMs on few labelled scenes of 7, 8 and 9; report the errors, percent."""
    base = study(settings, seed)
    net = base.net
    if settings["features"] == "untrained":
        net = untrained(settings, seed)
    known = descriptors(net, base.new_train.images, settings)
    asked = descriptors(net, base.new_test.images, settings)
    labels, truth = base.new_train.labels.numpy(), base.new_test.labels.numpy()
    rng = np.random.default_rng(seed)
    errors: dict[str, list[float]] = {f"error_{count}": [] for count in PER_CLASS}
    for _ in range(DRAWS):
        order = [rng.permutation(np.flatnonzero(labels == label)) for label in range(3)]
        for count in PER_CLASS:
            chosen = np.concatenate([places[:count] for places in order])
            svm = LinearSVC(C=settings["C"], random_state=0, max_iter=10_000)
            svm.fit(known[chosen], labels[chosen])
            errors[f"error_{count}"].append(100 * float((svm.predict(asked) != truth).mean()))
    return {"measures": {name: float(np.mean(values)) for name, values in errors.items()}}


# Grad-CAM


def looking(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Report how often the brightest point of the heat map lies in the digit's box, percent."""
    base = study(settings, seed)
    net = base.net
    if not settings["trained"]:
        net = untrained(settings, seed)
    middle, corners = middle_squares(base.test)
    _, boxes = crop(base.test.images, base.test.boxes, corners, SIZE)  # in units of the square
    heat = grad_cam(net, middle, base.test.labels)
    rows = heat.shape[1]
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(rows)).flip(1)  # (16, 2): x, y
    places = (places + 0.5) / rows - 0.5
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2

    def inside(points: torch.Tensor) -> torch.Tensor:
        return ((points >= low) & (points <= high)).all(dim=1)

    hit = inside(places[heat.flatten(1).argmax(dim=1)])
    central = inside(torch.zeros(2))
    chance = torch.stack([inside(place) for place in places]).float().mean(dim=0)  # (N,)
    return {
        "measures": {
            "hit": percent(hit),
            "by_chance": percent(chance),
            "middle_in_box": percent(central),
            "off_centre_hit": percent(hit[~central]),
            "off_centre_by_chance": percent(chance[~central]),
        }
    }


def table_8(layers: str, regression: str, epochs: int = 8, **more: Any) -> dict[str, Any]:
    """Return a variant of `localisation`; the rate falls once, for the last quarter."""
    fit = {"epochs": epochs, "batch_size": 32, "learning_rate": 0.02, "drop_at": [epochs * 3 // 4]}
    return {"layers": layers, "regression": regression, "fit": fit, **more}


def svm(kind: str, sides: tuple[int, ...] = (), **more: str) -> dict[str, Any]:
    return {"features": kind, "sides": list(sides), **more}


# Seven times as long, since under PCR each of the seven boxes gets a seventh of the updates.
LONG = 7 * 8
FEW = 200  # scenes with a box, for about as many updates as 8 epochs of all of them
SEEDS = [1, 2, 3, 4, 5]
EXPERIMENTS = {
    "localisation": Experiment(
        question="How often is a predicted box wrong, by what is trained and how boxes are merged?",
        paper="Tables 8 and 9, App. A",
        data=DATA,
        seeds=SEEDS,
        variants={
            "fc6 and fc7, SCR": table_8("fc", "SCR"),
            "fc6 and fc7, PCR": table_8("fc", "PCR"),
            "all, SCR": table_8("all", "SCR"),
            "all, PCR": table_8("all", "PCR", whole_image=True),
            "fc6 and fc7, SCR, untrained start": table_8("fc", "SCR", start="untrained"),
            "all, SCR, untrained start": table_8("all", "SCR", start="untrained"),
            "all, SCR, 200 boxes": table_8("all", "SCR", 80, boxes=FEW),
            "all, SCR, 200 boxes, untrained start": table_8(
                "all", "SCR", 80, boxes=FEW, start="untrained"
            ),
            "fc6 and fc7, SCR, 56 epochs": table_8("fc", "SCR", LONG),
            "fc6 and fc7, PCR, 56 epochs": table_8("fc", "PCR", LONG),
            "fc6 and fc7, SCR, 56 epochs, untrained start": table_8(
                "fc", "SCR", LONG, start="untrained"
            ),
            "all, SCR, 56 epochs": table_8("all", "SCR", LONG),
            "all, PCR, 56 epochs": table_8("all", "PCR", LONG, whole_image=True),
        },
        common={"classifier": CLASSIFIER, "start": "classifier", "boxes": None},
        run=localisation,
        minutes=18,
    ),
    "features": Experiment(
        question="How many labelled examples do new classes need on the features of a trained net?",
        paper="Table 11, App. B",
        data=DATA,
        seeds=SEEDS,
        variants={
            "trained, one scale": svm("trained", (40,)),
            "trained, three scales averaged": svm("trained", (32, 40, 48), scales_by="averaging"),
            "trained, three scales stacked": svm("trained", (32, 40, 48), scales_by="stacking"),
            "untrained, one scale": svm("untrained", (40,)),
            "pixels": svm("pixels"),
        },
        common={"classifier": CLASSIFIER, "C": 1.0},
        run=features,
        minutes=1,
    ),
    "grad_cam": Experiment(
        question="How often is the brightest point of Grad-CAM on the digit?",
        data=DATA,
        seeds=SEEDS,
        variants={"trained": {"trained": True}, "untrained": {"trained": False}},
        common={"classifier": CLASSIFIER},
        run=looking,
        minutes=1,
    ),
}
