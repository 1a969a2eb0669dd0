"""The paper's augmentation and the preprocessing, each against an independent computation."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from vgg_utils.augmentation import (
    Preprocess,
    TrainTransform,
    colour_statistics,
    pca_lighting,
    random_flip,
    random_scale_crop,
    random_shift,
    rescale,
    training_scale,
)
from vgg_utils.data import load_digits
from vgg_utils.images import read_image


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


def test_random_shift_draws_on_the_cpu_whatever_the_device():
    """A device without values stands in for a GPU: the draws, and so the run, are the same."""
    after = []
    for device in ("cpu", "meta"):
        torch.manual_seed(0)
        moved = random_shift(torch.zeros(5, 1, 4, 6, device=device), 2)
        assert moved.device.type == device and moved.shape == (5, 1, 4, 6)
        after.append(torch.rand(1))
    assert torch.equal(*after)


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
    with pytest.raises(ValueError, match="smallest must be a positive integer, got 0"):
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


@pytest.mark.parametrize(
    ("size", "scale", "says"),
    [
        (24.0, None, "size must be a positive integer, got 24.0"),
        (24.5, (30, 40), "size must be a positive integer, got 24.5"),
        ("24", None, "size must be a positive integer, got '24'"),
        (24, (30.5, 40), "each end of scale must be a positive integer, got 30.5"),
        (24, (30, 29), r"crop \(24\) <= low <= high, got \(30, 29\)"),
    ],
)
def test_scale_that_cannot_be_is_refused(size, scale, says):
    with pytest.raises(ValueError, match=says):
        training_scale(size, scale)


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
    with pytest.raises(ValueError, match=r"\(3, H, W\)"):
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
    shifts = pca_lighting(images, colours, std=0.1) - images
    assert (shifts - shifts[:, :, :1, :1]).abs().max() < 1e-6  # the same for every pixel
    drawn = shifts[:, :, 0, 0].double().numpy()
    covariance = np.cov(pixels.flatten(1).double().numpy(), bias=True)
    expected = 0.01 * covariance @ covariance
    assert np.abs(np.cov(drawn.T) - expected).max() < 0.03 * expected.max()
    assert np.abs(drawn.mean(0)).max() < 5 * np.sqrt(expected.max() / 20_000)
    assert torch.equal(pca_lighting(images, colours, std=0.0), images)
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        pca_lighting(torch.rand(2, 1, 4, 4), colours)


def test_transforms_crop_flip_and_subtract_the_mean():
    torch.manual_seed(0)
    colours = colour_statistics([ramp()])
    train = TrainTransform(20, (24, 24), colours, std=0.0)
    drawn = torch.stack([train(ramp()) for _ in range(200)]) + colours.mean[:, None, None]
    mirrored = drawn[:, 0, 0, 0] > drawn[:, 0, 0, 1]
    assert 0.35 < mirrored.float().mean() < 0.65
    assert drawn[:, 0, 0].amin(1).unique().numel() > 4  # the window moves
    still = Preprocess(20, 24, colours.mean.tolist())(ramp()) + colours.mean[:, None, None]
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


# Preprocessing


def test_preprocess_rescales_cuts_the_centre_and_normalises():
    torch.manual_seed(0)
    image = torch.rand(3, 40, 61)
    mean, std = [0.5, 0.25, 0.125], [0.5, 2.0, 4.0]
    ready = Preprocess(16, 20, mean, std)(image)
    assert ready.shape == (3, 16, 16) and ready.dtype == torch.float32
    for channel, m, d, pixels in zip(ready, mean, std, image.numpy(), strict=True):
        small = Image.fromarray(pixels).resize((round(61 / 2), 20), Image.Resampling.BILINEAR)
        expected = (np.asarray(small)[2:18, 7:23] - m) / d
        np.testing.assert_allclose(channel, expected, atol=1e-5)
    assert torch.equal(Preprocess(16, 20, mean)(image), Preprocess(16, 20, mean, [1, 1, 1])(image))


def test_preprocess_for_one_channel_takes_the_luminance_and_may_invert_it():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    luminance = torch.from_numpy(np.array(Image.fromarray(pixels).convert("L"))) / 255
    for invert, expected in ((False, luminance), (True, 1 - luminance)):
        ready = Preprocess(8, 8, [0.0], grey=True, invert=invert)(image)
        torch.testing.assert_close(ready, expected[None], atol=1 / 255, rtol=0)


def test_written_digit_becomes_what_the_network_saw(tmp_path):
    """A bundled digit saved as a picture, dark ink on white paper, is the digit of the data set."""
    data = load_digits()
    ink = (data.test.tensors[0][:5] + data.mean.item()).numpy()
    for number, digit in enumerate(ink):
        picture = Image.fromarray((255 * (1 - digit[0])).round().astype(np.uint8))
        picture.save(tmp_path / "digit.png")
        ready = data.preprocess(read_image(tmp_path / "digit.png"))
        torch.testing.assert_close(ready, data.test.tensors[0][number], atol=1 / 255, rtol=0)


def test_preprocess_is_stored_in_a_checkpoint_and_comes_back(tmp_path):
    for preprocess in (
        Preprocess(8, 9, torch.tensor([0.1, 0.2, 0.3])),  # a tensor's numbers become plain ones
        Preprocess(8, 8, [0.5], [2.0], grey=True, invert=True),
    ):
        torch.save(dataclasses.asdict(preprocess), tmp_path / "p.pt")
        stored = torch.load(tmp_path / "p.pt", weights_only=True)
        assert stored == json.loads(json.dumps(stored))
        assert Preprocess(**stored) == preprocess


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": 20, "resize": 16, "mean": [0, 0, 0]}, "size <= resize"),
        ({"size": 0, "resize": 16, "mean": [0, 0, 0]}, "size <= resize"),
        ({"size": 8, "resize": 8, "mean": [0]}, "mean and std of 3 numbers"),
        ({"size": 8, "resize": 8, "mean": [0, 0, 0], "grey": True}, "mean and std of 1 numbers"),
        ({"size": 8, "resize": 8, "mean": [0, 0, 0], "std": [1]}, "mean and std of 3 numbers"),
        ({"size": 8, "resize": 8, "mean": [0, 0, 0], "std": [1, 0, 1]}, "std > 0"),
        ({"size": 8, "resize": 8, "mean": [0, 0, 0], "std": [1, -1, 1]}, "std > 0"),
    ],
)
def test_preprocess_that_cannot_be_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        Preprocess(**settings)


# What is handed in


STATISTICS = colour_statistics([ramp()])


@pytest.mark.parametrize(
    ("shape", "call"),
    [
        ((2, 3, 8, 8), partial(random_shift, pixels=1)),
        ((2, 3, 8, 8), random_flip),
        ((2, 3, 8, 8), partial(random_scale_crop, size=4, scale=(5, 6))),
        ((2, 3, 8, 8), partial(pca_lighting, colours=STATISTICS)),
        ((2, 3, 8, 8), colour_statistics),
        ((3, 8, 8), TrainTransform(4, (5, 6), STATISTICS)),
        ((3, 8, 8), Preprocess(4, 5, [0, 0, 0])),
        ((3, 8, 8), partial(rescale, smallest=4)),
    ],
)
def test_what_is_no_float_image_is_refused_in_words(shape, call):
    """Bytes, NumPy's float64 (which `rescale` alone takes), and dimensions too few or too many."""
    call(torch.rand(shape))
    with pytest.raises(TypeError, match=r"float32 images .* got torch.uint8: use images / 255"):
        call(torch.zeros(shape, dtype=torch.uint8))
    if getattr(call, "func", None) is not rescale:
        with pytest.raises(TypeError, match=r"torch.float64: use images.float\(\)"):
            call(torch.zeros(shape, dtype=torch.float64))
    for wrong in (torch.rand(shape)[0], torch.rand(1, *shape)):
        with pytest.raises(ValueError, match="expected images of shape"):
            call(wrong)


def test_half_precision_stays_half():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 8, 8).half()
    for changed in (random_shift(images, 1), random_flip(images), pca_lighting(images, STATISTICS)):
        assert changed.dtype == torch.float16
