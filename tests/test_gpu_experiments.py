"""The runs that wait for a GPU, each tried at tiny size on the processor; and what they ask for."""

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from experiments import EXPERIMENTS, fast  # noqa: E402

from vgg_utils.data import ImageData  # noqa: E402
from vgg_utils.fast_cifar10 import TRICKS, Recipe  # noqa: E402
from vgg_utils.fast_cifar10 import train as real_train  # noqa: E402

SIZES = {"epochs": 2, "batch_size": 16, "width": 1 / 32}


@pytest.fixture
def cifar10(monkeypatch):
    """Sixty-four images of each half, brighter with their label; and what the fast loop is told."""
    labels = torch.arange(64) % 10
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    half = TensorDataset(images + labels[:, None, None, None] / 5, labels)
    data = ImageData(half, half, [str(label) for label in range(10)], torch.zeros(3))
    monkeypatch.setattr(fast, "cifar10", lambda folder: data)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    told = []

    def spy(data, recipe, **options):
        told.append((len(data.train), recipe, options))
        return real_train(data, recipe, **options)

    monkeypatch.setattr(fast, "train_fast", spy)
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
    outcome = fast.fast(tiny("fast_cifar10", variant), 1, Path())
    last = outcome["history"][-1]
    assert [row["epoch"] for row in outcome["history"]] == [1, 2]
    assert outcome["measures"] == {
        "test_error": last["test_error"], "train_seconds": last["seconds"],
    }  # fmt: skip
    count, recipe, options = cifar10[0]
    assert count == 64 and options["seed"] == 1
    changed = {
        key for key, value in asdict(recipe).items()
        if key not in SIZES and value != getattr(Recipe(), key)
    }  # fmt: skip
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
        off = [variant["without"] for variant in EXPERIMENTS[name].variants.values()
               if "without" in variant]  # fmt: skip
        assert sorted(off) == sorted([trick] for trick in tricks)
        assert EXPERIMENTS[name].variants["everything"] == {}


def test_numbers_are_the_defaults_of_the_recipe():
    numbers = {f.name: f.default for f in fields(Recipe) if not isinstance(f.default, bool)}
    assert numbers == fast.NUMBERS


def test_subset_is_another_one_for_every_seed_and_tested_at_the_end(cifar10):
    settings = tiny("fast_cifar10_subset", "everything", train_size=32, test_size=20)
    outcomes = [fast.fast(settings, seed, Path()) for seed in (1, 2)]
    for outcome, (count, _, options) in zip(outcomes, cifar10, strict=True):
        assert count == 32 and options["device"] == "cpu"
        assert [set(row) for row in outcome["history"]] == [
            {"epoch", "train_loss"}, {"epoch", "train_loss", "test_error"},
        ]  # fmt: skip
        assert outcome["measures"] == {"test_error": outcome["history"][-1]["test_error"]}
    data = fast.cifar10(None)
    first, again, other = (fast.subset(data, settings, seed) for seed in (1, 1, 2))
    assert torch.equal(first.train.tensors[1], again.train.tensors[1])
    assert not torch.equal(first.train.tensors[0], other.train.tensors[0])
    assert torch.equal(first.test.tensors[0], data.test.tensors[0][:20])
    pixels = [set(half.tensors[0][:, 0, 0, 0].tolist()) for half in (first.train, data.train)]
    assert len(pixels[0]) == 32 and pixels[0] <= pixels[1]


def test_vgg16_is_d_with_all_its_channels_and_trains(cifar10):
    name = "D with batch norm"
    settings = tiny("vgg16_cifar10", name)
    assert settings["model"]["layer_config"] == "D" and settings["model"].get("width", 1) == 1
    assert settings["fit"]["epochs"] <= 30
    settings["model"]["width"] = 1 / 32
    settings["fit"] |= {"epochs": 2, "batch_size": 16, "drop_at": [1]}
    outcome = fast.vgg16(settings, 3, Path())
    rates = [row["learning_rate"] for row in outcome["history"]]
    assert rates == pytest.approx([0.05, 0.005])
    assert outcome["measures"] == {"test_error": outcome["history"][-1]["test_error"]}
    assert outcome["measures"]["test_error"] < 100


def test_vgg16_also_goes_through_the_fast_loop(cifar10):
    settings = tiny("vgg16_cifar10", "D's convolutions in the fast loop")
    outcome = fast.vgg16(settings, 3, Path())
    assert cifar10[0][2]["layers"] == "D"
    assert set(outcome["measures"]) == {"test_error", "train_seconds"}


@pytest.mark.parametrize(("there", "name"), [(True, "cuda"), (False, "cpu")])
def test_runs_go_to_the_gpu_where_there_is_one(there, name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert fast.device() == name
