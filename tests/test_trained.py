"""From a run to use: the network, its classes and preprocessing come back, and name image files."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from image_files import write_images
from PIL import Image
from torch import nn

from vgg_utils import train as command
from vgg_utils import trained
from vgg_utils.checkpoint import CheckpointError, load_latest
from vgg_utils.data import load_digits, load_folder
from vgg_utils.evaluation import predict
from vgg_utils.model import VGGNet
from vgg_utils.trained import classify, load_trained
from vgg_utils.training import fit

SMALL = {"width": 1 / 8, "pool_size": 1, "hidden_features": 32, "batch_norm": True}


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """The command's run on the digits, long enough to know most of them."""
    out = tmp_path_factory.mktemp("runs") / "first"
    words = "--batch-norm --epochs 6 --no-augment --milestones 5 --device cpu"
    assert command.main([*words.split(), "--out", str(out)]) == 0
    return out


def test_network_classes_and_preprocessing_come_back(digits_run):
    digits = load_digits()
    model, classes, preprocess = load_trained(str(digits_run))
    assert not model.training
    assert classes == digits.classes
    assert preprocess == digits.preprocess
    images, labels = digits.test.tensors
    error = 100 * (predict(model, images).argmax(1) != labels).float().mean()
    assert error < 10
    path, state = load_latest(digits_run)
    assert state["progress"]["history"][-1]["test_error"] == pytest.approx(error.item(), abs=1e-3)
    again = load_trained(path).model  # one file instead of the folder
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.fixture
def photos_of_digits(tmp_path):
    """Test digits as somebody would photograph them: dark ink on paper, larger, in colour."""
    digits = load_digits()
    images, labels = (tensor[:40] for tensor in digits.test.tensors)
    files = []
    for number, image in enumerate(images):
        ink = (image[0] + digits.mean).clamp(0, 1)
        pixels = (255 * (1 - ink)).round().byte().numpy()
        photo = Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).convert("RGB")
        photo.save(tmp_path / f"{number}.png")
        files.append(tmp_path / f"{number}.png")
    return files, labels.tolist()


def test_image_files_are_named_with_probabilities(digits_run, photos_of_digits):
    files, labels = photos_of_digits
    answers = classify(digits_run, files, k=3)
    wrong = sum(answer[0][0] != str(label) for answer, label in zip(answers, labels, strict=True))
    assert wrong <= 6
    for answer in classify(load_trained(digits_run), files[:3], k=99):
        names, probabilities = zip(*answer, strict=True)
        assert sorted(names) == [str(digit) for digit in range(10)]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert list(probabilities) == sorted(probabilities, reverse=True)


def test_command_names_image_files(digits_run, photos_of_digits, capsys):
    files = [str(file) for file in photos_of_digits[0][:2]]
    assert trained.main([str(digits_run), *files, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, file, answer in zip(lines, files, classify(digits_run, files, k=2), strict=True):
        assert line == f"{file}: " + ", ".join(f"{name} {share:.1%}" for name, share in answer)


def test_program_is_the_command(digits_run, photos_of_digits):
    done = subprocess.run(
        [sys.executable, "-m", "vgg_utils.trained", digits_run, photos_of_digits[0][0]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{photos_of_digits[0][0]}: ") and done.stderr == ""


def test_photographs_are_seen_as_the_test_set_sees_them(tmp_path):
    write_images(tmp_path / "images", sizes=[(40 + k, 50) for k in range(6)])
    data = load_folder(tmp_path / "images", size=32)
    torch.manual_seed(0)
    net = VGGNet(3, 2, "A", **SMALL)
    about = {"classes": data.classes, "preprocess": data.preprocess}
    fit(net, data.train, epochs=1, out=tmp_path / "run", progress=False, **about)
    files = [path for path, _ in data.test.samples]
    expected = predict(net, torch.stack([image for image, _ in data.test])).softmax(1)
    for answer, row in zip(classify(tmp_path / "run", files), expected, strict=True):
        for name, probability in answer:
            assert probability == pytest.approx(row[data.classes.index(name)].item(), abs=1e-5)


def small_run(folder, change=lambda net: net, **about):
    net = change(VGGNet(1, 10, "A", **SMALL))
    digits = load_digits()
    few = tuple(tensor[:40] for tensor in digits.train.tensors)
    about = {"classes": digits.classes, "preprocess": digits.preprocess, **about}
    fit(net, few, epochs=1, out=folder, progress=False, **about)


def with_a_block_of_ones_own(net):
    class Block(nn.ReLU):
        def forward(self, x):
            return x + super().forward(x)

    net.features[2] = Block()
    return net


def with_one_layer_as_head(net):
    net.classifier = nn.Linear(64, 10)
    return net


def without_the_last_pool(net):
    del net.features[-1]
    return net


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": None}, r"has no classes: train with fit\(..., classes=...\)"),
        ({"preprocess": None}, r"has no preprocess: train with fit\(..., preprocess=...\)"),
        ({"change": with_a_block_of_ones_own}, "is no VGGNet as its constructor builds one: build"),
        (
            {"change": lambda net: nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))},
            r'load torch.load\(path, weights_only=True\)\["model"\] into it',
        ),
    ],
)
def test_run_that_cannot_be_rebuilt_says_what_is_missing(tmp_path, options, says):
    small_run(tmp_path, **options)
    with pytest.raises(CheckpointError, match=says):
        load_trained(tmp_path)


@pytest.mark.parametrize("change", [without_the_last_pool, with_one_layer_as_head])
def test_network_after_surgery_comes_back_as_it_is_or_not_at_all(tmp_path, change):
    """Never as the network that was built at first, whose weights have the same shapes."""
    small_run(tmp_path, change=change)
    images = load_digits().test.tensors[0][:8]
    try:
        model = load_trained(tmp_path).model
    except CheckpointError as error:
        assert "is no VGGNet as its constructor builds one" in str(error)
    else:
        expected = change(VGGNet(1, 10, "A", **SMALL))
        path, _ = load_latest(tmp_path)
        expected.load_state_dict(torch.load(path, weights_only=True)["model"])
        torch.testing.assert_close(predict(model, images), predict(expected, images))


def test_mistyped_run_and_files_that_are_no_images_are_refused(digits_run, tmp_path, capsys):
    for path, says in ((tmp_path, "holds no checkpoint"), (tmp_path / "x", "there is no file")):
        with pytest.raises(CheckpointError, match=says):
            load_trained(path)
    (tmp_path / "text.png").write_text("no image")
    for files, says in ((["text.png"], "text.png"), (["none.png"], "none.png")):
        assert trained.main([str(digits_run), *[str(tmp_path / file) for file in files]]) == 1
        assert says in capsys.readouterr().err
    with pytest.raises(ValueError, match="files must be a list"):
        classify(digits_run, "cat.jpg")
    with pytest.raises(ValueError, match="k must be a positive integer"):
        classify(digits_run, [], k=0)


def test_pixels_far_beyond_those_of_training_are_warned_of_once(digits_run):
    model = load_trained(digits_run).model
    images = load_digits().test.tensors[0][:4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(model, images)
    with pytest.warns(UserWarning, match=r"values of up to \d+\.?\d*, where -0\.30"):
        predict(model, 255 * images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(model, 255 * images)  # once is enough


def test_one_pixel_of_another_colour_is_another_probability(digits_run, photos_of_digits, tmp_path):
    """The file itself is read, not its name: a white page is another answer than a digit."""
    white = tmp_path / "white.png"
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(white)
    one, other = classify(digits_run, [photos_of_digits[0][0], white])
    assert one != other
