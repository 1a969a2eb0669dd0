"""Digit scenes, each property counted or rebuilt from the bundled digits themselves."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as bundled_digits
from torch.nn import functional as F

from vgg_utils.data import load_digits
from vgg_utils.digits import INK, digit_scenes


def test_box_is_that_of_the_digits_ink_alone():
    """Without distractors the ink itself says where the box is: counted in plain Python."""
    scenes = digit_scenes(300, distractors=0, seed=5)
    with_pieces = digit_scenes(300, seed=5)
    assert torch.equal(scenes.boxes, with_pieces.boxes)
    assert torch.equal(scenes.labels, with_pieces.labels)
    assert not torch.equal(scenes.images, with_pieces.images)
    for image, box in zip(scenes.images.tolist(), scenes.boxes.tolist(), strict=True):
        inked = [(x, y) for y in range(64) for x in range(64) if image[0][y][x] >= INK]
        left, right = min(x for x, _ in inked), max(x for x, _ in inked) + 1
        top, bottom = min(y for _, y in inked), max(y for _, y in inked) + 1
        assert box == [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def test_scene_shows_a_bundled_digit_enlarged_with_its_label():
    scenes = digit_scenes(25, scale=(10, 40), distractors=0)
    assert scenes.images.shape == (25, 1, 64, 64) and scenes.images.dtype == torch.float32
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
