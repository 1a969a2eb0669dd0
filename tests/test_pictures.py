"""The photographs that come with the package."""

import re
from pathlib import Path

import pytest
import torch

from vgg_utils.augmentation import rescale
from vgg_utils.data import load_cifar10
from vgg_utils.images import read_image
from vgg_utils.pictures import FOLDER, flowers, picture, thumbnails

ROOT = Path(__file__).resolve().parent.parent
FLOWERS5 = ROOT / "data" / "flowers5" / "train"
CIFAR10 = ROOT / "data" / "cifar-10-batches-py"


def test_thumbnails_are_forty_photographs_of_ten_classes():
    images, labels, classes = thumbnails()
    assert images.shape == (40, 3, 32, 32) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert torch.bincount(labels).tolist() == [4] * 10 and len(set(classes)) == 10
    assert len({image.numpy().tobytes() for image in images}) == 40


@pytest.mark.skipif(not CIFAR10.exists(), reason="CIFAR-10 is not at hand")
def test_thumbnails_are_the_first_of_the_test_set():
    data = load_cifar10(ROOT / "data")
    images, labels, classes = thumbnails()
    assert classes == data.classes
    for label in range(10):
        first = (data.test.tensors[1] == label).nonzero()[:4, 0]
        theirs = data.test.tensors[0][first] + data.mean[:, None, None]
        torch.testing.assert_close(images[labels == label], theirs, atol=1e-6, rtol=0)


def test_flowers_are_two_hundred_photographs_of_five_kinds():
    images, labels, classes = flowers()
    assert images.shape == (200, 3, 64, 64) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert torch.bincount(labels).tolist() == [40] * 5 and len(set(classes)) == 5
    assert len({image.numpy().tobytes() for image in images}) == 200


def credited_flowers():
    """The set's name of every flower, in the order of the credits."""
    said = (FOLDER / "CREDITS.txt").read_text(encoding="utf-8").partition("\nflowers.jpg\n")[2]
    return re.findall(r"^    (\w+/\w+\.jpg): .+, https://www\.flickr\.com/\S+$", said, re.M)


def test_every_flower_has_its_photographer():
    names = credited_flowers()
    assert len(set(names)) == 200
    _, labels, classes = flowers()
    for label, name in zip(labels.tolist(), names, strict=True):
        assert name.startswith(classes[label])


@pytest.mark.skipif(not FLOWERS5.exists(), reason="the whole set of flowers is not at hand")
def test_flowers_are_those_that_are_credited():
    for image, name in zip(flowers().images[::7], credited_flowers()[::7], strict=True):
        whole = rescale(read_image(FLOWERS5 / name), 64)
        top, left = ((side - 64) // 2 for side in whole.shape[1:])
        # JPEG keeps less of the colours than of the light
        assert (image - whole[:, top : top + 64, left : left + 64]).mean(0).abs().mean() < 0.03


def test_each_picture_is_a_photograph_and_has_its_credit():
    said = (FOLDER / "CREDITS.txt").read_text(encoding="utf-8")
    files = {file.name for file in FOLDER.iterdir() if file.suffix in (".jpg", ".png")}
    assert set(re.findall(r"^(\S+\.(?:jpg|png))$", said, re.MULTILINE)) == files
    for file in FOLDER.glob("*.jpg"):
        if file.stem == "flowers":
            continue
        image = read_image(picture(file.stem))
        assert min(image.shape[1:]) >= 150 and image.std() > 0.1
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 700_000


def test_unknown_picture_is_named_with_those_there_are():
    with pytest.raises(
        ValueError, match="unknown picture 'dog': choose one of cat, coffee, daisy, dandelion, rose"
    ):
        picture("dog")
