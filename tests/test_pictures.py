"""The photographs that come with the package."""

import re
from pathlib import Path

import pytest
import torch

from vgg_utils.data import load_cifar10
from vgg_utils.images import read_image
from vgg_utils.pictures import FOLDER, picture, thumbnails

ROOT = Path(__file__).resolve().parent.parent
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


def test_each_picture_is_a_photograph_and_has_its_credit():
    said = (FOLDER / "CREDITS.txt").read_text(encoding="utf-8")
    files = {file.name for file in FOLDER.iterdir() if file.suffix in (".jpg", ".png")}
    assert set(re.findall(r"^(\S+\.(?:jpg|png))$", said, re.MULTILINE)) == files
    for file in FOLDER.glob("*.jpg"):
        image = read_image(picture(file.stem))
        assert min(image.shape[1:]) >= 150 and image.std() > 0.1
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 500_000


def test_unknown_picture_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="unknown picture 'dog': choose one of cat, coffee, daisy"):
        picture("dog")
