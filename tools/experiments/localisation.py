"""Lesson 10: boxes from a classifier (Table 8).

One classifier a seed, of the digits 0 to 6 in scenes, serves these experiments and those of
`transfer` and `inside`; 7, 8 and 9 are kept back.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import TensorDataset

from experiments.base import Experiment, Settings
from vgg_utils.configs import layer_configs
from vgg_utils.digits import DigitScenes, digit_scenes
from vgg_utils.localise import (
    BoxedImages,
    box_regressor,
    boxes_of,
    crop,
    fit_boxes,
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
    "fit": {"epochs": 6, "batch_size": 32, "learning_rate": 0.02, "milestones": [4]},
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
    torch.manual_seed(seed)
    net = VGGNet(1, SEEN, **wanted["model"])

    def augment(images: torch.Tensor) -> torch.Tensor:
        no_boxes = torch.zeros(len(images), 4)
        return crop(images, no_boxes, random_corners(images, SIZE), SIZE)[0]

    pairs = TensorDataset(data.images, data.labels)
    fit(net, pairs, augment=augment, seed=seed, progress=False, **wanted["fit"])
    parts = select(test, True), select(train, False), select(test, False)
    return Study(net.eval(), data, *parts)


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


def table_8(layers: str, regression: str, epochs: int = 8, **more: Any) -> dict[str, Any]:
    """Return a variant of `localisation`; the rate falls once, for the last quarter."""
    fit = {
        "epochs": epochs,
        "batch_size": 32,
        "learning_rate": 0.02,
        "milestones": [epochs * 3 // 4],
    }
    return {"layers": layers, "regression": regression, "fit": fit, **more}


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
    )
}
