"""Data sets, each against an independent computation.

The large sets are stood in for by tiny ones of the same form, served on loopback.
"""

import hashlib
import http.server
import pickle
import shutil
import tarfile
import threading

import numpy as np
import pytest
import torch
from image_files import write_images
from PIL import Image
from sklearn.datasets import load_digits as bundled_digits
from torch.utils.data import DataLoader, TensorDataset

from vgg_utils import data as data_module
from vgg_utils.augmentation import Preprocess
from vgg_utils.data import (
    ImageData,
    hold_out,
    load_cifar10,
    load_dataset,
    load_digits,
    load_folder,
    load_imagenette,
    load_scenes,
)
from vgg_utils.download import DownloadError
from vgg_utils.images import read_image

# Digits


@pytest.fixture(scope="module")
def digits():
    return load_digits(16)


def test_digits_are_all_there_once_and_split_by_class(digits):
    data = load_digits(8)
    images = torch.cat([data.train.tensors[0], data.test.tensors[0]]) + data.mean
    rebuilt = sorted(tuple((16 * image).round().int().flatten().tolist()) for image in images)
    assert rebuilt == sorted(
        tuple(image.astype(int).flatten()) for image in bundled_digits().images
    )
    counts = [torch.bincount(half.tensors[1], minlength=10) for half in (data.train, data.test)]
    share = counts[1] / (counts[0] + counts[1])
    assert (share - 500 / 1797).abs().max() < 0.01


def test_mean_is_that_of_the_training_set_alone(digits):
    assert digits.train.tensors[0].mean().abs() < 1e-6
    assert digits.test.tensors[0].mean().abs() > 1e-5
    assert digits.train.tensors[0].shape == (1297, 1, 16, 16)


def test_split_depends_on_the_seed_alone():
    first, again, other = load_digits(8, seed=1), load_digits(8, seed=1), load_digits(8, seed=2)
    assert torch.equal(first.test.tensors[0], again.test.tensors[0])
    assert not torch.equal(first.test.tensors[1], other.test.tensors[1])


def test_digits_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="at least 8"):
        load_digits(7)
    with pytest.raises(ValueError, match="got '32'"):
        load_digits("32")
    with pytest.raises(ValueError, match="test_size"):
        load_digits(test_size=1797)


# Digit scenes


def test_scenes_as_a_data_set():
    data = load_scenes(48, scale=(12, 40), train_size=30, test_size=20)
    assert data.train.tensors[0].shape == (30, 1, 48, 48)
    assert data.test.tensors[0].shape == (20, 1, 48, 48)
    assert data.train.tensors[0].mean().abs() < 1e-6


def test_scenes_follow_from_the_seed():
    one, same, other = (load_scenes(train_size=9, test_size=9, seed=seed) for seed in (1, 1, 2))
    for half in ("train", "test"):
        images, labels = getattr(one, half).tensors
        assert torch.equal(images, getattr(same, half).tensors[0])
        assert torch.equal(labels, getattr(same, half).tensors[1])
        assert not torch.equal(images, getattr(other, half).tensors[0])


# Data sets by name


def test_data_sets_by_name_are_those_of_the_functions():
    one, other = load_dataset("digits", size=16, seed=2), load_digits(16, seed=2)
    assert torch.equal(one.train.tensors[0], other.train.tensors[0])
    scenes = load_dataset("scenes", size=32, scale=(8, 32))
    assert isinstance(scenes, ImageData) and scenes.train.tensors[0].shape == (4000, 1, 32, 32)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("cifar", {}, "'cifar': use one of .*'cifar10', 'imagenette'.*, or the path"),
        ("digits", {"scale": (8, 9)}, "digits has no scale"),
        ("cifar10", {"size": 64}, "32x32 pixels, got size 64"),
        ("imagenette", {"size": 64, "scale": (60, 70)}, "scale must satisfy"),
    ],
)
def test_wrong_name_or_setting_is_named(tmp_path, name, options, says):
    with pytest.raises(ValueError, match=says):
        load_dataset(name, tmp_path, **options)


# Folders


@pytest.fixture
def photos(tmp_path):
    """A folder with train/ and val/, each with ant/ and bee/ of two images."""
    root = tmp_path / "photos"
    write_images(root)
    return root


def pixels_of(files):
    return [np.asarray(Image.open(file)).reshape(-1, 3) / 255 for file in files]


def test_folder_of_images_is_read_one_by_one_and_batched(photos):
    data = load_dataset(str(photos), size=28)
    assert data.classes == ["ant", "bee"] and (len(data.train), len(data.test)) == (4, 4)
    assert data.train.targets == [0, 0, 1, 1] and data.validation is None
    images, labels = next(iter(DataLoader(data.train, batch_size=4)))
    assert images.shape == (4, 3, 28, 28) and labels.tolist() == [0, 0, 1, 1]
    pixels = pixels_of(sorted((photos / "train").rglob("*.png")))
    np.testing.assert_allclose(data.mean, np.concatenate(pixels).mean(0), rtol=1e-5)
    assert not torch.equal(data.train[0][0], data.train[0][0])  # augmented anew
    image = read_image(photos / "val" / "ant" / "0.png")
    mean = data.mean.tolist()
    assert torch.equal(data.test[0][0], Preprocess(28, 32, mean)(image))
    jittered = load_folder(photos, size=28, scale=(30, 41))  # Q = (30 + 41) / 2, rounded down
    assert torch.equal(jittered.test[0][0], Preprocess(28, 35, mean)(image))
    assert jittered.preprocess == Preprocess(28, 35, mean)


def test_files_are_those_that_torchvision_finds_in_its_order(photos):
    from torchvision.datasets import ImageFolder

    (photos / "train" / "ant" / "more").mkdir()
    for name in ("more/2.png", "10.png", "9.PNG"):
        shutil.copy(photos / "train" / "ant" / "0.png", photos / "train" / "ant" / name)
    (photos / "train" / "bee" / "notes.txt").touch()
    assert load_folder(photos).train.samples == ImageFolder(str(photos / "train")).samples


def test_with_three_parts_val_is_for_validation_and_test_for_the_end(photos):
    shutil.copytree(photos / "val", photos / "test")
    (photos / "test" / "bee" / "1.png").unlink()
    data = load_folder(photos)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [4, 4, 3]
    assert data.validation.samples[0][0] == str(photos / "val" / "ant" / "0.png")
    assert torch.equal(data.validation[0][0], data.validation[0][0])  # not augmented
    shutil.rmtree(photos / "val")
    data = load_folder(photos)
    assert data.validation is None and len(data.test) == 3


def test_hidden_files_and_folders_are_no_images_and_no_classes(photos):
    """What macOS and Jupyter leave behind."""
    before = load_folder(photos)
    for part in ("train", "val"):
        (photos / part / ".DS_Store").write_bytes(b"\0")
        (photos / part / "ant" / "._0.png").write_bytes(b"\0")
        for place in (photos / part, photos / part / "ant"):
            (place / ".ipynb_checkpoints").mkdir()
            shutil.copy(photos / "val" / "ant" / "0.png", place / ".ipynb_checkpoints" / "0.png")
    after = load_folder(photos)
    assert after.classes == before.classes
    assert (after.train.samples, after.test.samples) == (before.train.samples, before.test.samples)


def move_into(folder, name):
    """Put all that a folder holds one level deeper."""
    children = list(folder.iterdir())
    (folder / name).mkdir()
    for child in children:
        child.rename(folder / name / child.name)


SPOILT = {
    "train too deep": (
        lambda root: move_into(root / "train", "images"),
        r"one level too deep: move .*train.images/\* to .*train/",
    ),
    "val too deep": (
        lambda root: move_into(root / "val", "images"),
        r"one level too deep: move .*val.images/\* to .*val/",
    ),
    "all too deep": (lambda root: move_into(root, "photos"), r"holds \['photos'\]: take .*photos$"),
    "one class": (
        lambda root: [shutil.rmtree(root / part / "bee") for part in ("train", "val")],
        r"train needs two folders of images, one a class; it holds \['ant'\]",
    ),
    "no class": (
        lambda root: [shutil.rmtree(root / "train" / name) for name in ("ant", "bee")],
        r"train needs two folders of images, one a class; it holds \[\]",
    ),
    "no train": (
        lambda root: (root / "train").rename(root / "training"),
        r"a data set is a folder with train/ and val/ .* holds \['training', 'val'\]",
    ),
    "no test": (lambda root: shutil.rmtree(root / "val"), r"train/ and val/ .* holds \['train'\]"),
    "classes at the top": (
        lambda root: [(root / "train").rename(root / "cat"), (root / "val").rename(root / "dog")],
        r"train/ and val/ .* holds \['cat', 'dog'\]",
    ),
    "other names": (
        lambda root: (root / "val" / "bee").rename(root / "val" / "wasp"),
        r"train and val differ in classes; in one only: \['bee', 'wasp'\]",
    ),
    "a class less": (
        lambda root: shutil.copytree(root / "train" / "bee", root / "train" / "cow"),
        r"train and val differ in classes; in one only: \['cow'\]",
    ),
    "an empty class": (
        lambda root: (root / "train" / "cow").mkdir(),
        r"train has classes without an image; this is in them: \{'cow': \[\]\}",
    ),
    "a class of text": (
        lambda root: [file.rename(file.with_suffix(".txt")) for file in root.glob("val/bee/*.png")],
        r"val has classes without an image; .* \{'bee': \['0.txt', '1.txt'\]\}",
    ),
    "loose images": (
        lambda root: (root / "train" / "ant" / "0.png").rename(root / "train" / "0.png"),
        r"train holds 0.png: move each image into a folder of its class",
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_folder_that_cannot_teach_is_refused_with_the_reason(photos, fault):
    spoil, says = SPOILT[fault]
    load_folder(photos)
    spoil(photos)
    with pytest.raises(ValueError, match=says):
        load_folder(photos)


def test_path_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "nowhere"):
        with pytest.raises(
            ValueError, match=rf"a data set is a folder with train/.*{name} is none"
        ):
            load_folder(tmp_path / name)
    with pytest.raises(ValueError, match="file is none"):
        load_dataset(str(tmp_path / "file"))


def test_broken_image_is_named_when_it_is_read(photos):
    broken = photos / "val" / "bee" / "0.png"
    broken.write_bytes(broken.read_bytes()[:100])
    data = load_folder(photos, size=28)
    with pytest.raises(OSError, match=r"cannot read the image .*bee.0\.png"):
        data.test[2]


# Holding out


def rows(dataset):
    """Images and labels of a data set in memory, as a list that can be sorted."""
    pairs = zip(*dataset.tensors, strict=True)
    return sorted((int(label), image.flatten().tolist()) for image, label in pairs)


def test_held_out_images_leave_the_training_set_and_no_other(digits):
    data = hold_out(digits, 0.2)
    assert rows(data.train) != rows(digits.train)
    assert sorted(rows(data.train) + rows(data.validation)) == rows(digits.train)
    assert data.test is digits.test and data.mean is digits.mean
    counts = [np.bincount(part.tensors[1]) for part in (data.validation, digits.train)]
    assert np.abs(counts[0] - 0.2 * counts[1]).max() <= 1


def test_what_is_held_out_depends_on_the_seed_alone(digits):
    first = hold_out(digits, seed=3)
    torch.manual_seed(1)
    np.random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    again, other = hold_out(digits, seed=3), hold_out(digits, seed=4)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert torch.equal(first.validation.tensors[0], again.validation.tensors[0])
    assert torch.equal(first.train.tensors[0], again.train.tensors[0])
    assert rows(first.validation) != rows(other.validation)


def test_files_held_out_are_seen_without_augmentation(tmp_path):
    write_images(tmp_path, sizes=((40, 50),) * 5)
    data = load_folder(tmp_path, size=28)
    split = hold_out(data, 0.4)
    assert sorted(split.train.samples + split.validation.samples) == data.train.samples
    assert sorted(split.validation.targets) == [0, 0, 1, 1]
    path, label = split.validation.samples[0]
    image, same_label = split.validation[0]
    assert torch.equal(image, data.preprocess(read_image(path))) and label == same_label
    assert not torch.equal(split.train[0][0], split.train[0][0])  # augmented still
    assert split.test is data.test and len(data.train) == 10


def test_class_of_one_image_cannot_be_on_both_sides():
    labels = torch.tensor([0] + [1] * 20)
    half = TensorDataset(torch.zeros(len(labels), 1, 2, 2), labels)
    data = ImageData(half, half, ["rare", "common"], torch.zeros(1))
    with pytest.raises(ValueError, match="too few"):
        hold_out(data)


def test_holding_out_refuses_what_cannot_be(digits):
    for share in (0, 1, 1.5, -0.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            hold_out(digits, share)
    with pytest.raises(ValueError, match="have a validation set already"):
        hold_out(hold_out(digits))


@pytest.mark.parametrize("name", ["digits", "scenes"])
def test_preprocess_of_ink_on_paper(name):
    data = load_dataset(name, size=16, **({"scale": (8, 16)} if name == "scenes" else {}))
    expected = Preprocess(16, 16, data.mean.tolist(), grey=True, invert=True)
    assert data.preprocess == expected


# Downloads


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder served on loopback; the addresses of the book are replaced by a dead one."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(data_module, "CIFAR10_ADDRESSES", ["http://127.0.0.1:1/cifar.tar.gz"])
    monkeypatch.setattr(data_module, "IMAGENETTE_HOME", "http://127.0.0.1:1/")
    monkeypatch.setenv("VGG_UTILS_MIRRORS", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def pack(archive, folder):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """A stand-in with CIFAR-10's own file format: three training images and one for test."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "source" / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, md5(folder / name)]

    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    train = [write("data_batch_1", {"data": pixels[:3], "labels": [0, 9, 4]})]
    test = [write("test_batch", {"data": pixels[3:], "labels": [7]})]
    meta = write("batches.meta", {"label_names": [f"class{i}" for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", test)
    monkeypatch.setattr(
        CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    )
    archive = tmp_path / "source" / CIFAR10.filename
    pack(archive, folder)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    return archive, pixels


def test_cifar10_is_downloaded_once_and_read_by_torchvision(site, small_cifar, tmp_path):
    archive, pixels = small_cifar
    archive.rename(site / archive.name)
    root = tmp_path / "data"
    for _ in range(2):
        data = load_dataset("cifar10", root)
        assert data.classes == [f"class{i}" for i in range(10)]
        assert data.train.tensors[1].tolist() == [0, 9, 4]
        restored = (data.test.tensors[0] + data.mean[None, :, None, None]) * 255
        assert torch.equal(restored.round().byte().flatten(), torch.from_numpy(pixels[3]))
        assert data.preprocess == Preprocess(32, 32, data.mean.tolist())
        (site / archive.name).unlink(missing_ok=True)  # the second time needs no server
    batch = root / "cifar-10-batches-py" / "test_batch"
    batch.write_bytes(b"broken")  # torchvision's check sees it; the archive mends it
    assert load_cifar10(root).test.tensors[1].tolist() == [7]


def test_failed_download_offers_the_embedded_data(site, tmp_path):
    with pytest.raises(DownloadError) as caught:
        load_dataset("imagenette", tmp_path, size=32)
    for text in (
        "404",
        "127.0.0.1:1/imagenette2-160.tgz",
        "no connection",
        "VGG_UTILS_MIRRORS",
        "dataset='digits'",
    ):
        assert text in str(caught.value)
    assert not (tmp_path / "imagenette2-160").exists()


def test_imagenette_is_downloaded_in_the_version_that_fits(site, tmp_path, monkeypatch):
    from torchvision.datasets import Imagenette

    for side, folder in ((160, "imagenette2-160"), (None, "imagenette2")):
        write_images(tmp_path / "source" / folder, suffix=".JPEG")
        for part in ("train", "val"):
            (tmp_path / "source" / folder / part / "ant").rename(
                tmp_path / "source" / folder / part / "n01440764"
            )
            (tmp_path / "source" / folder / part / "bee").rename(
                tmp_path / "source" / folder / part / "n03888257"
            )
        pack(site / f"{folder}.tgz", tmp_path / "source" / folder)
        name, _, published = data_module.IMAGENETTE[side]
        home, checksum = Imagenette._ARCHIVES[name]  # the same addresses and sums as torchvision's
        assert (f"{folder}.tgz", f"md5:{checksum}") == (home.rsplit("/")[-1], published)
        entry = (name, folder, f"md5:{md5(site / f'{folder}.tgz')}")
        monkeypatch.setitem(data_module.IMAGENETTE, side, entry)

    data = load_imagenette(tmp_path / "data", size=32, scale=(36, 72))
    assert data.classes == ["tench", "parachute"]
    assert data.train[0][0].shape == data.test[0][0].shape == (3, 32, 32)
    assert not (tmp_path / "data" / "imagenette2").exists()
    load_imagenette(tmp_path / "data", size=32, scale=(36, 512))
    assert (tmp_path / "data" / "imagenette2" / "val").is_dir()
