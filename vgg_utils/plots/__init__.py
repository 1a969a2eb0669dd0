"""The book's figures. One look for all: white ground, dark text, colours told apart by everyone.

Figures keep their white ground in the dark theme, so that they read the same on the site, on Colab
and in print. At 5.6 inches wide their text stays legible on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vgg_utils.configs import LayerSummary
    from vgg_utils.receptive_field import ReceptiveField

# Okabe and Ito's palette, safe for colour-blind readers.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#6E6E6E"
WIDTH = 5.6  # inches


def use_book_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.4),
            "figure.dpi": 150,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#E4E4E4",
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )


def image_grid(
    images: torch.Tensor, titles: Sequence[str] | None = None, *, columns: int = 6
) -> Figure:
    """Draw images (N, 1 or 3, H, W) in rows, each stretched to its own range, with short titles."""
    import matplotlib.pyplot as plt

    rows = -(-len(images) // columns)
    height = WIDTH / columns * rows * (1.3 if titles else 1.0)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        low, high = image.min(), image.max()
        picture = ((image - low) / (high - low).clamp(min=1e-6)).permute(1, 2, 0).squeeze(-1)
        axis.imshow(picture.cpu())
        if titles:
            axis.set_title(titles[index], fontsize=10, loc="center")
    return figure


def training_curves(histories: Sequence[Sequence[dict[str, float]]]) -> Figure:
    """Draw losses and test error by epoch, one faint line per run and their mean in bold.

    The axes are logarithmic (the error's is linear below 1%), so that late progress shows too. A
    dotted line marks each drop of the learning rate.
    """
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.ticker import LogLocator

    figure, (losses, errors) = plt.subplots(2, 1, figsize=(WIDTH, 5.4), sharex=True)
    for axis, key, colour, style, label in (
        (losses, "train_loss", BLUE, "-", "training"),
        (losses, "test_loss", ORANGE, "--", "test"),
        (errors, "test_error", ORANGE, "--", "test"),
    ):
        runs = np.array([[row[key] for row in history] for history in histories])
        epochs = np.arange(1, runs.shape[1] + 1)
        if len(runs) > 1:
            axis.plot(epochs, runs.T, color=colour, alpha=0.3, linewidth=1)
        axis.plot(epochs, runs.mean(axis=0), style, color=colour, linewidth=2, label=label)
    losses.set(title="Cross-entropy", yscale="log")
    losses.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    losses.yaxis.set_major_formatter("{x:g}")
    losses.minorticks_off()
    losses.legend()
    errors.set(title="Top-1 error on the test set, %", xlabel="epoch")
    errors.set_yscale("symlog", linthresh=1, linscale=0.5)
    errors.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
    errors.set_ylim(0, 100)
    for before, after in zip(histories[0], histories[0][1:], strict=False):
        if after["learning_rate"] < before["learning_rate"]:
            for axis in (losses, errors):
                axis.axvline(before["epoch"] + 0.5, color=GREY, linestyle=":")
            errors.annotate(
                "rate / 10", (before["epoch"] + 0.4, 60), color=GREY, ha="right", va="center"
            )
    return figure


# Chapter 1


def dot_rows(
    axis: Axes,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    value_format: str | None = None,
) -> None:
    """Draw one row for each label, from the top, with one kind of dot for each series.

    Every series holds one value for each label; None leaves a gap. Within a row the series lie
    below one another, so that equal values stay visible. `value_format`, such as ".1f", writes each
    value beside its dot instead, all in the middle of the row.
    """
    colours, markers = (BLUE, ORANGE, GREEN, GREY), "osDv"
    spread = 0.25 if value_format is None else 0.0
    columns = list(series.values())
    for index, (name, values) in enumerate(series.items()):
        places = []
        for row, value in enumerate(values):
            if value is not None:
                present = [at for at, column in enumerate(columns) if column[row] is not None]
                offset = present.index(index) - (len(present) - 1) / 2
                places.append((value, row + spread * offset))
        axis.plot(
            [value for value, _ in places],
            [y for _, y in places],
            markers[index],
            color=colours[index],
            markersize=8,
            label=name,
        )
        if value_format is not None:
            for value, y in places:
                axis.annotate(
                    format(value, value_format),
                    (value, y),
                    xytext=(8, 0),
                    textcoords="offset points",
                    va="center",
                )
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(left=False)
    axis.margins(x=0.1)
    axis.locator_params(axis="x", nbins=6)
    axis.grid(False, axis="y")
    _shade_rows(axis, len(labels))
    if len(series) > 1:
        axis.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=len(series),
            borderaxespad=0.2,
            handletextpad=0.1,
            columnspacing=1.0,
        )


def _shade_rows(axis: Axes, count: int) -> None:
    """Shade every second of `count` rows, so that the eye keeps to its row."""
    for row in range(1, count, 2):
        axis.axhspan(row - 0.5, row + 0.5, color="#F3F3F3", linewidth=0, zorder=0)


def step_rows(axis: Axes, labels: Sequence[str], values: Sequence[float]) -> None:
    """Draw a descent, from the top: each row's bar runs from the value above to its own."""
    span = max(values) - min(values)
    axis.plot(values[0], 0, "o", color=BLUE, markersize=8)
    axis.annotate(
        f"{values[0]:.1f}",
        (values[0], 0),
        (-8, 0),
        textcoords="offset points",
        va="center",
        ha="right",
    )
    for row in range(1, len(values)):
        before, after = values[row - 1], values[row]
        axis.barh(row, before - after, left=after, height=0.5, color=BLUE)
        axis.plot([before, before], [row - 1, row + 0.25], color=GREY, linewidth=1, zorder=0.5)
        axis.annotate(
            f"{after:.1f}",
            (after, row),
            (-5, 0),
            textcoords="offset points",
            va="center",
            ha="right",
        )
        axis.annotate(
            f"{after - before:+.1f}".replace("-", "\N{MINUS SIGN}"),
            (before, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            color=GREY,
        )
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_xlim(min(values) - 0.15 * span, max(values) + 0.15 * span)
    axis.tick_params(left=False)
    axis.grid(False)
    axis.locator_params(axis="x", nbins=6)


# Chapter 2


def stacked_windows() -> Figure:
    """Draw the 1, 3, 5 and 7 cells aside that one unit sees through three 3x3 layers."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Polygon

    figure, axis = plt.subplots(figsize=(WIDTH, 4.9))
    axis.set_axis_off()
    axis.set_aspect("equal")
    slant, flat, gap, margin = 0.45, 0.42, 4.6, 1
    levels = [
        (7, BLUE, "7x7 pixels,\nthree layers down"),
        (5, GREEN, "5x5 units,\ntwo layers down"),
        (3, ORANGE, "sees 3x3 units,\none layer down"),
        (1, RED, "one unit after\nthree 3x3 layers"),
    ]

    def project(x: float, y: float, level: int) -> tuple[float, float]:
        return x + slant * y, flat * y + gap * level

    def corners(half: float, level: int) -> list[tuple[float, float]]:
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return [project(half * a, half * b, level) for a, b in signs]

    for level, (side, colour, label) in enumerate(levels):
        count = side + 2 * margin
        for row in range(count):
            for column in range(count):
                x, y = column - count / 2, row - count / 2
                inside = margin <= row < count - margin and margin <= column < count - margin
                cell = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]
                axis.add_patch(
                    Polygon(
                        [project(*point, level) for point in cell],
                        facecolor=colour if inside else "white",
                        edgecolor="white" if inside else "#C8C8C8",
                        linewidth=0.8,
                        zorder=2 * level,
                    )
                )
        if level:
            below = levels[level - 1][0]
            for top, foot in zip(
                corners(side / 2, level), corners(below / 2, level - 1), strict=True
            ):
                axis.plot(*zip(top, foot, strict=True), color=GREY, linewidth=1, zorder=2 * level)
        axis.text(7.4, gap * level, label, va="center", fontsize=11)
    axis.set_xlim(-6.8, 14.6)
    axis.set_ylim(-2.3, gap * 3 + 1.2)
    return figure


def fields_on_image(
    image: Any,
    fields: Mapping[str, tuple[tuple[float, float], tuple[float, float]]],
    *,
    title: str | None = None,
) -> Figure:
    """Outline fields on an image; what lies beyond the image is hatched as padding.

    `fields` maps a label to ((left, right), (top, bottom)) in input pixels, as two calls of
    `ReceptiveField.interval` give them.
    """
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.patches import Rectangle

    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    low = min(0, *(min(x[0], y[0]) for x, y in fields.values())) - 6
    high = max(height, width, *(max(x[1], y[1]) for x, y in fields.values())) + 6
    figure, axis = plt.subplots(figsize=(WIDTH, WIDTH))
    axis.grid(False)
    if low < -6 or high > max(height, width) + 6:
        axis.add_patch(
            Rectangle(
                (low, low),
                high - low,
                high - low,
                facecolor="#F0F0F0",
                edgecolor="#CDCDCD",
                hatch="//",
                linewidth=0,
            )
        )
    axis.imshow(pixels, extent=(0, width, height, 0), zorder=1)
    colours = [BLUE, RED, GREEN, PURPLE, ORANGE, SKY]
    notes = 0
    for (label, (x, y)), colour in zip(fields.items(), colours, strict=False):
        for edge, thickness in (("white", 4.5), (colour, 2.2)):
            axis.add_patch(
                Rectangle(
                    (x[0], y[0]),
                    x[1] - x[0],
                    y[1] - y[0],
                    fill=False,
                    edgecolor=edge,
                    linewidth=thickness,
                    zorder=2,
                )
            )
        box = {"facecolor": "white", "edgecolor": colour, "pad": 1.8}
        if x[1] - x[0] > 0.19 * width:
            axis.text(x[0] + 2, y[0] + 2, label, va="top", zorder=3, bbox=box)
        else:  # too small to write in: a label to the right, tied by a line
            axis.annotate(
                label,
                (x[1], (y[0] + y[1]) / 2),
                (0.79 * width, (0.44 + 0.11 * notes) * height),
                va="center",
                zorder=3,
                bbox=box,
                arrowprops={"arrowstyle": "-", "color": "white", "linewidth": 1.5},
            )
            notes += 1
    axis.set_xlim(low, high)
    axis.set_ylim(high, low)
    axis.set_xticks([0, width // 2, width])
    axis.set_yticks([0, height // 2, height])
    axis.set_xlabel("input pixels")
    if title:
        axis.set_title(title)
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
    import base64
    import html
    import io
    import json
    import math
    from importlib.resources import files

    import numpy as np
    from PIL import Image

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
    shown = [entry for entry in data.get(config, []) if entry[0] == layer]
    if not shown:
        raise ValueError(f"no layer {layer!r} in configuration {config!r}: see `chains`")

    name, field, jump, start, units = shown[0]
    unit = math.floor((side / 2 - start) / jump + 0.5)
    centre = start + unit * jump
    low, high = centre - field / 2, centre + field / 2
    area = (min(side, high) - max(0, low)) ** 2

    def percent(share: float) -> str:  # a small share must not look like none
        return f"{100 * share:#.2g}%" if 0 < share < 0.001 else f"{share:.1%}"

    output = (
        f"{config}, {name}: field {field}x{field} px, jump {jump} px. "
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


# Chapter 3


def draw_network(rows: Sequence[LayerSummary]) -> Figure:
    """Draw a network from the rows of `summarise`, each box one layer's output.

    A box is as high and as deep as its map and as long as it has channels, but has a least length:
    in the paper's networks up to 128 channels are drawn alike. Lengths have a scale of their own.
    Fully connected layers are bars, as high as they have outputs, on a third scale.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    maps = [row for row in rows if len(row.output_shape) == 3 and row.name != "avgpool"]
    full = [row for row in rows if len(row.output_shape) == 1]
    tallest = 1.75 / max(max(row.output_shape[1:]) for row in maps)  # inches per pixel
    gap, left, column = 0.26, 1.0, 0.49
    blocks = sum(row.name.startswith("pool") for row in maps)
    room = WIDTH - left - 0.34 - gap * blocks - column * len(full) - 0.2
    longest = room / sum(row.output_shape[0] for row in maps)  # inches per channel

    figure = plt.figure(figsize=(WIDTH, 3.55), layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, WIDTH), ylim=(-1.95, 1.6), aspect="equal")
    axis.axis("off")

    columns: list[tuple[float, str, str, str]] = []  # where, and three lines of text
    kinds: dict[str, tuple[str, str]] = {}
    x = begin = left
    channels = 0
    for row in maps:
        kind, colour, hatch = _kind(row, channels)
        channels, height, width = row.output_shape
        length = max(channels * longest, 0.04)
        x += gap / 2 if kind == "max-pool" else 0
        _box(axis, x, length, height * tallest, width * tallest, colour, hatch)
        kinds[kind] = (colour, hatch)
        x += length
        side = f"{height}" if height == width else f"{height}x{width}"
        if kind == "image":
            columns.append((x - length / 2, "input", side, f"{channels}"))
            begin = x = x + 0.3
        elif kind == "max-pool":
            begin = x = x + gap / 2
        elif row.name.startswith("conv"):
            columns = [entry for entry in columns if entry[1] != row.name[4]]
            columns.append(((begin + x) / 2, row.name[4], side, f"{channels}"))
    if kind == "max-pool":
        columns.append((x - (length + gap) / 2, row.name, side, f"{channels}"))
    for index, row in enumerate(full):
        (outputs,) = row.output_shape
        centre = WIDTH - column * (len(full) - index - 0.5)
        bar = 1.1 * outputs / max(entry.output_shape[0] for entry in full)
        _box(axis, centre - 0.06, 0.12, bar, 0.0, GREY, "")
        columns.append((centre, row.name, "", f"{outputs}"))
    kinds["fully connected"] = (GREY, "")

    for text, y in (("block", -1.34), ("map side", -1.58), ("channels", -1.82)):
        axis.text(0.02, y, text, va="center", color=GREY)
    edge = 0.0
    for centre, *texts in columns:
        centre = max(centre, edge + 0.2)  # keeps the numbers of thin blocks apart
        for text, y in zip(texts, (-1.34, -1.58, -1.82), strict=True):
            axis.text(centre, y, text, ha="center", va="center")
        edge = centre + 0.2
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=kind)
        for kind, (colour, hatch) in kinds.items()
    ]
    axis.legend(
        handles=handles,
        loc="upper right",
        ncols=2,
        fontsize=11,
        handlelength=1.2,
        columnspacing=1.0,
        borderaxespad=0.1,
    )
    return figure


def _kind(row: LayerSummary, in_channels: int) -> tuple[str, str, str]:
    """Return what kind of layer a row is, with its colour and hatch."""
    if row.name == "input":
        return "image", GREEN, ""
    if row.name.startswith("pool"):
        return "max-pool", ORANGE, ""
    if not row.name.startswith("conv"):
        return "normalisation", RED, "xxx"
    # weights and biases are (k * k * in_channels + 1) * channels
    kernel_size = round(((row.parameters // row.output_shape[0] - 1) / in_channels) ** 0.5)
    colour, hatch = (PURPLE, "///") if kernel_size == 1 else (BLUE, "")
    return f"{kernel_size}x{kernel_size} convolution", colour, hatch


def _box(
    axis: Axes, x: float, length: float, height: float, depth: float, colour: str, hatch: str
) -> None:
    """Draw a box seen from the front, above and right; its middle axis lies on y = 0."""
    slant = 0.34
    low, high, near = -height / 2, height / 2, -slant * depth / 2
    back = slant * depth
    front = [(x, low), (x + length, low), (x + length, high), (x, high)]
    top = [(x, high), (x + length, high), (x + length + back, high + back), (x + back, high + back)]
    end = [
        (x + length, low),
        (x + length + back, low + back),
        (x + length + back, high + back),
        (x + length, high),
    ]
    for corners, shade in ((front, 0.0), (top, 0.45), (end, 0.25)):
        axis.fill(
            *zip(*((across + near, up + near) for across, up in corners), strict=True),
            facecolor=_lighter(colour, shade),
            edgecolor="white",
            linewidth=0.7,
            hatch=hatch if shade == 0 else None,
        )


def _lighter(colour: str, share: float) -> tuple[float, ...]:
    """Mix a colour with white."""
    from matplotlib.colors import to_rgb

    return tuple(value + (1 - value) * share for value in to_rgb(colour))


def cost_by_block(costs: Mapping[str, LayerSummary]) -> Figure:
    """Draw each block's share of the parameters, the multiply-accumulates and the activations.

    `costs` maps a block's name to the sum of its rows.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 5.2), sharex=True, sharey=True)
    for axis, field, name, unit, colour in (
        (axes[0], "parameters", "Parameters", "million", BLUE),
        (axes[1], "macs", "Multiply-accumulates", "billion", ORANGE),
        (axes[2], "activations", "Activations", "million", GREEN),
    ):
        values = [getattr(cost, field) for cost in costs.values()]
        shares = [100 * value / sum(values) for value in values]
        bars = axis.bar([key.removeprefix("block ") for key in costs], shares, color=colour)
        axis.bar_label(bars, [_percent(share) for share in shares], padding=1)
        whole = sum(values) / {"million": 1e6, "billion": 1e9}[unit]
        axis.set_title(f"{name}, % of {whole:.2f} {unit}")
        axis.set(ylim=(0, 95), yticks=[])
        axis.spines["left"].set_visible(False)
        axis.tick_params(bottom=False)
        axis.grid(False)
        if field == "macs":  # each is too small to read their sum off the bars
            full = [index for index, key in enumerate(costs) if key.startswith("fc")]
            together = _percent(sum(shares[index] for index in full))
            middle = sum(full) / len(full)
            axis.text(middle, 34, f"fully connected:\n{together} together", ha="center")
    axes[2].set_xlabel("block of convolutions, or layer")
    return figure


def _percent(share: float) -> str:
    """Write a share so that a small one does not look like none."""
    if 0 < share < 0.05:
        return "<0.1"
    return f"{share:.1f}" if 0 < share < 1 else f"{share:.0f}"


# Chapter 5


def photographs(
    images: Sequence[torch.Tensor], titles: Sequence[str] | None = None, *, columns: int = 3
) -> Figure:
    """Draw colour images (3, H, W) in rows as they are, not stretched; beyond 0 and 1 is cut off.

    All have the shape of the first, or about that.
    """
    import matplotlib.pyplot as plt

    rows = -(-len(images) // columns)
    _, high, wide = images[0].shape
    height = (WIDTH / columns * high / wide + (0.32 if titles else 0.0)) * rows
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image.permute(1, 2, 0).clamp(0, 1))
        if titles:
            axis.set_title(titles[index], fontsize=10, loc="center")
    return figure


def windows_on_photographs(
    images: Sequence[torch.Tensor],
    corners: Sequence[tuple[int, int]],
    size: int,
    titles: Sequence[str],
) -> Figure:
    """Draw images (3, H, W) at a common scale, a window outlined in each, and below what it cuts.

    `corners` gives (top, left) of each window of size x size pixels.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    widths = [image.shape[2] for image in images]
    tallest = max(image.shape[1] for image in images)
    upper = WIDTH * tallest / sum(widths) + 0.35
    lower = WIDTH / len(images) * 0.95
    figure = plt.figure(figsize=(WIDTH, upper + lower))
    (top,), (bottom,) = figure.subfigures(2, 1, squeeze=False, height_ratios=[upper, lower])
    whole = top.subplots(1, len(images), width_ratios=widths, squeeze=False)[0]
    parts = bottom.subplots(1, len(images), squeeze=False)[0]
    for axis, part, image, (row, column), title in zip(
        whole, parts, images, corners, titles, strict=True
    ):
        picture = image.permute(1, 2, 0).clamp(0, 1)
        axis.imshow(picture)
        axis.set_ylim(tallest, 0)
        for edge, thickness in (("white", 3.0), (RED, 1.5)):
            axis.add_patch(
                Rectangle(
                    (column, row), size, size, fill=False, edgecolor=edge, linewidth=thickness
                )
            )
        axis.set_title(title, fontsize=10, loc="center")
        part.imshow(picture[row : row + size, column : column + size])
        axis.axis("off")
        part.axis("off")
    return figure


def seed_rows(
    axis: Axes, results: Mapping[str, Sequence[float]], *, value_format: str = ".1f"
) -> None:
    """Draw one row for each setting: its runs as rings, their mean and standard deviation.

    `results` maps a setting to one value for each seed. The mean is written beside its row.
    """
    import statistics

    for row, values in enumerate(results.values()):
        mean, spread = statistics.mean(values), statistics.stdev(values)
        axis.plot(
            values,
            [row + 0.2] * len(values),
            "o",
            color=GREY,
            fillstyle="none",
            markersize=4,
            markeredgewidth=0.8,
        )
        axis.errorbar(mean, row - 0.12, xerr=spread, fmt="s", color=BLUE, markersize=6, capsize=4)
        axis.annotate(
            format(mean, value_format),
            (max(mean + spread, *values), row),
            (7, 0),
            textcoords="offset points",
            va="center",
        )
    _shade_rows(axis, len(results))
    axis.set_yticks(range(len(results)), list(results))
    axis.set_ylim(len(results) - 0.5, -0.5)
    axis.tick_params(left=False)
    axis.margins(x=0.2)
    axis.set_xlim(left=0)
    axis.grid(False, axis="y")


# Chapter 7


def paper_beside_ours(
    labels: Sequence[str],
    paper: Sequence[float | None],
    ours: Mapping[str, Sequence[Sequence[float] | None]],
    *,
    titles: tuple[str, str],
) -> Figure:
    """Draw a table of the paper on the left and its miniature on the right, one row each.

    `ours` maps the name of a series to one entry for each label: the values of its seeds, drawn as
    rings, with a filled mark at their mean. None leaves a gap on either side. The right axis is
    logarithmic.
    """
    import statistics

    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 1.3 + 0.36 * len(labels)), sharey=True
    )
    for row, value in enumerate(paper):
        if value is not None:
            left.plot(value, row, "D", color=GREY, markersize=7)
            left.annotate(
                f"{value:.1f}", (value, row), (8, 0), textcoords="offset points", va="center"
            )
    for index, (name, column) in enumerate(ours.items()):
        colour, marker = (BLUE, ORANGE, GREEN, PURPLE)[index], "os^v"[index]
        places, means = [], []
        for row, values in enumerate(column):
            if values is not None:
                places.append(row + 0.36 * (index - (len(ours) - 1) / 2))
                means.append(statistics.mean(values))
                right.plot(
                    values,
                    [places[-1]] * len(values),
                    marker,
                    color=colour,
                    alpha=0.8,
                    fillstyle="none",
                    markersize=4,
                    markeredgewidth=0.8,
                )
        right.plot(means, places, marker, color=colour, markersize=7, label=name)
    left.set_yticks(range(len(labels)), labels)
    left.set_ylim(len(labels) - 0.5, -0.5)
    left.margins(x=0.35)
    left.locator_params(axis="x", nbins=5)
    right.set_xscale("log")
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_locator(NullLocator())
    for axis, title in zip((left, right), titles, strict=True):
        axis.set_title(title)
        axis.tick_params(left=False)
        axis.grid(False, axis="y")
        _shade_rows(axis, len(labels))
    if len(ours) > 1:
        figure.legend(
            *right.get_legend_handles_labels(), loc="outside lower right", ncols=len(ours)
        )
    return figure


# Chapter 8


def boxes_on_images(
    images: torch.Tensor,
    groups: Mapping[str, Sequence[torch.Tensor]],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 4,
    heat: torch.Tensor | None = None,
) -> Figure:
    """Draw images (N, 1 or 3, side, side) with boxes, in rows.

    `groups` maps a name to the boxes of each image, (N, 4) or (N, several, 4), as centre x, centre
    y, width and height in pixels of the image. Each group has its colour and dashes, named below.
    `heat` (N, rows, columns) is laid over the images, enlarged, from clear (0) to red (its own
    maximum).
    """
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    rows = -(-len(images) // columns)
    height = rows * (WIDTH / columns + (0.3 if titles else 0.03)) + 0.3
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    styles = [(GREEN, "-", 2.0), (ORANGE, "--", 2.0), (SKY, ":", 1.2)]
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, image) in enumerate(zip(axes.flat, images.cpu(), strict=False)):
        low, high = image.min(), image.max()
        picture = ((image - low) / (high - low).clamp(min=1e-6)).permute(1, 2, 0).squeeze(-1)
        side = image.shape[-1]
        frame = (0.0, float(side), float(side), 0.0)
        axis.imshow(picture, extent=frame)
        if heat is not None:
            warm = (heat[index] / heat[index].max().clamp(min=1e-6)).cpu().numpy()
            layer: np.ndarray[Any, Any] = np.empty((*warm.shape, 4))
            layer[..., :3], layer[..., 3] = (1.0, 0.1, 0.1), 0.7 * warm  # red, more with more heat
            axis.imshow(layer, extent=frame, interpolation="bilinear")
        for boxes, (colour, dashes, line) in zip(groups.values(), styles, strict=False):
            for x, y, width, tall in boxes[index].reshape(-1, 4).tolist():
                axis.add_patch(
                    Rectangle(
                        (x - width / 2, y - tall / 2),
                        width,
                        tall,
                        fill=False,
                        edgecolor=colour,
                        linestyle=dashes,
                        linewidth=line,
                        zorder=1 + line,
                    )
                )
        axis.set(xlim=(0, side), ylim=(side, 0))
        if titles:
            axis.set_title(titles[index], fontsize=10, loc="center")
    handles = [
        Line2D([], [], color=colour, ls=dashes, linewidth=line, label=name)
        for name, (colour, dashes, line) in zip(groups, styles, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def example_curves(results: Mapping[str, Mapping[str, float]], counts: Sequence[int]) -> Figure:
    """Draw error against labelled examples a class, one line with its deviation for each variant.

    `results` maps a variant's name to `error_2_mean`, `error_2_sd` and so on for all `counts`.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    styles = zip((GREY, ORANGE, BLUE, GREEN), ("D:", "v-.", "o-", "s--"), strict=True)
    for (name, result), (colour, style) in zip(results.items(), styles, strict=False):
        axis.errorbar(
            counts,
            [result[f"error_{count}_mean"] for count in counts],
            [result[f"error_{count}_sd"] for count in counts],
            fmt=style,
            color=colour,
            label=name,
            capsize=3,
            markersize=5,
        )
    axis.set_xscale("log")
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.minorticks_off()
    axis.set(ylim=(0, None), xlabel="labelled examples of each class")
    axis.set_title("Error on digits the network never met, %")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
