"""The figures: all can be reached from `plots`, and each takes what its docstring says."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vgg_utils import plots
from vgg_utils.configs import layer_configs
from vgg_utils.receptive_field import receptive_field

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_explorer_shows_first_what_it_is_asked_for():
    page = plots.receptive_field_explorer(
        np.zeros((32, 32, 3), np.uint8),
        {"A": receptive_field(layer_configs["A"])},
        config="A",
        layer="conv2_1",
    )
    # conv2_1 of A follows one 3x3 layer and one pool: 3, then 4, then 4 + 2 * 2 pixels
    assert "A, conv2_1: field 8x8 px, jump 2 px" in page
    assert "{{" not in page


@pytest.mark.parametrize(
    ("size", "layer", "message"),
    [((32, 30), "pool5", "square, got 32x30"), ((32, 32), "conv9_1", "no layer 'conv9_1'")],
)
def test_explorer_refuses_what_it_cannot_show(size, layer, message):
    image, chains = np.zeros((*size, 3), np.uint8), {"A": receptive_field(layer_configs["A"])}
    with pytest.raises(ValueError, match=message):
        plots.receptive_field_explorer(image, chains, config="A", layer=layer)


def test_rows_begin_at_the_top_and_leave_gaps_where_a_value_is_missing():
    _, axis = plt.subplots()
    plots.dot_rows(axis, ["first", "second"], {"a": [1.0, None], "b": [2.0, 3.0]})
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first", "second"]
    low, high = axis.get_ylim()
    assert low > high
    assert [list(line.get_xdata()) for line in axis.lines] == [[1.0], [2.0, 3.0]]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_stretched_each_to_its_own_range(channels):
    images = torch.rand(5, channels, 8, 8) * torch.tensor([1, 2, 3, 4, 5]).view(5, 1, 1, 1) - 2
    figure = plots.image_grid(images, columns=3)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(shown) == 5
    assert all(picture.min() == 0 and abs(picture.max() - 1) < 1e-6 for picture in shown)


def test_boxes_lie_where_centre_and_size_put_them():
    boxes = torch.tensor([[10.0, 20.0, 8.0, 4.0]])
    figure = plots.boxes_on_images(torch.rand(1, 1, 32, 32), {"true": boxes})
    (patch,) = figure.axes[0].patches
    assert (*patch.get_xy(), patch.get_width(), patch.get_height()) == (6, 18, 8, 4)
