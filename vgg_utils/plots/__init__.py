"""The book's figures by lesson; their common look is in `vgg_utils.plots.style`."""

from vgg_utils.plots.configs import cost_by_block, draw_network
from vgg_utils.plots.images import (
    at_work,
    boxes_on_images,
    image_grid,
    photographs,
    windows_on_photographs,
)
from vgg_utils.plots.paper import paper_beside_ours, step_rows
from vgg_utils.plots.receptive_field import (
    fields_of_nodes,
    fields_on_image,
    receptive_field_explorer,
    stacked_windows,
)
from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WIDTH, use_book_style
from vgg_utils.plots.training import example_curves, seed_rows, training_curves

__all__ = [
    *("BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "RED", "SKY", "WIDTH", "use_book_style"),
    *("at_work", "step_rows", "stacked_windows"),
    *("fields_of_nodes", "fields_on_image", "receptive_field_explorer"),
    *("draw_network", "cost_by_block", "training_curves", "seed_rows", "paper_beside_ours"),
    *("image_grid", "photographs", "windows_on_photographs", "boxes_on_images", "example_curves"),
]
