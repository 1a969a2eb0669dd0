"""Draw the picture that a page's address shows where it is shared: a title beside a figure.

matplotlib brings the fonts, so that a build makes the same picture on every machine.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

SIZE, MARGIN, GAP = (1200, 630), 64, 48
FIGURE = (600, 630 - 2 * MARGIN)  # at most
INK, SOFT, BLUE = "#222832", "#48566b", "#0072b2"  # as on the pages
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
LARGEST, SMALLEST, LINE = 60, 34, 28  # pixels


def first_figure(notebook: Path) -> Image.Image:
    """Return the first picture that a notebook has among its outputs.

    Raises ValueError if there is none.
    """
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                return Image.open(io.BytesIO(base64.b64decode("".join(png))))
    raise ValueError(f"{notebook.name} has no figure among its outputs: run it first")


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Break a text into lines that are at most `width` pixels wide; a long word has its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def draw_card(file: Path, title: str, below: list[str], notebook: Path) -> None:
    """Write a PNG of 1200x630 pixels: a title, lines `below` it, and the notebook's figure."""
    card = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(card)
    found = first_figure(notebook).convert("RGBA")
    ground = Image.new("RGBA", found.size, "white")
    figure = Image.alpha_composite(ground, found).convert("RGB")
    scale = min(FIGURE[0] / figure.width, FIGURE[1] / figure.height)
    size = (round(figure.width * scale), round(figure.height * scale))
    figure = figure.resize(size, Image.Resampling.LANCZOS)
    card.paste(figure, (SIZE[0] - MARGIN - size[0], (SIZE[1] - size[1]) // 2))

    width = SIZE[0] - 2 * MARGIN - GAP - size[0]
    height = SIZE[1] - 2 * MARGIN - 3 * LINE
    for points in range(LARGEST, SMALLEST - 1, -2):
        font = ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", points)
        lines = wrapped(title, font, width)
        if max(map(font.getlength, lines)) <= width and 1.2 * points * len(lines) <= height:
            break
    small = ImageFont.truetype(FONTS / "DejaVuSans.ttf", LINE)
    below = [part for line in below for part in wrapped(line, small, width)]
    top = (SIZE[1] - 1.2 * points * len(lines) - LINE * (1 + 1.3 * len(below))) / 2
    pen.rectangle((0, 0, 11, SIZE[1]), fill=BLUE)
    for each in lines:
        pen.text((MARGIN, top), each, fill=INK, font=font)
        top += 1.2 * points
    top += LINE
    for each in below:
        pen.text((MARGIN, top), each, fill=SOFT, font=small)
        top += 1.3 * LINE
    file.parent.mkdir(parents=True, exist_ok=True)
    card.quantize(128).save(file, optimize=True)
