"""What a unit sees: stacked windows, fields on a photograph, and the explorer (chapter 2)."""

import base64
import html
import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WIDTH, outline
from vgg_utils.receptive_field import ReceptiveField


def stacked_windows() -> Figure:
    """Draw the 1, 3, 5 and 7 cells aside that one unit sees through three 3x3 layers."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.9))
    axis.set_axis_off()
    axis.set_aspect("equal")
    levels = [
        (7, BLUE, "7x7 pixels,\nthree layers down"),
        (5, GREEN, "5x5 units,\ntwo layers down"),
        (3, ORANGE, "sees 3x3 units,\none layer down"),
        (1, RED, "one unit after\nthree 3x3 layers"),
    ]
    gap = 4.6

    def quad(x: float, y: float, side: float, level: int) -> list[tuple[float, float]]:
        """Return the corners on paper of a square that lies on a level, x and y its first one."""
        corners = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
        return [(across + 0.45 * back, 0.42 * back + gap * level) for across, back in corners]

    for level, (side, colour, label) in enumerate(levels):
        half = side / 2 + 1  # with a row of empty cells all around
        for row, column in itertools.product(range(side + 2), repeat=2):
            inside = 0 < row <= side and 0 < column <= side
            face, edge = (colour, "white") if inside else ("white", "#C8C8C8")
            cell = Polygon(quad(column - half, row - half, 1, level), facecolor=face)
            cell.set(edgecolor=edge, linewidth=0.8, zorder=2 * level)
            axis.add_patch(cell)
        if level:
            below = levels[level - 1][0]
            feet = quad(-below / 2, -below / 2, below, level - 1)
            for line in zip(quad(-side / 2, -side / 2, side, level), feet, strict=True):
                axis.plot(*zip(*line, strict=True), color=GREY, linewidth=1, zorder=2 * level)
        axis.text(7.4, gap * level, label, va="center", fontsize=11)
    axis.set_xlim(-6.8, 14.6)
    axis.set_ylim(-2.3, gap * 3 + 1.2)
    return figure


def fields_on_image(
    image: Any, fields: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]
) -> Figure:
    """Outline fields on an image; what lies beyond the image is hatched as padding.

    `fields` maps a label to ((left, right), (top, bottom)) in input pixels, as two calls of
    `ReceptiveField.interval` give them.
    """
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    low = min(0, *(min(x[0], y[0]) for x, y in fields.values())) - 6
    high = max(height, width, *(max(x[1], y[1]) for x, y in fields.values())) + 6
    figure, axis = plt.subplots(figsize=(WIDTH, WIDTH))
    axis.grid(False)
    if low < -6 or high > max(height, width) + 6:
        padding = Rectangle((low, low), high - low, high - low, linewidth=0, hatch="//")
        padding.set(facecolor="#F0F0F0", edgecolor="#CDCDCD")
        axis.add_patch(padding)
    axis.imshow(pixels, extent=(0, width, height, 0), zorder=1)
    colours = [BLUE, RED, GREEN, PURPLE, ORANGE, SKY]
    notes = 0
    for (label, (x, y)), colour in zip(fields.items(), colours, strict=False):
        corner, size = (x[0], y[0]), (x[1] - x[0], y[1] - y[0])
        for edge, thickness in (("white", 4.5), (colour, 2.2)):
            outline(axis, corner, size, edgecolor=edge, linewidth=thickness, zorder=2)
        box = {"facecolor": "white", "edgecolor": colour, "pad": 1.8}
        if size[0] > 0.19 * width:
            axis.text(x[0] + 2, y[0] + 2, label, va="top", zorder=3, bbox=box)
        else:  # too small to write in: a label to the right, tied by a line
            place = (0.79 * width, (0.44 + 0.11 * notes) * height)
            line = {"arrowstyle": "-", "color": "white", "linewidth": 1.5}
            tip = (x[1], (y[0] + y[1]) / 2)
            axis.annotate(label, tip, place, va="center", zorder=3, bbox=box, arrowprops=line)
            notes += 1
    axis.set(xlim=(low, high), ylim=(high, low), xlabel="input pixels")
    axis.set(xticks=[0, width // 2, width], yticks=[0, height // 2, height])
    return figure


def receptive_field_explorer(
    image: Any,
    chains: Mapping[str, Sequence[ReceptiveField]],
    *,
    config: str = "D",
    layer: str = "conv4_3",
    credit: str = "",
) -> str:
    """Return a figure as HTML in which a reader walks through layers and units on a photograph.

    `image` is a square picture; `chains` maps a configuration's name to the rows that
    `receptive_field` gave for it. `config` and `layer` name what is shown first, which is also
    what stays where no JavaScript runs. `credit` is a line of HTML below the picture. The result
    needs no server, and several may stand on a page.

    Raises ValueError for an image that is not square, or a configuration or layer not in `chains`.
    """
    pixels = np.asarray(image)
    side = pixels.shape[0]
    if pixels.shape[1] != side:
        raise ValueError(f"the image must be square, got {side}x{pixels.shape[1]} pixels")
    data: dict[str, list[tuple[str, int, int, float, int]]] = {}
    for name, rows in chains.items():
        units = side
        data[name] = []
        for row in rows:
            window = row.dilation * (row.kernel_size - 1) + 1
            units = (units + 2 * row.padding - window) // row.stride + 1
            data[name].append((row.name, row.receptive_field, row.jump, row.start, units))
    if layer not in [entry[0] for entry in data.get(config, [])]:
        raise ValueError(f"no layer {layer!r} in configuration {config!r}: see `chains`")

    _, field, jump, start, units = next(entry for entry in data[config] if entry[0] == layer)
    unit = math.floor((side / 2 - start) / jump + 0.5)
    centre = start + unit * jump
    low, high = centre - field / 2, centre + field / 2
    area = (min(side, high) - max(0, low)) ** 2

    def percent(share: float) -> str:  # a small share must not look like none
        return f"{100 * share:#.2g}%" if 0 < share < 0.001 else f"{share:.1%}"

    output = (
        f"{config}, {layer}: field {field}x{field} px, jump {jump} px. "
        f"The unit in row {unit + 1}, column {unit + 1} of {units}x{units} "
        f"sees {percent(area / side**2)} of the image; "
        f"{percent(1 - area / field**2)} of its field is padding."
    )
    # The frame: a little more than the layer's outermost units look beyond the picture.
    reach = max(0, field / 2 - start, start + (units - 1) * jump + field / 2 - side)
    ground = math.ceil(reach) + 4
    span = side + 2 * ground
    text = span / 26

    def square(begin: float, end: float) -> str:
        return f"M{begin:g} {begin:g}H{end:g}V{end:g}H{begin:g}Z"

    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=80, optimize=True)
    values = {
        "fields": html.escape(json.dumps(data, separators=(",", ":"))).replace("&quot;", '"'),
        "side": str(side),
        "config": html.escape(config),
        "layer": html.escape(layer),
        "output": html.escape(output),
        "view": f"{-ground} {-ground} {span} {span}",
        "photo": "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode(),
        "veil": square(0, side) + square(max(0, low), min(side, high)),
        "halo": square(low - span / 75, high + span / 75) + square(low, high),
        "field": square(low - span / 130, high + span / 130) + square(low, high),
        "centre": f"{centre:g}",
        "dot": "none" if field < 24 else "inline",
        "text": f"{text:g}",
        "text_x": f"{text / 2 - ground:g}",
        "text_y": f"{1.2 * text - ground:g}",
        "caption": "none" if ground < 1.6 * text else "inline",
        "credit": credit,
    }
    page = files("vgg_utils.explorables").joinpath("receptive_field.html").read_text("utf-8")
    for key, value in values.items():
        page = page.replace("{{" + key + "}}", value)
    return page
