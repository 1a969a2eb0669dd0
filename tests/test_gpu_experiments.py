"""The runs that wait for a GPU, each tried at tiny size on the processor; and what they ask for."""

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch
from image_files import write_images
from torch.utils.data import TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import results  # noqa: E402
from experiments import EXPERIMENTS, evaluation, fast_cifar10  # noqa: E402

from vgg_utils.data import ImageData  # noqa: E402
from vgg_utils.evaluation import evaluate, top_k_error  # noqa: E402
from vgg_utils.fast_cifar10 import TRICKS, TWO_CORES, Recipe  # noqa: E402
from vgg_utils.fast_cifar10 import train as real_train  # noqa: E402
from vgg_utils.images import read_image  # noqa: E402

SIZES = {"epochs": 2, "batch_size": 16, "width": 1 / 32}


@pytest.fixture
def cifar10(monkeypatch):
    """Sixty-four images of each half, brighter with their label; and what the fast loop is told."""
    labels = torch.arange(64) % 10
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    half = TensorDataset(images + labels[:, None, None, None] / 5, labels)
    data = ImageData(half, half, [str(label) for label in range(10)], torch.zeros(3))
    monkeypatch.setattr(fast_cifar10, "cifar10", lambda folder: data)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    told = []

    def spy(data, recipe, **options):
        told.append((len(data.train), recipe, options))
        return real_train(data, recipe, **options)

    monkeypatch.setattr(fast_cifar10, "train_fast", spy)
    return told


def tiny(name, variant, **changes):
    """A variant's settings as the runner merges them, with sizes that take a second."""
    experiment = EXPERIMENTS[name]
    settings = json.loads(json.dumps({**experiment.common, **experiment.variants[variant]}))
    if "recipe" in settings:
        settings["recipe"] |= SIZES
    return {**settings, **changes}


@pytest.mark.parametrize("variant", EXPERIMENTS["fast_cifar10"].variants)
def test_fast_run_reports_the_last_epoch_and_the_seconds(variant, cifar10):
    outcome = fast_cifar10.fast(tiny("fast_cifar10", variant), 1, Path())
    last = outcome["history"][-1]
    assert [row["epoch"] for row in outcome["history"]] == [1, 2]
    assert outcome["measures"] == {
        "test_error": last["test_error"],
        "train_seconds": last["seconds"],
    }
    count, recipe, options = cifar10[0]
    assert count == 64 and options["seed"] == 1
    changed = {
        key
        for key, value in asdict(recipe).items()
        if key not in SIZES and value != getattr(Recipe(), key)
    }
    if variant.startswith("without "):
        assert changed == {variant.removeprefix("without ")}
    else:
        assert changed == {"everything, compiled": {"compile"}}.get(variant, set())
    assert recipe.batch_size == (64 if variant == "batches of 64" else 16)


def test_every_trick_is_turned_off_once():
    """On a GPU all of them; on a processor those that change more than the speed."""
    for name, tricks in (
        ("fast_cifar10", set(TRICKS)),
        ("fast_cifar10_subset", set(TRICKS) - {"on_device", "half", "channels_last"}),
    ):
        off = [
            variant["without"]
            for variant in EXPERIMENTS[name].variants.values()
            if "without" in variant
        ]
        assert sorted(off) == sorted([trick] for trick in tricks)
        assert EXPERIMENTS[name].variants["everything"] == {}


def test_numbers_are_the_defaults_of_the_recipe():
    numbers = {f.name: f.default for f in fields(Recipe) if not isinstance(f.default, bool)}
    assert numbers == fast_cifar10.NUMBERS


def test_subset_is_another_one_for_every_seed_and_tested_at_the_end(cifar10):
    settings = tiny("fast_cifar10_subset", "everything", train_size=32, test_size=20)
    outcomes = [fast_cifar10.fast(settings, seed, Path()) for seed in (1, 2)]
    for outcome, (count, _, options) in zip(outcomes, cifar10, strict=True):
        assert count == 32 and options["device"] == "cpu"
        assert [set(row) for row in outcome["history"]] == [
            {"epoch", "train_loss"},
            {"epoch", "train_loss", "test_error"},
        ]
        assert outcome["measures"] == {"test_error": outcome["history"][-1]["test_error"]}
    data = fast_cifar10.cifar10(None)
    first, again, other = (fast_cifar10.subset(data, settings, seed) for seed in (1, 1, 2))
    assert torch.equal(first.train.tensors[1], again.train.tensors[1])
    assert not torch.equal(first.train.tensors[0], other.train.tensors[0])
    assert torch.equal(first.test.tensors[0], data.test.tensors[0][:20])
    pixels = [set(half.tensors[0][:, 0, 0, 0].tolist()) for half in (first.train, data.train)]
    assert len(pixels[0]) == 32 and pixels[0] <= pixels[1]


def test_runs_against_the_clock_report_the_last_epoch_and_the_minutes(cifar10):
    experiment = EXPERIMENTS["two_cores"]
    assert experiment.threads == 2
    assert results.runs_at_once(experiment, jobs=8) == 1  # one that is timed has all to itself
    assert results.device_name(experiment).endswith(", 2 threads)")
    assert experiment.variants["the preset"]["recipe"] == asdict(TWO_CORES)
    for variant in experiment.variants:
        settings = tiny("two_cores", variant)
        if "fit" in settings:
            settings["model"]["width"] = 1 / 32
            settings["fit"] |= {"epochs": 2, "batch_size": 16, "milestones": [1]}
        outcome = fast_cifar10.against_the_clock(settings, 3, Path())
        assert len(outcome["history"]) == 2
        assert outcome["measures"]["test_error"] == outcome["history"][-1]["test_error"] < 100
        assert 0 < outcome["measures"]["minutes"] < 1
    assert len(cifar10) == 1 and cifar10[0][2]["device"] == "cpu"


def test_vgg16_is_d_with_all_its_channels_and_trains(cifar10):
    name = "D with batch norm"
    settings = tiny("vgg16_cifar10", name)
    assert settings["model"]["layer_config"] == "D" and settings["model"].get("width", 1) == 1
    assert settings["fit"]["epochs"] <= 30
    settings["model"]["width"] = 1 / 32
    settings["fit"] |= {"epochs": 2, "batch_size": 16}
    outcome = fast_cifar10.vgg16(settings, 3, Path())
    assert outcome["history"][-1]["learning_rate"] == 0  # the end of its cycle
    assert outcome["measures"] == {"test_error": outcome["history"][-1]["test_error"]}
    assert outcome["measures"]["test_error"] < 100


def test_vgg16_also_goes_through_the_fast_loop(cifar10):
    settings = tiny("vgg16_cifar10", "D's convolutions in the fast loop")
    outcome = fast_cifar10.vgg16(settings, 3, Path())
    assert cifar10[0][2]["layers"] == "D"
    assert set(outcome["measures"]) == {"test_error", "train_seconds"}


@pytest.mark.parametrize(("there", "name"), [(True, "cuda"), (False, "cpu")])
def test_runs_go_to_the_gpu_where_there_is_one(there, name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert fast_cifar10.device() == name


PHOTOS = ["evaluation_photos", "evaluation_flowers"]
TINY_PHOTOS = {
    "data": "photos",
    "widest": [32, 64],
    "crop": 32,
    "step": 4,
    "curve": [40],
    "folds": None,
    "without_pools": 0,
    "model": {"width": 1 / 32, "pool_size": 1, "hidden_features": 8},
    "fit": {"epochs": 1, "batch_size": 4},
}


@pytest.mark.parametrize("name", PHOTOS)
def test_lengths_are_the_papers_by_one_factor(name):
    """224, 256, 384 and 512, and the step of 32, times 4/7 or 2/7; no scale beyond the images."""
    experiment = EXPERIMENTS[name]
    crop, side = experiment.common["crop"], experiment.common["model"]["pool_size"]
    stride = 32 // 2 ** experiment.common["without_pools"]
    assert crop == stride * side
    # Class maps of a square image, by its S: the paper's are 2x2, 6x6 and 10x10.
    places = [s // stride - side + 1 for s in (*experiment.common["widest"], 109 * crop // 64)]
    assert places == [2, 11, 6]
    scales = [variant["scale"] for variant in experiment.variants.values()]
    paper = [[256, 256], [384, 384], [256, 512]]
    for found, expected in zip(scales, paper, strict=True):
        assert found == [round(length * crop / 224) for length in expected]
    assert experiment.common["step"] == round(32 * crop / 224)
    assert experiment.common["widest"] == scales[-1]
    smallest_side = {"evaluation_photos": 320, "evaluation_flowers": 180}[name]
    assert max(experiment.common["curve"]) == scales[-1][1] <= smallest_side


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("number", [0, 2])
def test_photos_are_trained_on_at_s_and_looked_at_in_every_way(name, number, tmp_path, monkeypatch):
    write_images(tmp_path / "photos", sizes=((64, 80), (90, 70)))
    variant = list(EXPERIMENTS[name].variants)[number]
    scale = [32, 64] if number else [40, 40]
    settings = tiny(name, variant, scale=scale, **TINY_PHOTOS)
    trained = {}
    real = evaluation.train_on_photos

    def spy(config, data, settings, seed):
        assert data.train.transform.scale == tuple(scale) and data.train.transform.size == 32
        model, history = real(config, data, settings, seed)
        trained[config] = model
        return model, history

    monkeypatch.setattr(evaluation, "train_on_photos", spy)
    outcome = evaluation.photos(settings, 1, tmp_path)
    measures = outcome["measures"]
    if number == 0:
        assert set(measures) == {f"D dense {q}" for q in ("36", "40", "44", "36,40,44")}
        assert list(outcome["history"]) == ["D"]
        return
    one = {*(f"dense {q}" for q in (32, 40, 48, 64)), "crop 48"}
    three = {f"{way} 32,48,64" for way in ("dense", "crops", "both")}
    assert set(measures) == {f"{net} {what}" for net in "DE" for what in one | three} | {
        f"D+E {what}" for what in three
    }
    # The same by other means: whole photographs read anew, both protocols in one call, averaged.
    data = evaluation.load_photos(settings, tmp_path)
    photos = [
        (read_image(path) - data.mean[:, None, None], label) for path, label in data.test.samples
    ]
    labels = torch.tensor([label for _, label in photos])
    both = {
        net: evaluate(trained[net], photos, [32, 48, 64], protocol="both", progress=False)[0]
        for net in "DE"
    }
    for net in "DE":
        assert measures[f"{net} both 32,48,64"] == top_k_error(both[net], labels)
    assert measures["D+E both 32,48,64"] == top_k_error((both["D"] + both["E"]) / 2, labels)


def test_imagenette_is_read_in_one_version_for_every_s(monkeypatch, tmp_path):
    write_images(tmp_path / "photos")
    asked = []

    def load(root, size, scale):
        asked.append((size, scale))
        return evaluation.load_folder(tmp_path / "photos", size=size, scale=scale)

    monkeypatch.setattr(evaluation, "load_imagenette", load)
    for variant in EXPERIMENTS["evaluation_photos"].variants.values():
        settings = {**EXPERIMENTS["evaluation_photos"].common, **variant}
        data = evaluation.load_photos(settings, tmp_path)
        assert list(data.train.transform.scale) == variant["scale"]
    assert asked == [(128, (146, 293))] * 3
