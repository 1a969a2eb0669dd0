"""Give the site every figure twice, for light pages and for dark ones, and light to load.

A picture stored in a notebook carries the colours of its dark side (tools/dark_figures.py says
how). Here it becomes two WebP files; a drawing of matplotlib's in SVG gets a second SVG. The page
holds both, and book/_static/figures.css shows one. The other is lazy and takes no place, so that no
browser fetches it. Anything else, such as a picture that an editor has stored, stays as it is.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from dark_figures import CHUNK, as_hex, darken  # _config.yml puts this folder on the path
from docutils import nodes
from matplotlib.colors import to_rgb
from PIL import Image
from sphinx.application import Sphinx

FOLDER = "_images"
# Until the theme's own script runs, a page that follows the system counts as light, and its figures
# would be fetched.
FOLLOW_SYSTEM = """if (document.documentElement.dataset.theme === "auto")
  document.documentElement.dataset.theme =
    matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";"""
Sides = dict[str, Callable[[], bytes]]  # the file for light pages and that for dark ones


def both_sides(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return a stored picture as on light and on dark pages, in RGB, with the same photographs.

    KeyError if the picture has no dark side.
    """
    carried = json.loads(picture.info[CHUNK])
    light, dark = picture.convert("RGB"), picture.copy()
    dark.putpalette(base64.b64decode(carried["palette"]))
    dark = dark.convert("RGB")
    for box in carried["photographs"]:
        dark.paste(light.crop(box), tuple(box))
    return light, dark


def as_webp(picture: Image.Image, has_photographs: bool) -> bytes:
    """Return a picture as WebP: lines without loss, photographs with some where that is smaller."""
    ways: list[dict[str, Any]] = [{"lossless": True, "quality": 50}]
    if has_photographs:
        ways.append({"quality": 85, "use_sharp_yuv": True})
    files = []
    for way in ways:
        file = io.BytesIO()
        picture.save(file, format="WEBP", method=4, **way)
        files.append(file.getvalue())
    return min(files, key=len)


def dark_drawing(svg: str) -> str:
    """Return matplotlib's SVG in dark pages' colours; where it names none, it means black."""
    ink = as_hex(darken(np.zeros(3)))
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda m: as_hex(darken(np.array(to_rgb(m[0])))), svg)
    return svg.replace('version="1.1">', f'version="1.1" fill="{ink}">', 1)


def sides_of(file: Path) -> tuple[tuple[int, int], Sides] | None:
    """Return the size in pixels and the two files of a figure; None of what is none."""
    if file.suffix == ".png":
        picture = Image.open(file)
        if CHUNK not in picture.info:
            return None
        has_photographs = bool(json.loads(picture.info[CHUNK])["photographs"])
        light, dark = both_sides(picture)
        return light.size, {
            "light.webp": lambda: as_webp(light, has_photographs),
            "dark.webp": lambda: as_webp(dark, has_photographs),
        }
    if file.suffix == ".svg" and "Matplotlib" in (svg := file.read_text("utf-8")):
        points = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
        if points:
            width, height = (round(float(length) / 0.75) for length in points.groups())
            sides: Sides = {"light.svg": svg.encode, "dark.svg": lambda: dark_drawing(svg).encode()}
            return (width, height), sides
    return None


def show_both(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace a page's figures by the two of which it shows one."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        file = Path(app.srcdir, image["uri"])
        found = sides_of(file) if file.is_file() else None
        if not found:
            continue
        (width, height), sides = found
        name, tags = sha256(file.read_bytes()).hexdigest()[:16], ""
        folder = os.path.relpath(FOLDER, Path(page).parent).replace(os.sep, "/")
        for side, contents in sides.items():
            target = Path(app.outdir, FOLDER, f"{name}-{side}")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():  # its name tells what it is made of
                target.write_bytes(contents())
            tags += (
                f'<img class="on-{side.partition(".")[0]} dark-light" src="{folder}/{target.name}" '
                f'alt="{html.escape(image.get("alt", ""))}" '
                f'width="{width}" height="{height}" loading="lazy" decoding="async">'
            )
        image.parent.replace(image, nodes.raw("", tags, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", show_both)
    app.add_css_file("figures.css")
    app.add_js_file(None, body=FOLLOW_SYSTEM, priority=0)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
