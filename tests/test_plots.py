"""The figures: all can be reached from `plots`, and each takes what its docstring says."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vgg_utils import classify, load_trained, plots, read_image
from vgg_utils.configs import layer_configs
from vgg_utils.network_receptive_field import by_name, find, network_receptive_field
from vgg_utils.pictures import picture
from vgg_utils.receptive_field import receptive_field

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize(("configs", "opened"), [("AD", "D"), ("A", "A")])
def test_explorer_opens_two_thirds_down_d_or_the_first(configs, opened):
    chains = {name: receptive_field(layer_configs[name]) for name in configs}
    image = np.zeros((224, 224, 3), np.uint8)
    page = plots.receptive_field_explorer(image, chains, credit="<b>me</b>")
    # A's fields are 3, 4 (pool), 8, 10, 18, 26, 30, 46, 62 and four more; D's, 3, 5, 6, 10, 14, 16,
    # 24, 32, 40, 44, 60, 76, 92 and five more
    layer, field = {"A": ("conv4_2", 62), "D": ("conv4_3", 92)}[opened]
    assert f">{opened}, {layer}: a unit in the middle" in page and f"{field}x{field} pixels" in page
    assert "><b>me</b></p>" in page and "{{" not in page


def test_explorer_refuses_an_image_that_is_not_square():
    image, chains = np.zeros((32, 30, 3), np.uint8), {"A": receptive_field(layer_configs["A"])}
    with pytest.raises(ValueError, match="square, got 32x30"):
        plots.receptive_field_explorer(image, chains)


def test_explorer_refuses_nodes_that_see_other_fields_along_their_axes():
    nodes = network_receptive_field(torch.nn.Conv2d(3, 1, (3, 5)), 32)
    with pytest.raises(ValueError, match="other fields along its axes"):
        plots.receptive_field_explorer(np.zeros((32, 32, 3), np.uint8), {"own": nodes})


def test_explorer_refuses_nodes_whose_units_do_not_lie_evenly_apart():
    nodes = network_receptive_field(torch.nn.AdaptiveAvgPool2d(5), 32)
    with pytest.raises(ValueError, match="evenly apart"):
        plots.receptive_field_explorer(np.zeros((32, 32, 3), np.uint8), {"own": nodes[-1:]})


def drawn(figure):
    """Return the outlined boxes as (left, right, top, bottom), by their labels."""
    (axis,) = figure.axes
    boxes = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axis.patches]
    labels = [text.get_text() for text in axis.texts]
    return {label: (x, x + w, y, y + h) for label, (x, y, w, h) in zip(labels, boxes, strict=True)}


def test_fields_of_nodes_lie_round_the_unit_nearest_to_a_point():
    """Of VGG-16 the middle unit of pool5 sees 6 to 218, and unit 0 from 90 pixels outside."""
    image = np.zeros((224, 224, 3), np.uint8)
    node = find(network_receptive_field(by_name("vgg16"), 224), "features")
    assert drawn(plots.fields_of_nodes(image, {"pool5": node})) == {"pool5": (6, 218, 6, 218)}
    corner = drawn(plots.fields_of_nodes(image, {"pool5": node}, at=(0, 1)))
    assert corner == {"pool5": (102, 314, -90, 122)}


def test_fields_of_nodes_give_the_whole_image_to_what_sees_everything():
    image = np.zeros((96, 64, 3), np.uint8)
    nodes = network_receptive_field(by_name("mobilenet_v3_small"), (96, 64))
    shown = {"first": find(nodes, "features.0"), "last": find(nodes, "features")}
    boxes = drawn(plots.fields_of_nodes(image, shown))
    assert boxes == {"first": (31, 34, 47, 50), "last": (0, 64, 0, 96)}


def test_fields_of_nodes_refuse_places_that_are_not_even():
    (node,) = network_receptive_field(torch.nn.AdaptiveAvgPool2d(5), 12)[-1:]
    with pytest.raises(ValueError, match="evenly"):
        plots.fields_of_nodes(np.zeros((12, 12, 3), np.uint8), {"own": node})


def test_nothing_to_draw_is_said_in_a_line():
    nodes = network_receptive_field(torch.nn.AdaptiveAvgPool2d(1), 12)
    image = np.zeros((12, 12, 3), np.uint8)
    assert drawn(plots.fields_of_nodes(image, {"all": nodes[-1]})) == {"all": (0, 12, 0, 12)}
    with pytest.raises(ValueError, match="no node to draw"):
        plots.fields_of_nodes(image, {})


def test_network_at_work_shows_its_answer_and_maps_of_every_block():
    trained = load_trained("A")
    photo = read_image(picture("cat"))
    figure = plots.at_work(trained, photo, columns=4)
    axes = [axis for part in figure.subfigs for axis in part.axes]
    titles = [axis.get_title() or axis.get_title("left") for axis in axes[:3]]
    assert titles == ["photograph", "seen at 32x32", "answer"]
    fed = axes[1].images[0].get_array()
    assert fed.shape == (32, 32, 3) and 0 <= fed.min() < fed.max() <= 1
    ((name, share), *_) = classify(trained, [picture("cat")])[0]
    assert axes[2].get_yticklabels()[0].get_text() == name
    assert axes[2].patches[0].get_width() == pytest.approx(share)
    rows = [axis for axis in axes if axis.get_ylabel()]
    assert [axis.get_ylabel() for axis in rows] == [
        *("16 maps\n32x32", "32 maps\n16x16", "64 maps\n8x8"),
        *("128 maps\n4x4", "128 maps\n2x2"),
    ]
    maps = [axis.images[0].get_array() for axis in axes[3:]]
    assert len(maps) == 4 * len(rows)
    assert all(found.min() >= 0 for found in maps)  # behind the ReLU
    spread = [found.std() for found in maps[:4]]
    assert spread == sorted(spread, reverse=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_stretched_each_to_its_own_range(channels):
    images = torch.rand(5, channels, 8, 8) * torch.tensor([1, 2, 3, 4, 5]).view(5, 1, 1, 1) - 2
    figure = plots.image_grid(images, columns=3)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(shown) == 5
    assert all(picture.min() == 0 and abs(picture.max() - 1) < 1e-6 for picture in shown)


def test_boxes_lie_where_centre_and_size_put_them():
    boxes = torch.tensor([[10.0, 20.0, 8.0, 4.0]])
    figure = plots.boxes_on_images(torch.rand(1, 1, 32, 32), {"true": boxes}, ["one"])
    assert figure.axes[0].get_title() == "one"
    (patch,) = figure.axes[0].patches
    left, _, _, top = figure.axes[0].images[0].get_extent()  # where the corner's pixel begins
    assert (patch.get_x() - left, patch.get_y() - top) == (6, 18)
    assert (patch.get_width(), patch.get_height()) == (8, 4)


def history(part, epochs=2):
    row = {"train_loss": 1.0, "learning_rate": 0.1, f"{part}_loss": 2.0, f"{part}_error": 50.0}
    return [{"epoch": epoch, **row} for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_training_curves_are_labelled_by_what_the_rows_hold(part):
    losses, errors = plots.training_curves([history(part)] * 3).axes
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["training", part]
    assert f"the {part} set" in errors.get_title()
    assert all(list(line.get_ydata()) == [50, 50] for line in errors.lines)


def test_training_curves_of_rows_without_an_error_are_refused():
    with pytest.raises(ValueError, match="give `fit` a validation set"):
        plots.training_curves([history("other")])
