"""The book's figures, a file for each lesson; their common look is in `vgg_utils.plots.style`."""

from vgg_utils.plots.augmentation import photographs, windows_on_photographs
from vgg_utils.plots.configs import cost_by_block, draw_network
from vgg_utils.plots.localisation import boxes_on_images
from vgg_utils.plots.paper import dot_rows, step_rows
from vgg_utils.plots.receptive_field import (
    fields_on_image,
    receptive_field_explorer,
    stacked_windows,
)
from vgg_utils.plots.reproduction import paper_beside_ours
from vgg_utils.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    WIDTH,
    YELLOW,
    image_grid,
    use_book_style,
)
from vgg_utils.plots.training import seed_rows, training_curves
from vgg_utils.plots.transfer import example_curves

__all__ = [
    *("BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "RED", "SKY", "WIDTH", "YELLOW"),
    *("use_book_style", "image_grid", "dot_rows", "step_rows", "stacked_windows"),
    *("fields_on_image", "receptive_field_explorer", "draw_network", "cost_by_block"),
    *("training_curves", "seed_rows", "photographs", "windows_on_photographs"),
    *("paper_beside_ours", "boxes_on_images", "example_curves"),
]
