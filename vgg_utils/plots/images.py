"""A network at work; images in rows, with windows or boxes on them (lessons 1, 6, 8 and 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, RED, SKY, WIDTH, name_rows, outline

if TYPE_CHECKING:
    from torch import Tensor

    from vgg_utils.trained import Trained

HEAT = LinearSegmentedColormap.from_list("heat", ["#FF1A1A00", "#FF1A1AB3"])  # clear to red
BARE: Any = {"squeeze": False, "subplot_kw": {"frame_on": False, "xticks": [], "yticks": []}}


def at_work(trained: Trained, photo: Tensor, *, columns: int = 6) -> plt.Figure:
    """Draw a photograph (3, H, W), what the network is fed, its answer, and maps on the way.

    A row holds maps of one block, before its pool: those that vary most, white where strongest.
    """
    fed, maps = trained.preprocess(photo), []
    x = fed[None]
    for layer in trained.model.features:
        if type(layer).__name__ == "MaxPool2d":
            maps.append(x[0].detach())
        x = layer(x)
    scores = trained.model.classifier(trained.model.avgpool(x).flatten(1))[0]
    shares, classes = (best.tolist() for best in scores.softmax(0).topk(3))

    figure = plt.figure(figsize=(WIDTH, 1.7 + 0.8 * len(maps)))
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.7, 0.8 * len(maps)))
    top, below = parts
    left, middle, right = top.subplots(1, 3, width_ratios=(1.5, 1, 1.3))
    mean, std = fed.new_tensor([trained.preprocess.mean, trained.preprocess.std])[..., None, None]
    size = f"seen at {fed.shape[1]}x{fed.shape[2]}"
    for axis, image, title in ((left, photo, "photograph"), (middle, fed * std + mean, size)):
        _show(axis, image, title)
        axis.axis("off")
    bars = right.barh(range(len(shares)), shares, color=BLUE)
    right.bar_label(bars, [f"{share:.0%}" for share in shares], padding=3)
    name_rows(right, [trained.classes[index] for index in classes], shade=False)
    right.set_title("answer", fontsize=10)
    right.set(xticks=[], xlim=(0, 1.5))
    right.spines[:].set_visible(False)
    right.grid(False)
    for row, block in zip(below.subplots(len(maps), columns, **BARE), maps, strict=True):
        count, height, width = block.shape
        name = f"{count} maps\n{height}x{width}"
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
        strongest = block.flatten(1).std(1).argsort(descending=True)
        for axis, index in zip(row, strongest, strict=False):
            axis.imshow(block[index].numpy())
            axis.set_frame_on(True)  # a map may end in white
            axis.spines[:].set(visible=True, color=GREY, linewidth=0.5)
    return figure


def image_grid(
    images: Tensor, titles: Sequence[str] | None = None, *, columns: int = 6
) -> plt.Figure:
    """Draw images (N, 1 or 3, H, W) in rows, each stretched to its own range, with short titles."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    stretched = (images - low) / (high - low).clamp(min=1e-6)
    return photographs([*stretched.cpu()], titles, columns=columns)


def photographs(
    images: Sequence[Tensor], titles: Sequence[str] | None = None, *, columns: int = 3
) -> plt.Figure:
    """Draw images (1 or 3, H, W) of about one shape in rows; what is beyond 0 and 1 is cut off."""
    _, height, width = images[0].shape
    rows = -(-len(images) // columns)
    titles = titles or [""] * len(images)
    lines = max(title.count("\n") + bool(title) for title in titles)
    size = (WIDTH, rows * (WIDTH / columns * height / width + 0.3 * lines))
    figure, axes = plt.subplots(rows, columns, figsize=size, **BARE)
    for axis, image, title in zip(axes.flat[: len(images)], images, titles, strict=True):
        _show(axis, image, title)
    return figure


def _show(axis: Any, image: Tensor, title: str = "") -> None:
    axis.imshow(image.permute(1, 2, 0).squeeze(-1).clamp(0, 1).cpu().numpy(), vmin=0, vmax=1)
    axis.set_title(title, fontsize=10, loc="center")


def windows_on_photographs(
    images: Sequence[Tensor], corners: Sequence[tuple[int, int]], size: int, titles: Sequence[str]
) -> plt.Figure:
    """Draw images (3, H, W) at a common scale; outlined, and below, the window at (top, left)."""
    widths = [image.shape[2] for image in images]
    tallest = max(image.shape[1] for image in images)
    heights = [WIDTH * tallest / sum(widths) + 0.35, WIDTH / len(images) * 0.95]
    figure = plt.figure(figsize=(WIDTH, sum(heights)))
    grids: Any = figure.subfigures(2, 1, height_ratios=heights)
    wholes = grids[0].subplots(1, len(images), width_ratios=widths, **BARE)[0]
    parts = grids[1].subplots(1, len(images), **BARE)[0]
    for index, (image, (top, left)) in enumerate(zip(images, corners, strict=True)):
        _show(wholes[index], image, titles[index])
        wholes[index].set_ylim(tallest, 0)
        outline(wholes[index], (left, left + size), (top, top + size), RED)
        _show(parts[index], image[:, top : top + size, left : left + size])
    return figure


def boxes_on_images(
    images: Tensor,
    groups: Mapping[str, Sequence[Tensor]],
    titles: Sequence[str],
    *,
    columns: int = 4,
) -> plt.Figure:
    """Draw images (N, 1 or 3, side, side) with boxes, in rows.

    `groups` maps a name, written below, to the boxes of each image, (N, 4) or (N, several, 4), as
    centre x, centre y, width and height in pixels.
    """
    looks: Any = plt.cycler(color=[GREEN, ORANGE, SKY], linestyle=["-", "--", ":"])
    looks += plt.cycler(linewidth=[2, 2, 1.2], zorder=[3, 3, 2])  # called, they go round
    rim = [withStroke(linewidth=4, foreground="w")] if images.shape[1] == 3 else []
    figure = image_grid(images, titles, columns=columns)
    figure.set_figheight(figure.get_figheight() + 0.3)  # for the legend
    for index, axis in enumerate(figure.axes[: len(images)]):
        for boxes, look in zip(groups.values(), looks(), strict=False):
            for x, y, width, height in boxes[index].reshape(-1, 4).tolist():
                corner = (x - (width + 1) / 2, y - (height + 1) / 2)  # pixel 0 begins at -0.5
                box = plt.Rectangle(corner, width, height, fill=False, path_effects=rim, **look)
                axis.add_patch(box)
    lines = [plt.Line2D([], [], **look) for _, look in zip(groups, looks(), strict=False)]
    figure.legend(lines, groups.keys(), loc="outside lower center", ncols=len(lines))
    return figure
