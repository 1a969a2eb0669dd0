"""Boxes against torchvision and against counted pixels; the regressor, the merging."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.ops import box_convert, box_iou
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from vgg_utils.localise import (
    BoxedImages,
    box_regressor,
    boxes_of,
    crop,
    fit_boxes,
    iou,
    load_pets,
    merge_boxes,
    random_corners,
    squares,
    uncrop,
    voc_box,
)
from vgg_utils.model import VGGNet
from vgg_utils.training import TrainingError


def painted(boxes, side=20):
    """Images (N, 1, side, side) that are 1 in the box, whose edges must be whole pixels, else 0."""
    images = torch.zeros(len(boxes), 1, side, side)
    for image, box in zip(images, boxes, strict=True):
        left, top, right, bottom = box_convert(box, "cxcywh", "xyxy").int().tolist()
        image[:, top:bottom, left:right] = 1
    return images


def small_net(**more):
    torch.manual_seed(0)
    options = {"pool_size": 2, "hidden_features": 12, "batch_norm": True, "dropout": 0.0}
    return VGGNet(1, 3, [(3, 4), "M", (3, 6), "M"], **{**options, **more})


# Boxes


def test_iou_agrees_with_torchvision():
    torch.manual_seed(0)
    boxes, others = torch.rand(2, 300, 4) * 10 + 0.1
    expected = box_iou(*(box_convert(b, "cxcywh", "xyxy") for b in (boxes, others)))
    assert expected.diagonal().gt(0.1).any() and expected.eq(0).any()
    torch.testing.assert_close(iou(boxes, others), expected.diagonal())
    torch.testing.assert_close(iou(boxes[:, None], others), expected)


def test_iou_agrees_with_counted_pixels():
    boxes = torch.tensor([[5.0, 6, 4, 8], [12, 10, 10, 6]])
    others = torch.tensor([[6.0, 7, 6, 6], [9, 9, 6, 14]])
    here, there = painted(boxes), painted(others)
    shared = (here * there).sum(dim=(1, 2, 3))
    covered = torch.maximum(here, there).sum(dim=(1, 2, 3))
    torch.testing.assert_close(iou(boxes, others), shared / covered)


def test_iou_of_empty_and_inverted_boxes_is_zero():
    empty, inverted = torch.tensor([3.0, 3, 0, 0]), torch.tensor([3.0, 3, -2, -2])
    box = torch.tensor([3.0, 3, 2, 2])
    assert [iou(a, b).item() for a, b in ((empty, empty), (inverted, box), (box, empty))] == [0] * 3


def test_iou_refuses_what_is_no_box():
    with pytest.raises(ValueError, match=r"\(\.\.\., 4\), got \[2, 5\] and \[2, 4\]"):
        iou(torch.zeros(2, 5), torch.zeros(2, 4))


def test_crop_moves_the_box_with_its_pixels():
    boxes = torch.tensor([[8.0, 9, 4, 6], [11, 7, 2, 2]])
    corners = torch.tensor([[3, 5], [6, 0]])  # left, top
    cut, targets = crop(painted(boxes), boxes, corners, 12)
    assert cut.shape == (2, 1, 12, 12)
    in_pixels = targets * 12 + torch.tensor([6.0, 6, 0, 0])
    torch.testing.assert_close(painted(in_pixels, side=12), cut)
    torch.testing.assert_close(uncrop(targets, corners, 12), boxes)


@pytest.mark.parametrize("corner", [[9, 0], [0, 9], [-1, 0]])
def test_crop_refuses_a_square_beyond_the_image(corner):
    with pytest.raises(ValueError, match="12 pixels does not fit there in 20x20"):
        crop(torch.zeros(1, 1, 20, 20), torch.zeros(1, 4), torch.tensor([corner]), 12)


def test_random_corners_reach_every_place_of_an_oblong_image():
    torch.manual_seed(0)
    corners = random_corners(torch.zeros(400, 1, 6, 9), 5)
    assert {tuple(c) for c in corners.tolist()} == {(x, y) for x in range(5) for y in range(2)}


def test_squares_are_cut_where_their_corners_say():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 10, 10)
    cut, corners = squares(images, 10, 6, 2)
    assert cut.shape == (2, 9, 3, 6, 6) and corners[1].tolist() == [2, 0]
    for place, (left, top) in enumerate(corners.tolist()):
        assert torch.equal(cut[:, place], images[:, :, top : top + 6, left : left + 6])


def test_squares_of_a_rescaled_image_keep_its_content():
    ramp = torch.arange(20.0).expand(1, 1, 20, 20)
    cut, corners = squares(ramp, 40, 32, 8)
    assert corners.tolist() == [[0, 0], [8, 0], [0, 8], [8, 8]]
    # pixel 15 + 8 of 40 has its centre at 11.75 of 20, which is value 11.25 between pixel centres
    assert cut[0, 1, 0, 0, 15].item() == pytest.approx(11.25)


@pytest.mark.parametrize(("shape", "side"), [((1, 1, 8, 9), 8), ((1, 1, 8, 8), 5)])
def test_squares_refuse_what_does_not_fit(shape, side):
    with pytest.raises(ValueError, match="square images and a side of at least 6"):
        squares(torch.zeros(shape), side, 6, 2)


# The regressor


def test_box_regressor_changes_the_last_layer_of_a_copy():
    net = small_net()
    before = copy.deepcopy(net.state_dict())
    model = box_regressor(net, 3)
    assert model.classifier[-1].out_features == 12
    for name, value in model.state_dict().items():
        if not name.startswith("classifier.6"):
            assert torch.equal(value, before[name]), name
    model.features[0].weight.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_boxes_of_takes_the_box_of_the_label():
    outputs = torch.arange(24.0).view(2, 12)
    assert boxes_of(outputs, torch.tensor([2, 0])).tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    by_bytes = boxes_of(outputs, torch.tensor([2, 0], dtype=torch.uint8))  # no mask
    assert torch.equal(by_bytes, boxes_of(outputs, torch.tensor([2, 0])))
    assert torch.equal(boxes_of(outputs[:, :4], torch.tensor([2, 0])), outputs[:, :4])
    with pytest.raises(ValueError, match=r"4 \* classes"):
        boxes_of(outputs[:, :6], torch.tensor([0, 0]))


def boxed(count=24):
    rng = np.random.default_rng(0)
    lows, sides = rng.integers(2, 9, (count, 2)), 2 * rng.integers(2, 5, (count, 2))
    boxes = torch.from_numpy(np.concatenate([lows + sides / 2, sides], axis=1)).float()
    return BoxedImages(painted(boxes), torch.arange(count) % 3, boxes, ["a", "b", "c"])


def test_first_loss_is_half_the_mean_squared_distance():
    """One batch at a square as large as the image: nothing is random but the new layer."""
    data, net = boxed(), small_net()
    model = box_regressor(net, 3)
    with torch.no_grad():
        outputs = model.eval()(data.images).numpy()
    total = 0.0
    for output, label, box in zip(outputs, data.labels, data.boxes.numpy(), strict=True):
        target = (box - [10, 10, 0, 0]) / 20
        total += ((output[4 * label : 4 * label + 4] - target) ** 2).sum() / 2
    losses = fit_boxes(model, data, size=20, epochs=1, batch_size=24)
    assert losses == [pytest.approx(total / 24, rel=1e-5)]


@pytest.mark.parametrize(
    ("layers", "changed"), [("fc", {"classifier"}), ("all", {"classifier", "features"})]
)
def test_only_the_named_layers_learn(layers, changed):
    model = box_regressor(small_net(), 1)
    before = copy.deepcopy(model.state_dict())
    fit_boxes(model, boxed(), size=16, layers=layers, epochs=1)
    found = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert {name.split(".")[0] for name in found} == changed
    assert not any("running" in name for name in found)


def test_boxes_are_learnt():
    data, model = boxed(), box_regressor(small_net(batch_norm=False, hidden_features=64), 1)
    fit_boxes(model, data, size=20, epochs=80, batch_size=8, learning_rate=0.05, milestones=[60])
    corners = torch.zeros(24, 2, dtype=torch.int64)
    with torch.no_grad():
        found = uncrop(boxes_of(model(data.images), data.labels), corners, 20)
    assert (iou(found, data.boxes) > 0.5).float().mean() > 0.9
    assert (iou(data.boxes.mean(dim=0), data.boxes) > 0.5).float().mean() < 0.6


def test_the_rate_falls_after_each_milestone():
    """With a rate that falls to nearly nothing after epoch 1, further epochs change nothing."""
    data, models = boxed(), []
    for options in ({"epochs": 1}, {"epochs": 4, "milestones": [1] * 9}):
        torch.manual_seed(0)
        models.append(box_regressor(small_net(), 1))
        fit_boxes(models[-1], data, size=20, batch_size=8, **options)
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    before = box_regressor(small_net(), 1).features[0].weight
    assert (models[0].features[0].weight - before).abs().max() > 1e-4


@pytest.mark.parametrize("layers", ["fc", "all"])
def test_modes_flags_and_random_numbers_are_left_as_they_were(layers):
    model = box_regressor(small_net(dropout=0.5), 1).train()
    model.features[1].eval()
    model.features[0].weight.requires_grad_(False)

    def found():
        modes = [module.training for module in model.modules()]
        return modes, [parameter.requires_grad for parameter in model.parameters()]

    kept = model.features[4].weight
    kept.grad = torch.ones_like(kept)  # of no concern to a fit of "fc"
    torch.manual_seed(5)
    before, state, numpy_state = found(), torch.get_rng_state(), np.random.get_state()[1].tolist()
    frozen = model.features[0].weight.clone()
    fit_boxes(model, boxed(), size=16, layers=layers, epochs=1)
    with pytest.raises(TrainingError):
        fit_boxes(model, boxed(), size=16, layers=layers, learning_rate=1e6, batch_size=4)
    assert found() == before
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numpy_state
    assert torch.equal(model.features[0].weight, frozen)  # frozen means frozen
    assert all(parameter.grad is None for parameter in model.classifier.parameters())
    assert (kept.grad is not None and bool((kept.grad == 1).all())) == (layers == "fc")


def test_the_seed_alone_decides():
    losses = []
    for outside, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(0)
        model = box_regressor(small_net(dropout=0.5), 1)
        torch.manual_seed(outside)
        losses.append(fit_boxes(model, boxed(), size=16, epochs=2, seed=seed))
    assert losses[0] == losses[1] != losses[2]


def test_a_wrapped_network_learns_what_the_bare_one_learns():
    losses = []
    for wrap in (lambda model: model, nn.DataParallel):
        torch.manual_seed(0)
        model = wrap(box_regressor(wrap(small_net()), 3))
        losses.append(fit_boxes(model, boxed(), size=16, epochs=2))
    assert losses[0] == losses[1]


GOOD = boxed()


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({}, {"layers": "conv"}, ValueError, '"all" or "fc", got \'conv\''),
        ({}, {"epochs": 0}, ValueError, "epochs must be a positive integer, got 0"),
        ({}, {"batch_size": 2.5}, ValueError, "batch_size must be a positive integer"),
        ({}, {"size": 21}, ValueError, "size must lie between 4 and 20 pixels, got 21"),
        ({}, {"size": 3}, ValueError, "size must lie between 4 and 20 pixels, got 3"),
        ({"images": GOOD.images.byte()}, {}, ValueError, "torch.uint8: divide by 255"),
        ({"images": GOOD.images.expand(-1, 3, -1, -1)}, {}, ValueError, r"\(N, 1, height, width\)"),
        ({"images": GOOD.images / 0}, {}, ValueError, "NaN or infinite"),
        ({"images": list(GOOD.images)}, {}, TypeError, "got <class 'list'>"),
        ({"labels": GOOD.labels[:3]}, {}, ValueError, r"24 images want .*\(3,\)"),
        ({"labels": GOOD.labels[:, None]}, {}, ValueError, r"24 images want .*\(24, 1\)"),
        ({"labels": GOOD.labels + 1}, {}, ValueError, "from 1 to 3; .* must lie between 0 and 2"),
        ({"labels": GOOD.labels - 1}, {}, ValueError, "from -1 to 1; .* must lie between 0 and 2"),
        ({"labels": GOOD.labels.float()}, {}, ValueError, "labels of the images are torch.float32"),
        ({"boxes": GOOD.boxes[:, :3]}, {}, ValueError, r"24 images want .*\(24, 3\)"),
        ({"boxes": GOOD.boxes / 0}, {}, ValueError, "the boxes hold NaN or infinite"),
        ({part: getattr(GOOD, part)[:0] for part in GOOD._fields}, {}, ValueError, "0 images want"),
    ],
)
def test_what_fit_boxes_refuses_before_the_first_step(changes, options, error, message):
    model = box_regressor(small_net(), 3)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        fit_boxes(model, GOOD._replace(**changes), **{"size": 16, **options})
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_other_networks_are_refused():
    with pytest.raises(
        TypeError, match=r"needed is a VGGNet, such as from box_regressor, got .*Flatten"
    ):
        fit_boxes(nn.Flatten(), GOOD, size=16)
    net = small_net()
    net.classifier = nn.Sequential(nn.Linear(24, 3), nn.Softmax(1))
    with pytest.raises(ValueError, match=r"must end in a Linear to be replaced, got .*Softmax"):
        box_regressor(net)


def test_training_that_diverges_says_so():
    with pytest.raises(TrainingError, match="in epoch 1, with a learning rate of 1e\\+06"):
        fit_boxes(box_regressor(small_net()), boxed(), size=20, batch_size=4, learning_rate=1e6)


# Merging


def merged_by_groups(boxes, scores, least):
    """Merge lists of places instead of means, and ask torchvision for the IoU."""
    groups = [[i] for i in range(len(boxes))]
    while len(groups) > 1:
        means = torch.stack([boxes[g].mean(dim=0) for g in groups])
        corners = box_convert(means, "cxcywh", "xyxy")
        match = box_iou(corners, corners).triu(1)
        if match.max() < least:
            break
        first, second = divmod(match.argmax().item(), len(groups))
        groups[first] += groups.pop(second)
    groups.sort(key=lambda group: -scores[group].sum().item())
    return [(boxes[g].mean(dim=0), scores[g].sum()) for g in groups]


def test_merging_wants_a_score_for_each_box():
    with pytest.raises(
        ValueError, match=r"boxes \(M, 4\) and scores \(M,\), got \(3, 4\) and \(2,\)"
    ):
        merge_boxes(torch.zeros(3, 4), torch.zeros(2))


@pytest.mark.parametrize("seed", range(5))
def test_merging_agrees_with_groups(seed):
    torch.manual_seed(seed)
    boxes = torch.randn(20, 4) * 0.6 + torch.tensor([[5.0, 5, 4, 4], [9, 8, 5, 3]]).repeat(10, 1)
    scores = torch.rand(20)
    expected = merged_by_groups(boxes, scores, 0.5)
    found, sums = merge_boxes(boxes, scores)
    assert 1 < len(found) == len(expected) < 20
    torch.testing.assert_close(found, torch.stack([box for box, _ in expected]))
    torch.testing.assert_close(sums, torch.stack([total for _, total in expected]))


def test_merged_box_is_the_mean_and_the_best_has_the_highest_sum():
    boxes = torch.tensor([[5.0, 5, 4, 4], [20, 20, 4, 4], [5.5, 5, 4, 4], [5, 5.5, 4, 4]])
    found, sums = merge_boxes(boxes, torch.tensor([0.3, 0.8, 0.3, 0.3]))
    assert found[0].tolist() == pytest.approx([5 + 1 / 6, 5 + 1 / 6, 4, 4])
    assert sums.tolist() == pytest.approx([0.9, 0.8])


# Pets

XML = """<annotation><object><name>cat</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>
<xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"""


def test_voc_box_counts_from_one_and_includes_the_last_pixel(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(XML.format(1, 3, 10, 4))
    assert voc_box(path) == (5.0, 3.0, 10.0, 2.0)
    path.write_text("<annotation></annotation>")
    with pytest.raises(ValueError, match=r"a\.xml names no object"):
        voc_box(path)


def test_pets_are_cut_with_their_boxes(tmp_path):
    """Four photographs with a white head: wide, tall, one head far aside, one without a box."""
    folder = tmp_path / "oxford-iiit-pet"
    for part in ("images", "annotations/xmls", "annotations/trimaps"):
        (folder / part).mkdir(parents=True)
    heads = {
        "Abyssinian_1": ((80, 40), (30, 11, 49, 30)),
        "beagle_2": ((60, 120), (11, 51, 50, 80)),
        "beagle_3": ((80, 40), (1, 1, 10, 10)),
        "beagle_4": ((40, 40), None),
    }
    lines = []
    for name, (shape, head) in heads.items():
        pixels = np.zeros((shape[1], shape[0], 3), dtype=np.uint8)
        if head:
            left, top, right, bottom = head
            pixels[top - 1 : bottom, left - 1 : right] = 255
            (folder / "annotations" / "xmls" / f"{name}.xml").write_text(XML.format(*head))
        Image.fromarray(pixels).save(folder / "images" / f"{name}.jpg", quality=95)
        lines.append(f"{name} {1 if name[0] == 'A' else 2} 1 1")
    (folder / "annotations" / "trainval.txt").write_text("\n".join(lines) + "\n")
    pets = load_pets(tmp_path, size=40, download=False)
    assert pets.classes == ["Abyssinian", "Beagle"] and pets.labels.tolist() == [0, 1]
    assert pets.images.shape == (2, 3, 40, 40) and pets.images.dtype == torch.uint8
    with Image.open(folder / "images" / "beagle_2.jpg") as photo:
        expected = center_crop(resize(photo, [40]), [40])  # what comes before torchvision's weights
    assert torch.equal(pets.images[1], pil_to_tensor(expected))
    for image, box in zip(pets.images, pets.boxes, strict=True):
        rows, columns = torch.where(image[0] > 127)
        low = torch.tensor([columns.min(), rows.min()])
        high = torch.tensor([columns.max() + 1, rows.max() + 1])
        torch.testing.assert_close(box[:2], (low + high) / 2, atol=0.6, rtol=0)
        torch.testing.assert_close(box[2:], (high - low).float(), atol=1.1, rtol=0)
