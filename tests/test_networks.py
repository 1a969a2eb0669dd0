"""The book's own networks: how they are packed, and what their card says."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import networks  # noqa: E402
from networks import NETWORKS  # noqa: E402

from vgg_utils import trained  # noqa: E402
from vgg_utils.augmentation import Preprocess  # noqa: E402
from vgg_utils.data import ImageData, load_cifar10  # noqa: E402
from vgg_utils.evaluation import predict, top_k_error  # noqa: E402
from vgg_utils.model import VGGNet, weight_layers  # noqa: E402
from vgg_utils.pictures import CIFAR10_CLASSES, picture, thumbnails  # noqa: E402
from vgg_utils.trained import OWN, WEIGHTS, Trained, classify, load_trained  # noqa: E402

CIFAR10 = ROOT / "data" / "cifar-10-batches-py"


@pytest.fixture
def data():
    """Forty images of each half, brighter with their label."""
    labels = torch.arange(40) % 10
    noise = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)) / 4
    images = noise + labels[:, None, None, None] / 20 - 0.3
    half = TensorDataset(images, labels)
    return ImageData(half, half, CIFAR10_CLASSES, torch.full((3,), 0.3))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty folders for runs and weights, and networks that are narrow and quick."""
    for module, name in ((networks, "WEIGHTS"), (trained, "WEIGHTS"), (networks, "RUNS")):
        monkeypatch.setattr(module, name, tmp_path / name.lower())
    quick = {"epochs": 2, "learning_rate": 0.01, "width": 1 / 32}
    small = {name: one._replace(**quick) for name, one in NETWORKS.items()}
    monkeypatch.setattr(networks, "NETWORKS", small)
    monkeypatch.setattr(networks, "RECIPE", {**networks.RECIPE, "batch_size": 10})
    return tmp_path


def test_packed_network_comes_back_to_half_a_step_of_8_bits(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = VGGNet(3, 10, "A", batch_norm=True, width=1 / 8, pool_size=1, hidden_features=32)
    model.train()(torch.randn(8, 3, 32, 32))  # running statistics other than 0 and 1
    model.eval().pixel_range = -0.5, 0.5
    preprocess = Preprocess(32, 32, [0.1, 0.2, 0.3])
    networks.pack(Trained(model, CIFAR10_CLASSES, preprocess), tmp_path / "mine.npz")
    monkeypatch.setattr(trained, "WEIGHTS", tmp_path)
    again, classes, same = load_trained("mine")
    assert classes == CIFAR10_CLASSES and same == preprocess and not again.training
    assert again.pixel_range == (-0.5, 0.5)
    for name, before in model.state_dict().items():
        after = again.state_dict()[name]
        assert after.dtype == before.dtype
        if before.dim() > 1:  # half of the largest weight of each output over 127
            step = before.flatten(1).abs().amax(1) / 127
            off = (after - before).flatten(1).abs().amax(1)
            assert (off <= 0.501 * step).all() and off.max() > 0
        else:
            assert torch.equal(after, before)
    images = torch.rand(20, 3, 32, 32) - 0.5
    scores = predict(model, images)
    assert (predict(again, images) - scores).std() < 0.1 * scores.std()


def test_file_of_weights_holds_one_byte_a_weight_and_no_code(tmp_path):
    model = VGGNet(3, 10, "A", width=1 / 4, pool_size=1, hidden_features=64)
    path = tmp_path / "a.npz"
    networks.pack(Trained(model, CIFAR10_CLASSES, Preprocess(32, 32, [0.0] * 3)), path)
    with np.load(path, allow_pickle=False) as arrays:
        kinds = {name: arrays[name].dtype for name in arrays}
    assert all(kinds[f"{name}.weight"] == np.int8 for name in ("features.0", "classifier.6"))
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert path.stat().st_size < 1.1 * weights


def test_outputs_whose_weights_are_all_zero_stay_zero():
    weight = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    whole, factor = networks.in_8_bits(weight)
    assert whole.tolist() == [[0, 0], [64, -127]] and factor.isfinite().all()


def test_training_goes_on_where_it_was_and_deep_plain_ones_start_from_a(folders, data, monkeypatch):
    calls = []
    real = networks.copy_layers
    monkeypatch.setattr(networks, "copy_layers", lambda *two: (calls.append(two), real(*two)))
    networks.train("D", data)
    assert sorted(path.name for path in (folders / "weights").iterdir()) == ["A.npz", "D.npz"]
    a = load_trained("A").model
    (source, target) = calls[0]
    assert torch.equal(weight_layers(source)["conv1_1"].weight, weight_layers(a)["conv1_1"].weight)
    first = (folders / "weights" / "D.npz").read_bytes()
    with np.load(folders / "weights" / "D.npz") as arrays:
        before = {name: arrays[name] for name in arrays}
    networks.train("D", data)  # resumed at its end: the same network
    with np.load(folders / "weights" / "D.npz") as arrays:
        assert all((before[name] == arrays[name]).all() for name in arrays)
    assert first and target is not source


def test_card_says_what_the_packed_networks_do(folders, data):
    for name in ("A_bn", "B_bn"):
        networks.train(name, data)
    card = networks.card(data)
    assert set(card["networks"]) == {"A_bn", "B_bn"}
    images, labels = data.test.tensors
    for name, said in card["networks"].items():
        logits = predict(load_trained(name).model, images)
        wrong = top_k_error(logits, labels)
        assert said["test_error"] == round(wrong, 2)
        assert np.mean(list(said["class_errors"].values())) == pytest.approx(wrong, abs=0.01)
        # Wilson's interval, by its formula
        n, p, z = len(labels), wrong / 100, 1.959964
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        expected = [100 * (middle - half), 100 * (middle + half)]
        assert said["test_error_interval"] == pytest.approx(expected, abs=0.01)
        assert sum(one["images"] for one in said["calibration"]) == n


@pytest.mark.parametrize("sure", [0.999, 0.6])
def test_calibration_tells_a_boaster_from_an_honest_network(sure):
    """A network that is right in 60% of the cases, and says so, or says 99.9%."""

    class Sure(torch.nn.Module):
        def forward(self, images):
            scores = torch.full((len(images), 10), math.log((1 - sure) / 9))
            scores[:, 0] = math.log(sure)
            return scores

    labels = torch.tensor([0] * 60 + [1] * 40)
    said = networks.measure(
        Trained(Sure(), CIFAR10_CLASSES, None), torch.zeros(100, 3, 8, 8), labels
    )
    assert said["test_error"] == pytest.approx(40)
    assert said["calibration_error"] == pytest.approx(100 * sure - 60, abs=0.01)
    assert said["class_errors"]["airplane"] == 0 and said["class_errors"]["automobile"] == 100


# What is in the package


def the_card():
    return json.loads(networks.CARD.read_text(encoding="utf-8"))


def test_networks_of_the_package_are_those_of_the_tool_and_small():
    assert set(OWN) == set(the_card()["networks"]) <= set(NETWORKS)
    sizes = {name: (WEIGHTS / f"{name}.npz").stat().st_size for name in OWN}
    assert sum(sizes.values()) <= 13e6 and max(sizes.values()) <= 4e6
    said = the_card()["networks"]
    assert {name: one["bytes"] for name, one in said.items()} == sizes


@pytest.mark.parametrize("name", OWN)
def test_network_loads_offline_and_scores_as_stored(name):
    """On the thumbnails that come with the package."""
    model, classes, preprocess = load_trained(name)
    images, _, known = thumbnails()
    assert classes == known and not model.training
    scores = predict(model, torch.stack([preprocess(image) for image in images]))
    stored = torch.tensor(the_card()["networks"][name]["thumbnail_scores"])
    torch.testing.assert_close(scores, stored, atol=1e-3, rtol=0)
    settings = NETWORKS[name]
    assert isinstance(model, VGGNet) and model.arguments["batch_norm"] == settings.batch_norm
    built = VGGNet(
        3,
        10,
        settings.config,
        batch_norm=settings.batch_norm,
        width=settings.width,
        **networks.MODEL,
    )
    assert repr(built.features) == repr(model.features)


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10.exists(), reason="CIFAR-10 is not at hand")
@pytest.mark.parametrize("name", OWN)
def test_error_on_all_test_photographs_is_what_the_card_says(name):
    data = load_cifar10(ROOT / "data")
    model = load_trained(name).model
    images, labels = data.test.tensors
    wrong = 0
    with torch.inference_mode():
        for part in range(0, len(images), 500):
            answers = model(images[part : part + 500]).argmax(1)
            wrong += (answers != labels[part : part + 500]).sum().item()
    said = the_card()["networks"][name]["test_error"]
    assert 100 * wrong / len(images) == pytest.approx(said, abs=0.03)  # rounding may tip a few


@pytest.mark.parametrize("name", OWN)
def test_network_reaches_what_it_is_for(name):
    """D with batch norm errs in at most one photograph of ten, half as wide in 7 of 100."""
    most = {"D_bn": 10, "D_bn_half": 7}
    assert the_card()["networks"][name]["test_error"] <= most.get(name, 20)


@pytest.mark.parametrize("name", sorted({"D_bn", "D_bn_half"} & set(OWN)))
def test_cat_is_called_a_cat(name):
    answer = classify(name, [picture("cat")])[0]
    assert answer[0][0] == "cat" and answer[0][1] > 0.5


def test_page_gives_the_tables_of_the_card():
    """If this fails: python tools/networks.py --card"""
    page = networks.PAGE.read_text(encoding="utf-8")
    assert networks.with_tables(page, the_card()) == page
