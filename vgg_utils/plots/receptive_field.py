"""What a unit sees: stacked windows, fields on a photograph, and the explorer (lesson 2)."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from PIL import Image

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WIDTH, outline
from vgg_utils.receptive_field import ReceptiveField


def stacked_windows() -> plt.Figure:
    """Draw the 1, 3, 5 and 7 cells aside that one unit sees through three 3x3 layers."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.9))
    levels = {
        "7x7 pixels,\nthree layers down": BLUE,
        "5x5 units,\ntwo layers down": GREEN,
        "sees 3x3 units,\none layer down": ORANGE,
        "one unit after\nthree 3x3 layers": RED,
    }
    for level, (label, colour) in enumerate(levels.items()):
        side = 7 - 2 * level
        for cells, face, edge in ((side + 2, "white", "#C8C8C8"), (side, colour, "white")):
            right, back = np.mgrid[: cells + 1, : cells + 1] - cells / 2
            x, y = right + 0.45 * back, 0.42 * back + 4.6 * level
            axis.pcolormesh(x, y, 0 * x[1:, 1:], cmap=ListedColormap([face]), zorder=level)
            axis.plot(x, y, x.T, y.T, color=edge, linewidth=0.8, zorder=level)
        right, back = np.mgrid[:2, :2].reshape(2, 4) - 0.5  # the corners, and whence they look
        sides, floors = np.array([[side, side + 2], [level, level - 1]])[..., None]
        x, y = (right + 0.45 * back) * sides, 0.42 * back * sides + 4.6 * floors
        axis.plot(x, y, color=GREY, linewidth=min(level, 1), zorder=level)
        axis.text(7.4, 4.6 * level, label, va="center")
    axis.set(aspect="equal", xlim=(-6.8, 14.6), ylim=(-2.3, 15.0))
    axis.axis("off")
    return figure


def fields_on_image(
    image: Any, fields: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]
) -> plt.Figure:
    """Outline fields on an image; what lies beyond the image is hatched as padding.

    `fields` maps a label to ((left, right), (top, bottom)), two results of `interval` in pixels.
    """
    height, width = np.asarray(image).shape[:2]
    ends = np.array(list(fields.values()))
    low, high = min(0, ends.min()), max(height, width, ends.max())
    figure, axis = plt.subplots(figsize=(WIDTH, WIDTH))
    axis.grid(False)
    if (low, high) != (0, max(height, width)):
        axis.patch.set(facecolor="#F0F0F0", edgecolor="#CDCDCD", hatch="//", linewidth=0)
    axis.imshow(image, extent=(0, width, height, 0), zorder=1)
    colours, note = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY), 0.44 * height
    for (label, (x, y)), colour in zip(fields.items(), cycle(colours), strict=False):
        outline(axis, x, y, colour)
        text: dict[str, Any] = {"xytext": (x[0] + 2, y[0] + 2), "va": "top"}
        if x[1] - x[0] < 0.19 * width:  # too small to write in: a label to the right, and a line
            text = {"xytext": (0.79 * width, note), "va": "center"}
            text["arrowprops"] = {"arrowstyle": "-", "color": "white", "linewidth": 1.5}
            note += 0.11 * height
        box = {"facecolor": "white", "edgecolor": colour, "pad": 1.8}
        axis.annotate(label, (x[1], sum(y) / 2), bbox=box, zorder=3, **text)
    axis.set(xlim=(low - 6, high + 6), ylim=(high + 6, low - 6), xlabel="input pixels")
    axis.set(xticks=[0, width // 2, width], yticks=[0, height // 2, height])
    return figure


def receptive_field_explorer(
    image: Any, chains: Mapping[str, Sequence[ReceptiveField]], *, credit: str = ""
) -> str:
    """Return a figure as HTML in which a reader walks through layers and units on a photograph.

    `image` is a picture, square or ValueError; `chains` maps a configuration's name to its rows of
    `receptive_field`; `credit` is a line of HTML below. The figure opens two thirds down D, or down
    the first if there is no D, and stays there where no JavaScript runs. It needs no server.
    """
    pixels = np.asarray(image)
    side = len(pixels)
    if pixels.shape[1] != side:
        raise ValueError(f"the image must be square, got {side}x{pixels.shape[1]} pixels")
    config = "D" if "D" in chains else next(iter(chains))
    shown = chains[config][2 * len(chains[config]) // 3]
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=80, optimize=True)
    values = {
        "chains": html.escape(json.dumps(dict(chains))).replace("&quot;", '"'),
        "config": html.escape(config),
        "layer": html.escape(shown.name),
        "field": shown.receptive_field,
        "low": shown.interval(round((side / 2 - shown.start) / shown.jump))[0],
        "photo": base64.b64encode(jpeg.getvalue()).decode(),
        "side": side,
        "credit": credit,
    }
    page = files("vgg_utils.explorables").joinpath("receptive_field.html").read_text("utf-8")
    for key, value in values.items():
        page = page.replace("{{" + key + "}}", str(value))
    return page
