"""The paper's claims on photographs: each run at tiny size, the rule, and the design's tables."""

import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.utils.data import TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import claims  # noqa: E402
import results  # noqa: E402
from claims import CLAIMS, Claim  # noqa: E402
from experiments import EXPERIMENTS, evaluation, fast_cifar10, photographs, views  # noqa: E402
from image_files import write_images  # noqa: E402

from vgg_utils.data import ImageData  # noqa: E402
from vgg_utils.model import VGGNet, weight_layers  # noqa: E402
from vgg_utils.receptive_field import receptive_field  # noqa: E402
from vgg_utils.training import fit  # noqa: E402

NAMES = [name for name, one in EXPERIMENTS.items() if one.pilot]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Twenty images of each half in place of CIFAR-10, an empty folder of networks, and a count."""
    labels = torch.arange(20) % 10
    noise = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    half = TensorDataset(noise, labels)
    data = ImageData(half, half, [str(label) for label in range(10)], torch.full((3,), 0.5))
    monkeypatch.setattr(photographs, "cifar10", lambda folder: data)
    monkeypatch.setattr(fast_cifar10, "cifar10", lambda folder: data)
    monkeypatch.setattr(photographs, "KEPT", tmp_path / "networks")
    write_images(tmp_path / "flowers5", sizes=((150, 160), (170, 150)))
    trained = []

    def spy(model, train, *others, **options):
        trained.append(options["epochs"])
        return fit(model, train, *others, **options)

    monkeypatch.setattr("experiments.base.fit", spy)
    return trained


def tiny(settings):
    """Make every network of the settings, nested ones too, narrow, and every training one epoch."""
    small = {
        key: tiny(value) if isinstance(value, dict) else value for key, value in settings.items()
    }
    if "width" in small:
        small["width"] = 1 / 64
    if "hidden_features" in small:
        small["hidden_features"] = 8
    if "epochs" in small:
        small |= {"epochs": 1, "batch_size": 6}
    if "milestones" in small:
        small["milestones"] = []
    return small


def try_out(name, variant, seed=1, folder=Path()):
    settings = tiny(results.settings_of(EXPERIMENTS[name], variant))
    return results.rounded(EXPERIMENTS[name].run(settings, seed, folder))


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_runs_and_all_give_what_their_claims_compare(name, photos, tmp_path):
    asked = {
        place for claim in CLAIMS for place in (claim.one, claim.other) if claim.experiment == name
    }
    for variant in EXPERIMENTS[name].variants:
        outcome = try_out(name, variant, folder=tmp_path)
        assert json.loads(json.dumps(outcome)) == outcome
        measures = outcome["measures"]
        assert {measure for of, measure in asked if of == variant} <= set(measures)
        assert all(math.isfinite(value) for value in measures.values())
    assert {of for of, _ in asked} <= set(EXPERIMENTS[name].variants)


def test_network_is_trained_once_and_found_again_in_the_same_state(photos):
    settings = tiny(results.settings_of(EXPERIMENTS["depth_photographs"], "D"))
    model, history = photographs.trained(settings, 1, Path())
    assert len(photos) == 2  # A, and D that starts from it
    again, same_history = photographs.trained(settings, 1, Path())
    assert len(photos) == 2 and history == same_history
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in again.state_dict().items())
    photographs.trained(settings, 2, Path())
    assert len(photos) == 4  # another seed is another network
    settings["fit"]["learning_rate"] = 0.05
    photographs.trained(settings, 1, Path())
    assert len(photos) == 6


def test_whole_recipe_is_the_a_with_batch_norm_of_the_depth_table(photos):
    try_out("depth_photographs", "A, batch norm")
    trained = len(photos)
    try_out("recipe_photographs", "everything")
    assert len(photos) == trained
    try_out("recipe_photographs", "without flip")
    assert len(photos) == trained + 1


def test_each_part_of_the_recipe_is_left_out_alone():
    variants = EXPERIMENTS["recipe_photographs"].variants

    def flat(settings, prefix=""):
        found = {}
        for key, value in settings.items():
            found |= (
                flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
            )
        return found

    def of(name):
        return flat(results.settings_of(EXPERIMENTS["recipe_photographs"], name))

    whole, changed = of("everything"), {}
    for name in variants:
        own = of(name)
        changed[name] = sorted(key for key in {*own, *whole} if own.get(key) != whole.get(key))
    assert changed == {
        "everything": [],
        "without flip": ["augment.flip"],
        "without shifts": ["augment.shift"],
        "without colour shift": ["augment.colours"],
        "without dropout": ["model.dropout"],
        "without weight decay": ["fit.weight_decay"],
        "the paper's dropout": ["model.dropout"],
    }


def test_twin_sees_as_far_as_b_with_as_many_weights():
    nets = {
        name: VGGNet(3, 10, **photographs.net(layers)["model"])
        for name, layers in (
            ("B", "B"),
            ("twin", photographs.TWIN),
            ("equal", photographs.EQUAL_TWIN),
        )
    }
    weights = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    assert weights["equal"] == pytest.approx(weights["B"], rel=0.01)
    assert weights["twin"] > 1.05 * weights["B"]
    fields = {
        name: [row.receptive_field for row in receptive_field([net.features]) if "pool" in row.name]
        for name, net in nets.items()
    }
    assert fields["B"] == fields["twin"] == fields["equal"]


def test_jittered_network_and_its_equal_are_trained_as_long_from_the_same_network():
    stages = views.stages("D")

    def chain(name):
        stage, found = stages[name], []
        while stage:
            found.append(
                (stage["augment"]["crop"], stage["fit"]["epochs"], stage["fit"]["learning_rate"])
            )
            stage = stage["after"]
        return found[::-1]

    jitter, longer = chain("jitter"), chain("S = 48, longer")
    assert jitter[:-1] == longer[:-1] and jitter[-1][1:] == longer[-1][1:]
    assert (jitter[-1][0], longer[-1][0]) == ([32, 64], [48, 48])
    assert [part[1:] for part in chain("S = 32, longer")] == [part[1:] for part in jitter]
    assert {part[0][0] for part in chain("S = 32, longer")} == {32}


def test_stride_of_eight_gives_the_paper_s_protocol_in_strides():
    net = VGGNet(3, 10, **views.stages("E")["jitter"]["model"]).eval()
    convolutions = [layer for layer in net.features if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 16 and net.image_size == 24 and net.min_size == 8
    assert not any(scale % 8 for scale in [*views.JITTER, *views.NEW])
    paper = [224, 256, 384, 512]
    ours = [views.CROP, views.SMALL, views.MIDDLE, views.LARGE]
    assert [s / 8 - 3 for s in ours] == [0, 1, 3, 5] and [s / 32 - 7 for s in paper] == [0, 1, 5, 9]


def test_folds_test_every_flower_once_and_train_on_the_others(tmp_path):
    write_images(tmp_path / "flowers5", sizes=((80, 90),) * 7)
    whole = evaluation.load_folder(tmp_path / "flowers5", size=32)
    every = sorted(whole.train.samples + whole.test.samples)
    tested = []
    for seed in EXPERIMENTS["flowers_photographs"].seeds:
        fold = evaluation.one_fold(whole, seed % 5, 5)
        assert sorted(fold.train.samples + fold.test.samples) == every
        counts = [fold.test.targets.count(label) for label in range(len(fold.classes))]
        assert max(counts) - min(counts) <= 1
        tested += fold.test.samples
        assert fold.test.transform.mean == fold.train.transform.colours.mean.tolist()
        assert torch.equal(fold.mean, fold.train.transform.colours.mean)
    assert sorted(tested) == every


def test_start_that_diverges_counts_as_not_started(photos, monkeypatch):
    def diverge(*arguments, **options):
        raise photographs.TrainingError("the loss is nan")

    monkeypatch.setattr("experiments.base.fit", diverge)
    outcome = try_out("starts_photographs", "D, Xavier")
    assert outcome["measures"] == {"error": 90.0, "started": 0}
    assert outcome["stopped"] == "the loss is nan"


def test_pixels_are_as_large_as_the_paper_s(photos):
    small, large = (photographs.images({"pixels": p}, Path()).train.tensors[0] for p in (1, 255))
    assert torch.equal(small * 255, large)


def claim(kind="change", published=(27.0, 28.7)):
    return Claim("x", "depth_photographs", ("D", "error"), ("B", "error"), kind, published)


@pytest.mark.parametrize(
    ("kind", "changes", "word"),
    [
        ("change", [-1.2, -0.8, -1.0, -1.1, -0.9], "agrees"),
        ("change", [1.2, 0.8, 1.0, 1.1, 0.9], "disagrees"),
        ("change", [-0.2, 0.3, -0.1, 0.1, -0.1], "less than the paper's"),  # 5.9% of 15 is 0.89
        ("change", [-2.0, 1.5, -0.5, 0.4, 0.2], "cannot tell"),
        ("equal", [-0.2, 0.3, -0.1, 0.1, -0.1], "agrees"),  # 3% of 15 is 0.45
        ("equal", [0.1, 0.12, 0.1, 0.09, 0.11], "agrees"),  # not zero, and yet none to speak of
        ("equal", [1.2, 0.8, 1.0, 1.1, 0.9], "disagrees"),
        ("equal", [-1.0, 0.9, 0.5, -0.4, 0.3], "cannot tell"),
        ("equal", [0.3, 0.5, 0.4, 0.45, 0.35], "cannot tell"),  # beyond zero, across the margin
        ("effect", [1.2, 0.8, 1.0, 1.1, 0.9], "higher error"),
        ("effect", [-1.2, -0.8, -1.0, -1.1, -0.9], "lower error"),
        ("effect", [-0.2, 0.3, -0.1, 0.1, -0.1], "no difference"),
        ("effect", [-1.0, 0.9, 0.5, -0.4, 0.3], "cannot tell"),
        ("count", [1] * 6, "agrees"),  # 2 / 2**6 is 0.03
        ("count", [1] * 5 + [0] * 5, "cannot tell"),  # 2 / 2**5 is 0.06
        ("count", [-1] * 8 + [0, 0], "disagrees"),
        ("count", [0] * 10, "cannot tell"),
    ],
)
def test_rule_gives_the_verdict_that_the_design_says(kind, changes, word):
    assert claims.judge(claim(kind), changes, 15.0).word == word


def test_start_that_is_never_needed_refutes_its_claim():
    found = [claims.judge(claim("count"), [0] * seeds, error=1).word for seeds in (6, 5)]
    assert found == ["disagrees", "cannot tell"]  # 2 / 2**6 is 0.03, 2 / 2**5 is 0.06


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("change", [-2.0, 1.5, -0.5, 0.4, 0.2]),
        ("change", [-1.9, 0.3, -0.9, 0.1, -0.6]),
        ("equal", [-1.0, 0.9, 0.5, -0.4, 0.3]),
        ("equal", [0.3, 0.9, 0.9, 0.45, 1.0]),
        ("effect", [-1.0, 0.9, 0.5, -0.4, 0.3]),
        ("effect", [-1.9, 0.3, -0.9, 0.1, -0.6]),
    ],
)
def test_number_that_would_settle_an_open_claim_settles_many_such_experiments(kind, changes):
    """By trial, with the mean and the spread of the open claim."""
    asked, rng = claim(kind), np.random.default_rng(1)
    assert claims.judge(asked, changes, 15.0).word == "cannot tell"
    count = claims.seeds_to_settle(asked, changes, 15.0)
    draws = rng.normal(np.mean(changes), np.std(changes, ddof=1), (1000, count))
    words = [claims.judge(asked, list(draw), 15.0).word for draw in draws]
    assert count > len(changes) and 0.25 < 1 - words.count("cannot tell") / 1000 < 0.7


def test_interval_is_student_s():
    changes = [-0.2, 2.2, -0.1, 2.1, 0.9]
    found = claims.judge(claim(), changes, 15.0)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(changes), scale=stats.sem(changes))
    assert (found.mean - found.margin, found.mean + found.margin) == pytest.approx((low, high))
    wider = claims.judge(claim(), changes, 15.0, claims.at_once())
    assert wider.margin > 1.5 * found.margin


@pytest.mark.parametrize(("kind", "deviation"), [("change", 0.6), ("change", 1.5), ("equal", 0.4)])
def test_number_of_seeds_has_the_power_that_it_is_for(kind, deviation):
    """By trial: of many made-up experiments of so many seeds, four of five reach the verdict."""
    asked = claim(kind)
    count = claims.seeds_needed(asked, deviation, 15.0)
    true = asked.share * 15 if kind == "change" else 0.0
    rng = np.random.default_rng(1)
    words = [
        claims.judge(asked, list(rng.normal(true, deviation, count)), 15.0).word
        for _ in range(2000)
    ]
    assert 0.76 < words.count("agrees") / 2000 < 0.9
    assert count > claims.seeds_needed(asked, deviation / 2, 15.0)


def test_all_that_was_asked_of_digit_scenes_is_asked_again():
    """The first version of lesson 9 asked 32 questions: 8 agreed, 3 didn't, 21 stayed open."""
    before = [claim.on_scenes.rpartition(": ")[2] for claim in CLAIMS if claim.on_scenes]
    assert Counter(before) == {"agrees": 8, "disagrees": 3, "cannot tell": 21}
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def test_main_claims_have_ten_seeds_and_no_seed_of_a_pilot_counts():
    for one in CLAIMS:
        experiment = EXPERIMENTS[one.experiment]
        assert len(experiment.seeds) >= (10 if one.main else 5)
        assert not {*experiment.pilot} & {*experiment.seeds}
        assert set(experiment.pilot_variants) <= set(experiment.variants)


def test_design_holds_the_tables_of_the_code():
    text = claims.DESIGN.read_text(encoding="utf-8")
    assert claims.with_tables(text) == text


def test_pilot_says_how_many_seeds_and_leaves_the_records_alone(tmp_path, monkeypatch, capsys):
    """On made-up runs: sd of the changes -1, -2 is 0.71, of which each claim's size is a share.

    A run that counts and waits for the rest of its seed stays.
    """
    monkeypatch.setattr(results, "PARTS", tmp_path / "parts")
    monkeypatch.setattr(results, "PILOT", tmp_path / "pilot")
    monkeypatch.setattr(claims, "PILOT", tmp_path / "pilot")
    monkeypatch.setattr(results, "RECORDS", tmp_path / "records")
    error = {"A": (20.0, 21.0), "B": (19.0, 19.0)}

    def made_up(settings, seed, folder):
        return {"measures": {"error": error[settings["model"]["layer_config"]][seed - 101]}}

    known = EXPERIMENTS["depth_photographs"]
    fields = {**vars(known), "run": made_up, "pilot_variants": ["A", "B"]}
    monkeypatch.setitem(EXPERIMENTS, "depth_photographs", type(known)(**fields))
    counts = results.part_path("depth_photographs", "A", 11)
    counts.parent.mkdir(parents=True)
    counts.write_text("{}", encoding="utf-8")
    assert results.main(["--pilot", "depth_photographs", "--jobs", "1"]) == 0
    assert list((tmp_path / "parts").rglob("*.json")) == [counts]
    said = capsys.readouterr().out
    assert "depth_photographs: about" in said and not (tmp_path / "records").exists()
    line = next(line for line in claims.pilot().splitlines() if line.startswith("B less A "))
    size, sd = 20.5 * 0.9 / 29.6, 0.5**0.5
    numbers = [float(number) for number in line.removeprefix("B less A").split()]
    assert numbers[:4] == pytest.approx([20.5, size, sd, sd], abs=0.06)
    assert numbers[4] == claims.seeds_needed(
        next(one for one in CLAIMS if one.name == "B less A"), sd, 20.5
    )
    assert numbers[5] > numbers[4]


def test_what_takes_hours_is_run_by_name_only(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(results, "run", lambda name, *rest, **more: asked.append(name) or 1 / 0)
    results.main(["--device", "cpu"])
    assert asked and not set(asked) & set(NAMES)
    asked.clear()
    results.main(["--device", "cpu", "--long"])
    assert set(NAMES) <= set(asked)


def test_layers_copied_from_a_are_those_of_the_paper(photos):
    settings = tiny(results.settings_of(EXPERIMENTS["depth_photographs"], "E"))
    settings["fit"]["learning_rate"] = 1e-9
    deep = weight_layers(photographs.trained(settings, 1, Path())[0])
    first = {**settings, "from_a": None, "model": {**settings["model"], "layer_config": "A"}}
    shallow = weight_layers(photographs.trained(first, 1, Path())[0])
    same = {
        name
        for name in set(deep) & set(shallow)
        if deep[name].weight.shape == shallow[name].weight.shape
        and torch.allclose(deep[name].weight, shallow[name].weight, atol=1e-6)
    }
    assert same == {"conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"}
