"""Data sets and augmentation, each against an independent computation.

The large sets are stood in for by tiny ones of the same form, served on loopback.
"""

import hashlib
import http.server
import pickle
import tarfile
import threading

import numpy as np
import pytest
import torch
from image_files import write_images
from PIL import Image
from sklearn.datasets import load_digits as bundled_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader

from vgg_utils import data as data_module
from vgg_utils.augmentation import (
    EvaluationTransform,
    TrainTransform,
    colour_statistics,
    random_flip,
    random_scale_crop,
    random_shift,
    rescale,
    shift_colours,
)
from vgg_utils.data import (
    ImageData,
    digit_scenes,
    load_cifar10,
    load_dataset,
    load_digits,
    load_folder,
    load_imagenette,
    load_scenes,
    read_image,
)
from vgg_utils.download import DownloadError

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


def test_box_is_that_of_the_digits_ink_alone():
    """Without distractors the ink itself says where the box is: counted in plain Python."""
    scenes = digit_scenes(300, distractors=0, seed=5)
    with_pieces = digit_scenes(300, seed=5)
    assert torch.equal(scenes.boxes, with_pieces.boxes)
    assert torch.equal(scenes.labels, with_pieces.labels)
    assert not torch.equal(scenes.images, with_pieces.images)
    for image, box in zip(scenes.images.tolist(), scenes.boxes.tolist(), strict=True):
        inked = [(x, y) for y in range(64) for x in range(64) if image[0][y][x] >= data_module.INK]
        left, right = min(x for x, _ in inked), max(x for x, _ in inked) + 1
        top, bottom = min(y for _, y in inked), max(y for _, y in inked) + 1
        assert box == [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def test_scene_shows_a_bundled_digit_enlarged_with_its_label():
    scenes = digit_scenes(60, scale=(10, 40), distractors=0)
    assert scenes.images.shape == (60, 1, 64, 64) and scenes.images.dtype == torch.float32
    originals = torch.from_numpy(bundled_digits().images).float()[:, None] / 16
    for image, label, side in zip(scenes.images, scenes.labels, scenes.scales, strict=True):
        enlarged = F.interpolate(originals, size=(int(side),) * 2, mode="bilinear")[:, 0]
        windows = image[0].unfold(0, int(side), 1).unfold(1, int(side), 1)
        full = windows[windows.sum((2, 3)) > image.sum() - 1e-3]  # windows with all the ink
        distances = torch.cdist(
            full.flatten(1), enlarged.flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
        )
        assert distances.min() < 1e-3
        assert bundled_digits().target[int(distances.min(0).values.argmin())] == label


def test_distractors_touch_neither_the_digit_nor_each_other_and_are_small():
    from scipy.ndimage import label as components

    alone = digit_scenes(100, distractors=0, scale=(16, 40))
    scenes = digit_scenes(100, distractors=6, scale=(16, 40))
    pieces = scenes.images - alone.images
    assert pieces.min() >= 0
    assert ((pieces > 0) & (alone.images > 0)).sum() == 0
    near = F.max_pool2d(alone.images, 3, stride=1, padding=1)
    assert ((pieces > 0) & (near > 0)).sum() == 0
    found = []
    for image in pieces[:, 0].numpy():
        blobs, number = components(image > 0, structure=np.ones((3, 3)))
        found.append(number)
        for k in range(1, number + 1):
            rows, columns = (blobs == k).nonzero()
            assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 8  # half of the smallest digit
    assert np.mean(found) > 5


def test_scales_and_places_spread_evenly():
    scenes = digit_scenes(4000, scale=(16, 48), distractors=0, seed=1)
    counts = torch.bincount(scenes.scales, minlength=49)
    assert counts[:16].sum() == 0 and len(counts) == 49
    expected = 4000 / 33
    assert ((counts[16:] - expected) ** 2 / expected).sum() < 63  # chi-squared, 32 degrees: 0.1%
    small = scenes.boxes[scenes.scales < 24]
    assert (small[:, :2].mean(0) - 32).abs().max() < 2
    assert small[:, :2].amin() < 12 and small[:, :2].amax() > 52
    edges = torch.cat([small[:, :2] - small[:, 2:] / 2, 64 - small[:, :2] - small[:, 2:] / 2])
    assert edges.amin() >= 0
    assert set(scenes.labels.tolist()) == set(range(10))


def test_scene_depends_on_its_seed_and_number_alone():
    few, many = digit_scenes(5, seed=3), digit_scenes(50, seed=3)
    for one, other in zip(few, many, strict=True):
        assert torch.equal(one, other[:5])
    assert not torch.equal(few.images, digit_scenes(5, seed=4).images)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    digit_scenes(2)
    assert torch.equal(state, torch.get_rng_state())


def test_spread_keeps_the_digit_near_the_middle():
    """The square's centre lies off the middle by at most half the free way times the spread."""
    for spread in (0.0, 0.5, 1.0):
        scenes = digit_scenes(400, size=48, scale=(16, 28), spread=spread, distractors=0, seed=2)
        reach = 0.0
        for image, side in zip(scenes.images, scenes.scales, strict=True):
            ink = image[0].nonzero()  # a digit leaves some of its square empty, on the sides only
            top = int(ink[:, 0].min())
            reach = max(reach, abs(top + side / 2 - 24) / (48 - side) * 2)
        assert (spread - 0.1 < reach <= spread + 0.15) if spread else reach < 0.2
    first = digit_scenes(20, seed=3)
    assert torch.equal(digit_scenes(20, seed=3, spread=1).images, first.images)


def test_scenes_for_test_come_from_other_originals():
    """With a digit as large as the canvas the originals can be told by the 8x8 pixels."""

    def originals(train):
        drawn = digit_scenes(1500, size=8, scale=(8, 8), distractors=0, train=train)
        return {tuple((16 * image).round().int().flatten().tolist()) for image in drawn.images}

    digits = load_digits(8)
    halves = [
        {tuple((16 * (image + digits.mean)).round().int().flatten().tolist()) for image in images}
        for images in (digits.train.tensors[0], digits.test.tensors[0])
    ]
    assert originals(train=True) <= halves[0] and originals(train=False) <= halves[1]
    assert not halves[0] & halves[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"scale": (7, 20)},
        {"scale": (30, 20)},
        {"scale": (20, 65)},
        {"seed": -1},
        {"distractors": -1},
        {"spread": 1.1},
        {"spread": -0.1},
    ],
)
def test_scenes_refuse_what_cannot_be(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        digit_scenes(1, **settings)


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


# Augmentation


def test_random_shift_moves_each_image_whole():
    torch.manual_seed(0)
    images = torch.zeros(400, 2, 9, 9)
    images[:, 0, 4, 4], images[:, 1, 4, 5] = 1, 2
    moved = random_shift(images, 3, fill=0.0)
    assert moved.shape == images.shape
    places = set()
    for image in moved:
        (row, column), (other_row, other_column) = image[0].nonzero()[0], image[1].nonzero()[0]
        assert (row, column + 1) == (other_row, other_column)  # channels move together
        places.add((int(row), int(column)))
    assert places == {(r, c) for r in range(1, 8) for c in range(1, 8)}
    assert torch.equal(random_shift(images, 0), images)


def test_random_shift_fills_and_refuses():
    torch.manual_seed(0)
    assert set(random_shift(torch.ones(50, 1, 4, 4), 2, fill=-0.5).unique().tolist()) == {-0.5, 1.0}
    with pytest.raises(ValueError, match="negative"):
        random_shift(torch.ones(1, 1, 4, 4), -1)


def test_random_flip_mirrors_about_half():
    torch.manual_seed(0)
    images = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(1000, 1, 1, 1)
    flipped = random_flip(images)
    mirrored = (flipped[:, 0, 0, 0] == 3).float()
    assert 0.4 < mirrored.mean() < 0.6
    assert torch.equal(flipped[mirrored.bool()][0], images[0].flip(2))


def test_rescale_sets_the_smallest_side_and_averages_as_pillow_does():
    torch.manual_seed(0)
    for shape, smallest in [((60, 90), 32), ((90, 60), 31), ((40, 40), 64), ((50, 75), 50)]:
        image = torch.rand(3, *shape)
        result = rescale(image, smallest)
        assert min(result.shape[1:]) == smallest
        assert max(result.shape[1:]) == round(max(shape) * smallest / min(shape))
        size = (result.shape[2], result.shape[1])
        for channel, expected in zip(result, image.numpy(), strict=True):
            expected = Image.fromarray(expected).resize(size, Image.Resampling.BILINEAR)
            np.testing.assert_allclose(channel, np.asarray(expected), atol=1e-5)
    with pytest.raises(ValueError, match="at least 1"):
        rescale(torch.rand(3, 4, 4), 0)


def ramp(size=32):
    """An image whose slope tells the scale, and its values the place: x in red, y in green."""
    steps = (torch.arange(size) + 0.5) / size
    zeros = torch.zeros(size, size)
    return torch.stack([zeros + steps, zeros + steps[:, None], zeros])


def test_scale_is_drawn_for_every_image_and_evenly_and_crops_are_too():
    torch.manual_seed(0)
    windows = random_scale_crop(ramp(16).repeat(4000, 1, 1, 1), 20, (24, 31))
    assert windows.shape == (4000, 3, 20, 20)
    slopes = (windows[:, 0, 10, 16] - windows[:, 0, 10, 3]) / 13
    scales = (1 / slopes).round().int()
    assert scales[:100].unique().numel() == 8  # anew for each image of a batch
    counts = torch.bincount(scales)[24:]
    assert len(counts) == 8 and (counts - 500).abs().max() < 5 * 500**0.5
    for scale in (24, 31):
        middle = windows[scales == scale, :2, 10, 10] * scale - 0.5 - 10  # (left, top)
        places = middle.round().long()
        assert places.min() == 0 and places.max() == scale - 20
        side = scale - 19
        cells = torch.bincount(places[:, 0] * side + places[:, 1], minlength=side**2)
        expected = len(places) / side**2
        assert ((cells - expected) ** 2 / expected).sum() < side**2 + 5 * (2 * side**2) ** 0.5


def test_fixed_scale_without_room_is_the_rescaled_image():
    image = torch.rand(3, 30, 30)
    assert torch.equal(random_scale_crop([image], 24, (24, 24))[0], rescale(image, 24))
    with pytest.raises(ValueError, match="crop"):
        random_scale_crop([image], 25, (24, 30))


def test_colour_statistics_equal_numpys():
    torch.manual_seed(0)
    mix = torch.tensor([[1.0, 0.2, 0.1], [0.8, 0.5, 0.1], [0.7, 0.1, 0.6]])
    images = [torch.einsum("ij,jhw->ihw", mix, torch.rand(3, h, 9)) / 3 for h in (5, 8, 40)]
    mean, variances, directions = colour_statistics(images)
    pixels = np.concatenate([image.flatten(1).double().numpy() for image in images], axis=1)
    np.testing.assert_allclose(mean, pixels.mean(1), rtol=1e-5)
    values, vectors = np.linalg.eigh(np.cov(pixels, bias=True))
    np.testing.assert_allclose(variances, values, rtol=1e-4)
    np.testing.assert_allclose(np.abs(directions.numpy().T @ vectors), np.eye(3), atol=1e-4)
    with pytest.raises(ValueError, match="colour images"):
        colour_statistics([torch.rand(1, 4, 4)])
    with pytest.raises(ValueError, match="no images"):
        colour_statistics([])


def test_colour_shift_is_one_colour_an_image_with_the_covariance_of_the_formula():
    """Cov(P diag(lambda) alpha) = std^2 P diag(lambda^2) P^T = std^2 C^2, C the pixels' own."""
    torch.manual_seed(0)
    pixels = torch.rand(3, 50, 50) * torch.tensor([1.0, 0.8, 0.5])[:, None, None]
    pixels[1] += 0.5 * pixels[0]
    colours = colour_statistics([pixels])
    images = torch.rand(20_000, 3, 2, 2)
    shifts = shift_colours(images, colours, std=0.1) - images
    assert (shifts - shifts[:, :, :1, :1]).abs().max() < 1e-6  # the same for every pixel
    drawn = shifts[:, :, 0, 0].double().numpy()
    covariance = np.cov(pixels.flatten(1).double().numpy(), bias=True)
    expected = 0.01 * covariance @ covariance
    assert np.abs(np.cov(drawn.T) - expected).max() < 0.03 * expected.max()
    assert np.abs(drawn.mean(0)).max() < 5 * np.sqrt(expected.max() / 20_000)
    assert torch.equal(shift_colours(images, colours, std=0.0), images)
    with pytest.raises(ValueError, match="colour images"):
        shift_colours(torch.rand(2, 1, 4, 4), colours)


def test_transforms_crop_flip_and_subtract_the_mean():
    torch.manual_seed(0)
    colours = colour_statistics([ramp()])
    train = TrainTransform(20, (24, 24), colours, std=0.0)
    drawn = torch.stack([train(ramp()) for _ in range(200)]) + colours.mean[:, None, None]
    mirrored = drawn[:, 0, 0, 0] > drawn[:, 0, 0, 1]
    assert 0.35 < mirrored.float().mean() < 0.65
    assert drawn[:, 0, 0].amin(1).unique().numel() > 4  # the window moves
    still = EvaluationTransform(20, 24, colours.mean)(ramp()) + colours.mean[:, None, None]
    torch.testing.assert_close(still, rescale(ramp(), 24)[:, 2:22, 2:22])
    torch.manual_seed(5)
    plain = train(ramp())
    torch.manual_seed(5)
    shift = TrainTransform(20, (24, 24), colours, std=0.5)(ramp()) - plain
    assert shift[:2, 0, 0].abs().min() > 1e-3  # the ramp has red and green
    assert (shift - shift[:, :1, :1]).abs().max() < 1e-6
    # the drawing repeats from the seed, as a resumed run needs
    both = []
    for _ in range(2):
        torch.manual_seed(7)
        both.append(TrainTransform(20, (24, 40), colours)(ramp()))
    assert torch.equal(*both)


# Data sets by name


def test_data_sets_by_name_are_those_of_the_functions():
    one, other = load_dataset("digits", size=16, seed=2), load_digits(16, seed=2)
    assert torch.equal(one.train.tensors[0], other.train.tensors[0])
    scenes = load_dataset("scenes", size=32, scale=(8, 32))
    assert isinstance(scenes, ImageData) and scenes.train.tensors[0].shape == (4000, 1, 32, 32)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("cifar", {}, "'cifar': use one of digits, scenes, cifar10, imagenette, or the path"),
        ("digits", {"scale": (8, 9)}, "digits has no scale"),
        ("cifar10", {"size": 64}, "32x32 pixels, got size 64"),
        ("imagenette", {"size": 64, "scale": (60, 70)}, "scale must satisfy"),
    ],
)
def test_wrong_name_or_setting_is_named(tmp_path, name, options, says):
    with pytest.raises(ValueError, match=says):
        load_dataset(name, tmp_path, **options)


def test_folder_of_images_is_read_one_by_one_and_batched(tmp_path):
    write_images(tmp_path)
    data = load_dataset(str(tmp_path), size=28)
    assert data.classes == ["ant", "bee"] and (len(data.train), len(data.test)) == (4, 4)
    images, labels = next(iter(DataLoader(data.train, batch_size=4)))
    assert images.shape == (4, 3, 28, 28) and labels.tolist() == [0, 0, 1, 1]
    files = sorted((tmp_path / "train").rglob("*.png"))
    pixels = [np.asarray(Image.open(file)).reshape(-1, 3) / 255 for file in files]
    np.testing.assert_allclose(data.mean, np.concatenate(pixels).mean(0), rtol=1e-5)
    assert not torch.equal(data.train[0][0], data.train[0][0])  # augmented anew
    image = read_image(str(tmp_path / "val" / "ant" / "0.png"))
    assert torch.equal(data.test[0][0], EvaluationTransform(28, 32, data.mean)(image))
    jittered = load_folder(tmp_path, size=28, scale=(30, 41))  # Q = (30 + 41) / 2, rounded down
    assert torch.equal(jittered.test[0][0], EvaluationTransform(28, 35, data.mean)(image))


def test_folder_that_is_not_as_it_should_be_is_explained(tmp_path):
    with pytest.raises(ValueError, match="train must be a folder that holds one folder"):
        load_folder(tmp_path)
    write_images(tmp_path)
    (tmp_path / "val" / "bee").rename(tmp_path / "val" / "wasp")
    with pytest.raises(ValueError, match=r"in one only: \['bee', 'wasp'\]"):
        load_folder(tmp_path)
    (tmp_path / "val" / "wasp").rename(tmp_path / "val" / "bee")
    broken = tmp_path / "val" / "bee" / "0.png"
    broken.write_bytes(broken.read_bytes()[:100])
    data = load_folder(tmp_path, size=28)
    with pytest.raises(OSError, match=r"cannot read the image .*bee.0\.png"):
        data.test[2]


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
