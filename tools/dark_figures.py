"""Draw every figure twice, for light pages and for dark ones, while a notebook runs.

tools/notebooks.py loads this file into the kernel as an extension of IPython; a reader's notebook
knows nothing of it. The PNG of a figure then carries what the site needs for its dark pages
(tools/book_figures.py) in a text chunk named `CHUNK`, as JSON:

    "picture": the figure on the dark ground, a PNG in base64
    "photographs": their boxes (left, top, right, bottom) in pixels, and those of labels on them;
        what they hold is the same in both
    "texts": colours, as [ink, ground] in light and [ink, ground] in dark, of all that is written
        outside photographs, so that a test can hold their contrast

Lines, letters and faces are drawn anew in other colours, which an inverted picture of them could
not be: an orange line stays orange, and a faint one faint.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

CHUNK = "dark"
GROUND = "#121212"  # of sphinx-book-theme's dark pages; a test compares the two
FEW = 16  # colours that somebody chose; more show what is measured, such as pixels
READABLE = 4.5  # the contrast that text has at least (WCAG 2)
MOST = 13.0  # the contrast of black on white is 21, which glares in white on black


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Return the relative luminance (WCAG 2) of linear colours (..., 3)."""
    return rgb @ np.array([0.2126, 0.7152, 0.0722])


def linear_light(colours: np.ndarray) -> np.ndarray:
    """Undo the curve of sRGB."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def darken(colours: np.ndarray, by_contrast: bool = False) -> np.ndarray:
    """Return the colours (..., 3), from 0 to 1, that stand on the dark ground for those on white.

    Each keeps its hue and at least its contrast with the ground, up to `MOST`: white becomes the
    ground, black nearly white. What's faint gets a little more, because dark shades are harder to
    tell apart. A strong colour that's lighter than its contrast asks for stays as it is, unless all
    go `by_contrast`: then what's darker on white is lighter here.
    """
    colours = np.asarray(colours, float)
    linear = linear_light(colours)
    ground = luminance(linear_light(np.array(to_rgb(GROUND)))) + 0.05
    own = luminance(linear)
    ratio = 1.05 / (own + 0.05)
    kept = np.minimum(ratio + 0.5 * np.minimum(ratio - 1, 0.4), MOST) * ground - 0.05
    strong = 0 if by_contrast else np.clip((np.ptp(colours, axis=-1) - 0.1) / 0.2, 0, 1)
    wanted = kept + strong * np.maximum(own - kept, 0)
    # Scale to the luminance wanted; what a channel can't hold is made up for by white.
    top = linear.max(axis=-1)
    scale = np.minimum(wanted / np.maximum(own, 1e-6), 1 / np.maximum(top, 1e-6))
    scaled = linear * scale[..., None]
    white = np.clip((wanted - own * scale) / np.maximum(1 - own * scale, 1e-6), 0, 1)[..., None]
    linear = np.clip(scaled + white * (1 - scaled), 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


class DarkRenderer(RendererAgg):
    """Draws everything but images in the colours of dark pages, texts in `inks` in those."""

    inks: Mapping[Text, Any] = MappingProxyType({})

    def _update_methods(self) -> None:
        super()._update_methods()
        # They belong to the renderer's inner part, and each is an attribute of the outer one.
        markers: Any = self.draw_markers
        paths: Any = self.draw_path_collection
        mesh: Any = self.draw_quad_mesh

        def draw_markers(gc: Any, *args: Any) -> None:  # ..., rgbFace
            markers(dark_context(self, gc), *args[:4], *map(dark_face, args[4:]))

        def draw_path_collection(gc: Any, *args: Any, **hatches: Any) -> None:
            hatches = {name: dark_faces(colours) for name, colours in hatches.items()}
            faces = map(dark_faces, args[5:7])
            paths(dark_context(self, gc), *args[:5], *faces, *args[7:], **hatches)

        def draw_quad_mesh(gc: Any, *args: Any) -> None:  # ..., faces, antialiased, edges
            *first, faces, antialiased, edges = args
            faces, edges = dark_faces(faces), dark_faces(edges)
            mesh(dark_context(self, gc), *first, faces, antialiased, edges)

        vars(self).update(
            draw_markers=draw_markers,
            draw_path_collection=draw_path_collection,
            draw_quad_mesh=draw_quad_mesh,
        )

    def draw_path(self, gc: Any, path: Any, transform: Any, rgbFace: Any = None) -> None:
        super().draw_path(dark_context(self, gc), path, transform, dark_face(rgbFace))

    def draw_text(
        self,
        gc: Any,
        x: Any,
        y: Any,
        s: Any,
        prop: Any,
        angle: Any,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        if not ismath:  # or it comes back through draw_mathtext
            gc = dark_context(self, gc)
            if mtext in self.inks:
                gc._rgb = (*self.inks[mtext], 1.0)
        super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)

    def draw_mathtext(self, gc: Any, *args: Any) -> None:
        super().draw_mathtext(dark_context(self, gc), *args)


def dark_face(rgb: Any) -> Any:
    return None if rgb is None else (*darken(np.array(rgb[:3])).tolist(), *rgb[3:])


def dark_faces(colours: Any) -> Any:
    """Return RGBA (N, 4) as seen on dark pages; there may be none. More than `FEW` are data."""
    if colours is None or not 0 < len(np.unique(colours, axis=0)) <= FEW:
        return colours
    colours = np.array(colours, float)
    colours[:, :3] = darken(colours[:, :3])
    return colours


def dark_context(renderer: RendererAgg, gc: Any) -> Any:
    """Return a graphics context that strokes and hatches in dark pages' colours."""
    result: Any = renderer.new_gc()
    result.copy_properties(gc)
    result._rgb = dark_face(gc.get_rgb())
    result._hatch_color = dark_face(gc.get_hatch_color())
    return result


def is_drawn_on_paper(image: AxesImage) -> bool:
    """Tell a table in shades of a colour, which begin at white, from a photograph or a map."""
    values = image.get_array()
    return (
        values is not None
        and values.ndim == 2
        and bool(luminance(np.array(image.cmap(0.0)[:3])) > 0.9)
    )


@contextmanager
def dark_tables(images: list[AxesImage]) -> Iterator[None]:
    """Give tables that begin at white, while they are drawn, shades that begin at the ground."""
    kept = [(image, image.cmap) for image in images if is_drawn_on_paper(image)]
    for image, cmap in kept:
        shades = darken(cmap(np.linspace(0, 1, 256))[:, :3], by_contrast=True)
        image.set_cmap(ListedColormap(shades))
    try:
        yield
    finally:
        for image, cmap in kept:
            image.set_cmap(cmap)


def draw_both(canvas: Any) -> dict[str, Any]:
    """Return what the PNG of a canvas's figure carries for dark pages."""
    figure = canvas.figure
    FigureCanvasAgg.draw(canvas)
    light = np.array(canvas.buffer_rgba())[..., :3]
    height, width = light.shape[:2]
    images = [image for image in figure.findobj(AxesImage) if image.get_visible()]
    boxes = unchanged(figure, [i for i in images if not is_drawn_on_paper(i)], width, height)

    renderer = DarkRenderer(width, height, figure.dpi)
    with dark_tables(images):
        figure.draw(renderer)
        texts = list(places_of_texts(figure, light.shape, boxes))
        inks = {text: darken(np.array(to_rgb(text.get_color()))) for text, _ in texts}
        grounds = {text: usual(np.array(renderer.buffer_rgba())[place]) for text, place in texts}
        # On a bar that keeps its colour, black can't turn light. On any, black or white is legible.
        renderer.inks = {
            text: max(np.array([[0.0] * 3, [1.0] * 3]), key=partial(contrast, ground))
            for text, ground in grounds.items()
            if contrast(ground, inks[text]) < READABLE
        }
        if renderer.inks:
            renderer.clear()
            figure.draw(renderer)
    dark = np.array(renderer.buffer_rgba())[..., :3]
    for left, top, right, bottom in boxes:
        dark[top:bottom, left:right] = light[top:bottom, left:right]
    pairs = {
        tuple(
            as_hex(colour)
            for colour in (
                np.array(to_rgb(text.get_color())),
                usual(light[place]),
                renderer.inks.get(text, inks[text]),
                grounds[text],
            )
        )
        for text, place in texts
    }
    return {
        "picture": base64.b64encode(as_png(dark)).decode(),
        "photographs": boxes,
        "texts": sorted(map(list, pairs)),
    }


def unchanged(
    figure: Figure, photographs: list[AxesImage], width: int, height: int
) -> list[list[int]]:
    """Return the boxes (left, top, right, bottom) of photographs and of the labels that lie on one.

    A label that reaches beyond its photograph would change in the middle of a word.
    """
    page = Bbox.from_extents(0, 0, width, height)
    seen = [Bbox.intersection(i.get_window_extent(), i.axes.bbox) for i in photographs]
    found = [box for box in seen if box]
    patches = [text.get_bbox_patch() for text in figure.findobj(Text) if text.get_visible()]
    labels = [patch.get_window_extent().padded(1) for patch in patches if patch]
    found += [label for label in labels if any(label.overlaps(box) for box in found)]
    drawn = filter(None, (Bbox.intersection(box, page) for box in found))
    rounded = [np.array(box.extents).round().astype(int).tolist() for box in drawn]
    return [[left, height - high, right, height - low] for left, low, right, high in rounded]


def as_png(pixels: np.ndarray) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, format="PNG", compress_level=1)
    return stored.getvalue()


def places_of_texts(
    figure: Figure, shape: tuple[int, ...], boxes: list[list[int]]
) -> Iterator[tuple[Text, tuple[slice, slice]]]:
    """Find every text outside the boxes, and its rows and columns of a picture of that shape."""
    height, width = shape[:2]
    for text in figure.findobj(Text):
        if not text.get_visible() or not text.get_text().strip():
            continue
        x0, y0, x1, y1 = text.get_window_extent().extents
        left, right = (round(min(max(x, 0), width)) for x in (x0, x1))
        top, bottom = (round(min(max(height - y, 0), height)) for y in (y1, y0))
        inside = any(a < right and left < c and b < bottom and top < d for a, b, c, d in boxes)
        if left < right and top < bottom and not inside:
            yield text, (slice(top, bottom), slice(left, right))


def usual(pixels: np.ndarray) -> np.ndarray:
    """Return the most frequent colour, from 0 to 1: behind a text, its ground."""
    red, green, blue = np.moveaxis(pixels[..., :3].astype(int), -1, 0)
    numbers, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    number = numbers[counts.argmax()]
    return np.array([number >> 16, number >> 8 & 255, number & 255]) / 255


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """Return the contrast (WCAG 2) of two colours, from 0 to 1."""
    pair = np.array([one, other])
    low, high = sorted(luminance(linear_light(pair)))
    return (high + 0.05) / (low + 0.05)


def as_hex(colour: np.ndarray) -> str:
    return "#" + bytes((255 * colour).round().astype(np.uint8)).hex()


def load_ipython_extension(shell: Any) -> None:
    """Let every PNG that this kernel makes of a figure carry its dark side."""
    plain = FigureCanvasAgg.print_png

    @wraps(plain)  # matplotlib looks at the signature
    def print_png(canvas: Any, file: Any, *, metadata: Any = None, pil_kwargs: Any = None) -> None:
        both = (metadata or {}) | {CHUNK: json.dumps(draw_both(canvas))}
        plain(canvas, file, metadata=both, pil_kwargs=pil_kwargs)

    FigureCanvasAgg.print_png = print_png  # type: ignore[method-assign]
