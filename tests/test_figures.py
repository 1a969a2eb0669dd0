"""The figures on light pages and on dark ones: what is stored, what is drawn, what the site makes.

Contrast is computed here by the formula of WCAG 2, apart from the tools'.
"""

from __future__ import annotations

import base64
import colorsys
import io
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from lesson_files import NOTEBOOKS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from PIL import Image

from vgg_utils.plots import style

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import book_figures  # noqa: E402
import dark_figures  # noqa: E402
import notebooks  # noqa: E402

WHITE, DARK = "#ffffff", "#121212"
PALETTE = [style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.SKY, style.GREY]

matplotlib.use("Agg")


def contrast(one: str, other: str) -> float:
    """Return the ratio of two colours' luminances, each raised by 0.05."""
    ends = []
    for colour in (one, other):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        ends.append(0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
    return max(ends) / min(ends)


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.01
    )  # the well-known near miss


# What the notebooks hold


def stored(notebook: Path) -> dict[str, Image.Image]:
    """Return a notebook's pictures, named by their cells."""
    found = {}
    for index, cell in enumerate(nbformat.read(notebook, 4).cells):
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                file = io.BytesIO(base64.b64decode(output.data["image/png"]))
                found[f"{notebook.stem}, cell {index}"] = Image.open(file)
    return found


def colours_of(picture: Image.Image) -> np.ndarray:
    """Return the different colours (N, 3) of a picture."""
    return np.array([colour for _, colour in picture.getcolors(1 << 24)])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_figures_are_made_for_both_themes(notebook: Path) -> None:
    for name, picture in stored(notebook).items():
        assert dark_figures.CHUNK in picture.info, f"{name}: run `make notebooks`"
        carried = json.loads(picture.info[dark_figures.CHUNK])
        light, dark = (np.array(side) for side in book_figures.both_sides(picture))
        outside = np.ones(light.shape[:2], bool)
        for left, top, right, bottom in carried["photographs"]:
            assert right > left and bottom > top, name
            outside[top:bottom, left:right] = False
        assert (light == dark)[~outside].all(), name
        # Grounds are exact, and nothing outside the photographs is a slab of white.
        for side, ground in ((light, WHITE), (dark, DARK)):
            assert to_hex(side[0, 0] / 255) == ground, name
        assert (dark[outside].min(axis=1) > 235).mean() < 0.01, name


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_texts_of_stored_figures_are_legible(notebook: Path) -> None:
    for name, picture in stored(notebook).items():
        sides = [colours_of(side) for side in book_figures.both_sides(picture)]
        for pairs in json.loads(picture.info[dark_figures.CHUNK])["texts"]:
            for side, ink, ground in zip(sides, pairs[::2], pairs[1::2], strict=True):
                assert contrast(ink, ground) >= 4.5, f"{name}: {ink} on {ground}"
                for colour in (ink, ground):  # is there, in the pixels
                    away = np.abs(side / 255 - to_rgb(colour)).max(axis=1)
                    assert away.min() < 0.1, f"{name}: no pixel near {colour}"


# Colours


def dark_of(colour: str) -> str:
    return to_hex(dark_figures.darken(np.array(to_rgb(colour))))


def test_paper_and_ink_change_places() -> None:
    assert dark_of("white") == DARK == dark_figures.GROUND
    greys = [dark_of(f"#{level:02x}{level:02x}{level:02x}") for level in range(255, -1, -15)]
    assert greys == sorted(greys) and len(set(greys)) > 12
    assert contrast(dark_of("black"), DARK) > 12


@pytest.mark.parametrize("colour", PALETTE)
def test_colours_of_the_palette_keep_hue_and_stand_out(colour: str) -> None:
    dark = dark_of(colour)
    assert contrast(dark, DARK) > max(3, 0.99 * contrast(colour, WHITE))
    (hue, _, strength), (other_hue, _, other) = (
        colorsys.rgb_to_hls(*to_rgb(one)) for one in (colour, dark)
    )
    assert abs(hue - other_hue) < 0.01
    assert abs(strength - other) < 0.05


def test_faint_colours_stay_faint_and_visible() -> None:
    for colour in ("#F3F3F3", "#E4E4E4", "#FDF5E5"):  # the last is a tenth of orange
        assert 1.08 < contrast(dark_of(colour), DARK) < 1.6, colour


# Drawing


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draw a figure as a notebook does that is run to be stored, and store it."""
    monkeypatch.setattr(FigureCanvasAgg, "print_png", FigureCanvasAgg.print_png)
    dark_figures.load_ipython_extension(None)

    def draw(figure: Any) -> Image.Image:
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight")
        plt.close(figure)
        picture = notebooks.compact(base64.b64encode(file.getvalue()).decode())
        return Image.open(io.BytesIO(base64.b64decode(picture)))

    with plt.rc_context():
        style.use_book_style()
        yield draw


def has(pixels: np.ndarray, colour: str) -> bool:
    return bool((np.abs(pixels / 255 - to_rgb(colour)).max(axis=-1) < 0.02).any())


def test_every_kind_of_artist_is_drawn_in_dark_colours(drawn: Any) -> None:
    # All too dark for a dark page.
    inks = ["#003B6F", "#00664B", "#6B2D00", "#5B1E4F", "#4A4A00", "#6E6E6E", "#7A0019"]
    figure, axis = plt.subplots()
    axis.axis("off")
    axis.plot([0, 1], [0, 0], color=inks[0], linewidth=9)
    axis.plot(0, 1, "s", color=inks[1], markersize=20)
    axis.scatter([1, 1.5], [1, 1], [400, 300], color=[inks[2], inks[0]])
    corners = ([[0.4, 0.6]] * 2, [[0.4] * 2, [0.6] * 2])
    axis.pcolormesh(*corners, [[1.0]], cmap=ListedColormap([inks[3]]))
    axis.bar([2], [1], color="white", edgecolor=inks[6], hatch="xx", linewidth=0)
    axis.text(3, 0.5, "$a^2$", color=inks[4], fontsize=60, weight="bold")
    axis.text(3, 0, "III", color=inks[5], fontsize=60, weight="bold")
    axis.set_xlim(-1, 5)
    light, dark = (np.array(side) for side in book_figures.both_sides(drawn(figure)))
    for ink in inks:
        assert has(light, ink) and has(dark, dark_of(ink)), ink
        assert not has(dark, ink), ink
    assert to_hex(dark[0, 0] / 255) == DARK
    assert not has(dark, "white")


def test_points_in_the_colours_of_pixels_keep_them(drawn: Any) -> None:
    pixels = [f"#{level:02x}0000" for level in range(40, 240, 10)]
    figure, axis = plt.subplots()
    axis.axis("off")
    axis.scatter(range(20), range(20), 200, color=pixels)
    _, dark = (np.array(side) for side in book_figures.both_sides(drawn(figure)))
    assert all(has(dark, pixel) for pixel in pixels)


def test_photographs_are_the_same_wherever_they_lie(drawn: Any) -> None:
    photo = np.random.default_rng(0).integers(0, 200, (6, 9, 3), np.uint8)
    figure, axes = plt.subplots(1, 2)
    axes[0].imshow(photo[..., 0], vmin=0, vmax=255)
    axes[0].set(xlim=(2, 15), ylim=(7, 1))  # cut at the left and above, paper elsewhere
    axes[1].imshow(photo)
    for axis in axes:
        axis.axis("off")
    picture = drawn(figure)
    light, dark = (np.array(side) for side in book_figures.both_sides(picture))
    inked = (light < 250).any(axis=2)
    half = light.shape[1] // 2
    boxes = json.loads(picture.info[dark_figures.CHUNK])["photographs"]
    for first, box in zip((0, half), boxes, strict=True):
        rows, columns = np.nonzero(inked[:, first : first + half])
        seen = [columns.min() + first, rows.min(), columns.max() + first + 1, rows.max() + 1]
        assert np.abs(np.array(box) - seen).max() <= 1
        left, top, right, bottom = box
        assert (light == dark)[top:bottom, left:right].all()
    assert to_hex(dark[0, 0] / 255) == DARK


def test_label_that_reaches_beyond_its_photograph_stays_whole(drawn: Any) -> None:
    figure, axis = plt.subplots()
    axis.imshow(np.zeros((4, 4)), vmin=0, vmax=1)
    axis.set_xlim(-0.5, 9.5)
    paper = {"facecolor": "white", "edgecolor": style.GREEN}
    axis.text(2, 1, "half on the photograph", bbox=paper)
    axis.text(5, 3, "beside it", bbox=paper)
    picture = drawn(figure)
    photo, label = json.loads(picture.info[dark_figures.CHUNK])["photographs"]
    assert photo[0] < label[0] < photo[2] < label[2]
    light, dark = (np.array(side) for side in book_figures.both_sides(picture))
    left, top, right, bottom = label
    assert (light == dark)[top:bottom, left:right].all()
    assert has(dark[bottom:, photo[2] :], dark_of(style.GREEN))


def test_tables_that_begin_at_white_begin_at_the_dark_ground(drawn: Any) -> None:
    figure, axis = plt.subplots()
    image = axis.imshow([range(0, 101, 10)], cmap="Blues", aspect="auto")
    kept = image.cmap
    axis.axis("off")
    for column in range(11):
        axis.text(column, 0, "8", color="black" if column < 7 else "white", ha="center")
    picture = drawn(figure)
    assert image.cmap is kept
    _, dark = (np.array(side) for side in book_figures.both_sides(picture))
    height, width = dark.shape[:2]
    middles = [(2 * column + 1) * width // 22 for column in range(11)]
    shades = [contrast(to_hex(dark[height // 3, middle] / 255), DARK) for middle in middles]
    assert shades[0] < 1.1 and shades[-1] > 10
    assert shades == sorted(shades)  # more is lighter, as it is darker on paper
    texts = json.loads(picture.info[dark_figures.CHUNK])["texts"]
    assert len(texts) == 11 and all(contrast(*colours[2:]) > 4.5 for colours in texts)


def test_text_on_a_bar_that_keeps_its_colour_stays_legible(drawn: Any) -> None:
    figure, axis = plt.subplots()
    axis.bar([0], [1], color=style.ORANGE)
    axis.text(0, 0.5, "black on orange", ha="center", fontsize=20)
    axis.set_title("black on white")
    axis.axis("off")
    picture = drawn(figure)
    texts = json.loads(picture.info[dark_figures.CHUNK])["texts"]
    assert ["#000000", "#e69f00", "#000000", "#e69f00"] in texts
    assert ["#000000", "#ffffff", dark_of("black"), DARK] in texts
    # one palette holds both blacks
    _, dark = (np.array(side) for side in book_figures.both_sides(picture))
    bar = dark[
        dark.shape[0] // 4 : 3 * dark.shape[0] // 4, dark.shape[1] // 3 : 2 * dark.shape[1] // 3
    ]
    assert (bar == 0).all(axis=2).sum() > 1000
    assert not has(bar, dark_of("black"))
    assert has(dark, dark_of("black"))


def test_error_while_drawing_stops_the_storing() -> None:
    failed = nbformat.v4.new_output("error", ename="TypeError", evalue="no", traceback=[])
    cells = [nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell("2", outputs=[failed])]
    with pytest.raises(SystemExit, match="TypeError: no"):
        notebooks.clean(nbformat.v4.new_notebook(cells=cells))


# Files


def test_lines_lose_nothing_and_photographs_little() -> None:
    lines = np.full((60, 80, 3), 255, np.uint8)
    lines[10:12, :, :] = 30, 90, 200
    file = book_figures.as_webp(Image.fromarray(lines), False)
    assert (np.array(Image.open(io.BytesIO(file)).convert("RGB")) == lines).all()
    ramp = np.linspace(0, 200, 300)
    smooth = np.stack([ramp + ramp[:, None] / 5] * 3, -1)
    photo = (smooth + np.random.default_rng(0).normal(0, 4, smooth.shape)).clip(0, 255)
    lossy = book_figures.as_webp(Image.fromarray(photo.astype(np.uint8)), True)
    lossless = book_figures.as_webp(Image.fromarray(photo.astype(np.uint8)), False)
    assert len(lossy) < len(lossless) / 2
    seen = np.array(Image.open(io.BytesIO(lossy)).convert("RGB"), float)
    assert np.abs(seen - photo).mean() < 5


def test_drawing_of_the_results_has_a_dark_side() -> None:
    file = ROOT / "book/reference/results.svg"
    size, sides = book_figures.sides_of(file) or pytest.fail("not recognised")
    assert size[0] == 538  # 403.2 points
    light, dark = sides["light.svg"]().decode(), sides["dark.svg"]().decode()
    assert light == file.read_text("utf-8")
    assert "#ffffff" in light and "#ffffff" not in dark and DARK in dark
    assert f'fill="{dark_of("black")}"' in dark  # letters name no colour


def test_pictures_of_other_origin_are_left_alone(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.svg").write_text('<svg width="9pt" height="9pt"></svg>', "utf-8")
    assert book_figures.sides_of(tmp_path / "a.png") is None
    assert book_figures.sides_of(tmp_path / "a.svg") is None
