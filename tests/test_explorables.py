"""The live figures, each opened from a file in a headless Chromium, as readers meet it.

What a figure says is compared with what the module, NumPy or SciPy compute from the same inputs.
"""

from __future__ import annotations

import base64
import functools
import gzip
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy import stats
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from experiments.inside import occlusion  # noqa: E402
from networks import pack  # noqa: E402

from vgg_utils import explorables, plots  # noqa: E402
from vgg_utils.augmentation import Preprocess, rescale  # noqa: E402
from vgg_utils.configs import layer_configs, layer_names, summarise, total  # noqa: E402
from vgg_utils.evaluation import predict  # noqa: E402
from vgg_utils.images import read_image  # noqa: E402
from vgg_utils.model import VGGNet, fully_convolutional, initialise, weight_layers  # noqa: E402
from vgg_utils.network_receptive_field import by_name, find, network_receptive_field  # noqa: E402
from vgg_utils.pictures import CIFAR10_CLASSES, picture, thumbnails  # noqa: E402
from vgg_utils.receptive_field import Layer, receptive_field  # noqa: E402
from vgg_utils.records import load_record  # noqa: E402
from vgg_utils.trained import WEIGHTS, Trained, load_trained  # noqa: E402

NAMES = ["convolution", "configuration", "signal", "dense", "seeds", "at_work"]
RESNET = network_receptive_field(by_name("resnet18"), 224)
OWN = load_record("networks")["networks"]


def explorer() -> str:
    photo = ImageOps.fit(Image.open(picture("cat")), (224, 224))
    chains = {"A": receptive_field("A"), "D": receptive_field("D"), "ResNet-18": RESNET}
    return plots.receptive_field_explorer(photo, chains)


FIGURES = {name: functools.cache(getattr(explorables, name)) for name in NAMES}
FIGURES["receptive_field"] = functools.cache(explorer)


def weights_of(name: str) -> str:
    return base64.b64encode((WEIGHTS / f"{name}.npz").read_bytes()).decode()


def handed_over(name: str) -> str:
    """Return what a notebook's kernel writes before the figure, so that it wakes by itself."""
    return f"<script>window.bookWeights = {json.dumps({name: weights_of(name)})}</script>"


FIRST = next(iter(OWN))
FIGURES["at_work, awake"] = lambda: handed_over(FIRST) + FIGURES["at_work"]()
PAGE = """<!doctype html><html lang="en"{theme}><head><meta charset="utf-8"><title>Figure</title>
<meta name="viewport" content="width=device-width"></head><body>{body}</body></html>"""


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Any:
    """Open figures on a page of their own; in the end complain of errors and requests."""
    contexts, complaints = [], []

    def show(
        name: str, *, copies: int = 1, theme: str = "", width: int = 900, **options: Any
    ) -> Any:
        options = {"color_scheme": "light", "has_touch": width < 500, **options}
        context = browser.new_context(viewport={"width": width, "height": 844}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(r.url) if not is_own(r.url) else None)
        file = tmp_path / f"{name}.html"
        file.write_text(PAGE.format(theme=theme, body=FIGURES[name]() * copies), "utf-8")

        def is_own(address: str) -> bool:
            return address == file.as_uri() or address.startswith("data:")

        page.goto(file.as_uri())
        if name.endswith("awake") and options.get("java_script_enabled", True):
            for figure in page.locator(".live").all():
                figure.locator(".work-bars tr").first.wait_for()
        return page.locator(".live").first

    yield show
    assert not complaints
    for context in contexts:
        context.close()


def choose(figure: Any, chip: str) -> None:
    figure.get_by_role("radio", name=chip, exact=True).check(force=True)


def slide(figure: Any, label: str, value: float) -> None:
    """Set a slider as a drag does."""
    figure.get_by_role("slider", name=label, exact=True).evaluate(
        "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )


def said(figure: Any) -> str:
    return figure.locator(".live-says").inner_text()


def numbers(text: str) -> list[float]:
    """Return the numbers of a text in order, with thousands by commas and a true minus."""
    found = re.findall(r"[-−]?\d[\d,]*(?:\.\d+)?", text)
    return [float(number.replace(",", "").replace("−", "-")) for number in found]


def cells(table: Any) -> np.ndarray:
    """Return a square table of numbers; 1/9 is written so."""
    texts = [text.replace("−", "-") for text in table.locator("td").all_inner_texts()]
    values = [1 / float(t[2:]) if t.startswith("1/") else float(t) for t in texts]
    return np.reshape(values, (int(len(values) ** 0.5), -1))


# What all figures keep


def test_every_figure_is_tested() -> None:
    files = {path.stem for path in Path(explorables.__file__).parent.glob("*.html")}
    assert files == {*NAMES, "look", "receptive_field"}


@pytest.mark.parametrize("name", [*NAMES, "receptive_field"])
def test_figure_is_filled_in_and_small(name: str) -> None:
    page = FIGURES[name]()
    assert "{{" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert len(gzip.compress(page.encode())) < (60_000 if name == "at_work" else 20_000)


UNNAMED = """figure => [...figure.querySelectorAll('button, input, select, [tabindex], svg')]
  .filter(e => e.checkVisibility() && !e.closest('[aria-hidden=true]'))
  .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim()
    || [...(e.labels || [])].some(label => label.textContent.trim())))
  .map(e => e.outerHTML.slice(0, 90))"""

SMALL = """figure => [...figure.querySelectorAll('button, input, select, [tabindex]')]
  .filter(e => e.checkVisibility() && !e.closest('.live-pane'))
  .map(e => [e.getBoundingClientRect(), e]).filter(([box]) => Math.min(box.width, box.height) < 24)
  .map(([box, e]) => `${box.width}x${box.height} ${e.outerHTML.slice(0, 90)}`)"""

# Text against the ground it stands on, through half-transparent grounds; SVG text has a fill.
FAINT = """figure => {
  const parse = colour => {
    const n = colour.match(/-?[\\d.]+(e-?\\d+)?/g).map(Number);
    const scale = colour.startsWith('color(') ? 255 : 1;
    return [n[0] * scale, n[1] * scale, n[2] * scale, n[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = rgb => rgb.map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    const own = e ? parse(getComputedStyle(e).backgroundColor) : [255, 255, 255, 1];
    return own[3] === 1 ? own.slice(0, 3) : [...over(own, ground(e.parentElement))];
  };
  const texts = document.createTreeWalker(figure, NodeFilter.SHOW_TEXT), faint = [];
  while (texts.nextNode()) {
    const text = texts.currentNode, e = text.parentElement;
    if (!text.data.trim() || !e.checkVisibility() || e.matches('style, script, title')) continue;
    const style = getComputedStyle(e);
    const colour = parse(e.namespaceURI.includes('svg') ? style.fill : style.color);
    const pair = [light(over(colour, ground(e))), light(ground(e))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${text.data.trim()}`);
  }
  return faint;
}"""

LARGE = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [900, 390, 320])
@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_named_and_large_enough_and_fits(name: str, width: int, show: Any) -> None:
    figure = show(name, width=width)
    assert figure.get_attribute("role") == "group" and figure.get_attribute("aria-label")
    assert figure.locator("output").get_attribute("aria-live") in (None, "polite")
    assert figure.locator(".live-static").is_hidden()
    assert figure.evaluate(UNNAMED) == []
    assert figure.evaluate(SMALL) == []
    assert not figure.evaluate(LARGE)


@pytest.mark.parametrize(
    ("theme", "scheme"),
    [("", "light"), ("", "dark"), (' data-theme="dark"', "light"), (' data-theme="light"', "dark")],
)
@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_legible_in_either_theme(name: str, theme: str, scheme: str, show: Any) -> None:
    figure = show(name, theme=theme, color_scheme=scheme)
    assert figure.evaluate(FAINT) == []
    ground = figure.evaluate("figure => getComputedStyle(figure).backgroundColor")
    is_dark = "dark" in (theme or scheme)
    assert (max(map(int, re.findall(r"\d+", ground)[:3])) < 60) == is_dark


@pytest.mark.parametrize("name", FIGURES)
def test_figure_without_scripts_is_a_picture_and_a_sentence(name: str, show: Any) -> None:
    figure = show(name, width=390, java_script_enabled=False)
    static = figure.locator(".live-static")
    assert static.is_visible() and figure.locator(".live-body").is_hidden()
    assert static.locator("svg, table").count()
    assert len(static.inner_text().split()) > 20
    box, outer = static.bounding_box(), figure.bounding_box()
    assert box["width"] < outer["width"] <= 390
    for table in static.locator(".live-scroll").all():
        assert table.evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("name", FIGURES)
def test_figure_on_paper_is_the_static_one(name: str, show: Any) -> None:
    figure = show(name)
    figure.page.emulate_media(media="print")
    assert figure.locator(".live-static").is_visible()
    assert figure.locator(".live-body").is_hidden()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_stand_side_by_side(name: str, show: Any) -> None:
    """Two copies on one page, and a key of one neither moves the other nor leaves the figure."""
    page = show(name, copies=2).page
    first, second = page.locator(".live").all()
    assert said(first) == said(second)
    page.evaluate("window.left = 0; document.addEventListener('keydown', () => { left += 1; })")
    before = second.locator(".live-body").inner_html()
    for control in first.locator("input, button:enabled, [tabindex='0']").all():
        if control.is_visible():
            control.focus()
            page.keyboard.press("ArrowRight")
    assert page.evaluate("left") == 0
    assert second.locator(".live-body").inner_html() == before


# Convolution under the finger


def learned_by_a() -> list[float]:
    """Return the fifth window of A's first layer, its colours added up, the largest weight 8."""
    window = load_trained("A").model.features[0].weight[4].detach().double().sum(0)
    return (window * 8 / window.abs().max()).round().flatten().tolist()


KERNELS = {
    "Upright edges": [-1, 0, 1] * 3,
    "Level edges": [-1] * 3 + [0] * 3 + [1] * 3,
    "Outlines": [-1] * 4 + [8] + [-1] * 4,
    "Sharpen": [0, -1, 0, -1, 5, -1, 0, -1, 0],
    "Blur": [1 / 9] * 9,
    "Learnt": learned_by_a(),
}


def convolve(pixels: np.ndarray, kernel: list[float], layers: int) -> np.ndarray:
    """Return the map after some layers of one kernel, each with padding and a ReLU."""
    x = torch.tensor(pixels, dtype=torch.float64)[None, None]
    weight = torch.tensor(kernel, dtype=torch.float64).view(1, 1, 3, 3)
    for _ in range(layers):
        x = F.relu(F.conv2d(x, weight, padding=1))
    return x[0, 0].numpy()


@pytest.mark.parametrize("name", KERNELS)
def test_convolution_shows_nine_products_and_their_sum(name: str, show: Any) -> None:
    figure = show("convolution")
    data = figure.evaluate("figure => JSON.parse(figure.dataset.figure)")
    pixels = np.pad(np.reshape(data["pixels"], (24, 24)), 1)
    row, column = 9, 7
    nine = (pixels[9:12, 7:10] * np.reshape(KERNELS["Upright edges"], (3, 3))).ravel()
    sentence = " ".join(figure.locator(".live-static").text_content().split())
    assert numbers(sentence.replace("− ", "−"))[3:13] == [*nine, nine.sum()]
    window = figure.locator(".live-grip").first
    choose(figure, name)
    for key in [""] + ["ArrowLeft"] * 9 + ["ArrowDown"] * 16:  # to the corner, and no further
        if key:
            window.press(key)
        row = min(23, row + (key == "ArrowDown"))
        column = max(0, column - (key == "ArrowLeft"))
        if column == 0 and 0 < row < 22:
            continue
        nine = pixels[row : row + 3, column : column + 3]
        products = nine * np.reshape(KERNELS[name], (3, 3))
        np.testing.assert_array_equal(cells(figure.locator(".conv-pixels")), nine)
        weights = cells(figure.locator(".conv-weights")).ravel()
        np.testing.assert_allclose(weights, KERNELS[name], rtol=1e-12)
        np.testing.assert_allclose(cells(figure.locator(".conv-products")), products, atol=0.05)
        value = float(figure.locator(".live-says").get_attribute("data-value"))
        assert value == pytest.approx(products.sum(), abs=1e-3)
        assert numbers(said(figure))[:2] == [row + 1, column + 1]
        assert numbers(said(figure))[2] == pytest.approx(products.sum(), abs=0.051)
    assert (row, column) == (23, 0)


@pytest.mark.parametrize("layers", [2, 3])
def test_convolution_counts_paths_through_layers(layers: int, show: Any) -> None:
    figure = show("convolution")
    data = figure.evaluate("figure => JSON.parse(figure.dataset.figure)")
    pixels = np.reshape(data["pixels"], (24, 24))
    row, column = 9, 7
    choose(figure, str(layers))
    tables = figure.locator(".conv-paths").all()
    assert len(tables) == layers
    for depth, table in enumerate(tables, start=1):  # the gradient through ones counts the paths
        x = torch.zeros(1, 1, 7, 7, requires_grad=True)
        y = x
        for _ in range(depth):
            y = F.conv2d(y, torch.ones(1, 1, 3, 3), padding=1)
        (paths,) = torch.autograd.grad(y[0, 0, 3, 3], x)
        inside = slice(3 - depth, 4 + depth)
        np.testing.assert_array_equal(cells(table), paths[0, 0, inside, inside].numpy())
    found = [*numbers(said(figure))]
    assert (2 * layers + 1, 9**layers, paths.max()) == (found[2], found[4], found[5])
    for name, kernel in KERNELS.items():
        choose(figure, name)
        value = float(figure.locator(".live-says").get_attribute("data-value"))
        expected = convolve(pixels, kernel, layers)[row, column]
        assert value == pytest.approx(expected, rel=1e-3, abs=1e-9)


MAP = """() => {
  const copy = document.createElement('canvas').getContext('2d');
  copy.drawImage(document.querySelectorAll('.conv-panes canvas')[1], 0, 0);
  return [...copy.getImageData(1, 1, 24, 24).data];
}"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_convolution_fills_its_map(motion: str, show: Any) -> None:
    figure = show("convolution", reduced_motion=motion)
    data = figure.evaluate("figure => JSON.parse(figure.dataset.figure)")
    pixels = np.reshape(data["pixels"], (24, 24))
    edges = convolve(pixels, KERNELS["Upright edges"], 1)
    wanted = np.minimum(255, np.round(255 * edges / edges[1:-1, 1:-1].max()))
    empty = np.reshape(figure.page.evaluate(MAP), (24, 24, 4))[23, 23]

    def is_filled(row: int, column: int) -> bool:
        colour = np.reshape(figure.page.evaluate(MAP), (24, 24, 4))[row, column]
        filled = bool((colour != empty).any())
        assert not filled or abs(colour[:3] - wanted[row, column]).max() <= 1
        return filled

    assert is_filled(8, 23) and is_filled(9, 7)
    assert not is_filled(9, 8) and not is_filled(20, 10)
    window = figure.locator(".live-grip").first
    for _ in range(3):
        window.press("ArrowDown")
        window.press("ArrowRight")
    assert [is_filled(10, 7), is_filled(10, 8), is_filled(12, 10)] == [True] * 3
    assert not is_filled(10, 9)
    button = figure.get_by_role("button", name="Fill the map")
    button.press("Enter")
    figure.page.wait_for_function("document.querySelector('.conv-fill').disabled")
    assert said(figure).endswith("The map is full.")
    assert all(is_filled(*divmod(place, 24)) for place in range(0, 576, 7))
    choose(figure, "2")
    assert button.is_hidden()


def test_convolution_window_follows_the_pointer(show: Any) -> None:
    figure = show("convolution")
    page, pane = figure.page, figure.locator(".live-pane").first
    box, grip = pane.bounding_box(), figure.locator(".live-grip").first.bounding_box()
    cell = box["width"] / 26
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    page.mouse.move(x + 5, y - 5)  # taken off its middle, it doesn't jump
    page.mouse.down()
    page.mouse.move(x + 5 + 4 * cell, y - 5 - 3 * cell, steps=8)
    page.mouse.up()
    page.mouse.move(x, y)
    assert numbers(said(figure))[:2] == [10 - 3, 8 + 4]
    page.mouse.click(box["x"] + 5.5 * cell, box["y"] + 20.5 * cell)
    assert numbers(said(figure))[:2] == [20, 5]
    other = figure.locator(".live-pane").nth(1).bounding_box()  # the map answers too
    page.mouse.click(other["x"] + other["width"] / 2 + 1, other["y"] + other["height"] / 2 + 1)
    assert numbers(said(figure))[:2] == [13, 13]


def test_convolution_window_follows_a_tap(show: Any) -> None:
    figure = show("convolution", width=390)
    box = figure.locator(".live-pane").first.bounding_box()
    cell = box["width"] / 26
    figure.page.touchscreen.tap(box["x"] + 20.5 * cell, box["y"] + 5.5 * cell)
    assert numbers(said(figure))[:2] == [5, 20]
    touch = figure.page.context.new_cdp_session(figure.page)
    for kind, row, column in (("Start", 5, 20), ("Move", 9, 18), ("Move", 15, 12), ("End", 0, 0)):
        point = {"x": box["x"] + (column + 0.5) * cell, "y": box["y"] + (row + 0.5) * cell}
        points = [] if kind == "End" else [point]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    assert numbers(said(figure))[:2] == [15, 12]
    assert figure.page.evaluate("window.scrollY") == 0  # the page stays where it is


# Configuration builder


def totals(figure: Any) -> dict[str, float]:
    """Return the numbers that the figure shows, as exact as it has them."""
    names = ("depth", "parameters", "macs", "activations", "field", "map")
    return {
        name: float(figure.locator(f".conf-{name}").get_attribute("data-value")) for name in names
    }


def expected_totals(layers: list[Any]) -> dict[str, float]:
    rows = summarise(layers)
    whole, end = total(rows), receptive_field(layers)[-1]
    last = next(row for row in rows if row.name == layer_names(layers)[-1])
    return {
        "depth": sum(entry != "M" for entry in layers) + 3,
        "parameters": whole.parameters,
        "macs": whole.macs,
        "activations": 4 * whole.activations,
        "field": end.receptive_field,
        "map": last.output_shape[1],
    }


def layers_of(figure: Any) -> list[Any]:
    """Read the configuration off the list of layers."""
    texts = [text.split() for text in figure.get_by_role("option").all_inner_texts()]
    return ["M" if text == ["pool"] else (int(text[0][0]), int(text[1])) for text in texts]


@pytest.mark.parametrize("name", "ABCDE")
def test_configuration_counts_as_the_module_does(name: str, show: Any) -> None:
    figure = show("configuration")
    choose(figure, name)
    layers = layer_configs[name]
    assert layers_of(figure) == layers
    assert totals(figure) == expected_totals(layers)
    fields = {row.name: row.receptive_field for row in receptive_field(layers)}
    rows = {row.name: row for row in summarise(layers)}
    for option in figure.get_by_role("option").all():
        option.click()
        layer = option.get_attribute("data-name")
        found = numbers(said(figure).replace(layer, "", 1))
        row = rows[layer]
        assert found[:3] == [*row.output_shape], layer
        assert (found[3] == row.parameters) == (row.parameters > 0), layer
        assert fields[layer] in found, layer
    table = figure.locator(".live-static td").all_text_contents()
    depth, parameters, macs, field = numbers(" ".join(table[table.index(name) :][1:5]))
    whole = expected_totals(layers)
    assert (depth, field) == (whole["depth"], whole["field"])
    assert parameters == pytest.approx(whole["parameters"] / 1e6, abs=0.0051)
    assert macs == pytest.approx(whole["macs"] / 1e9, abs=0.0051)


def test_configuration_can_be_built_by_hand(show: Any) -> None:
    figure = show("configuration")
    layers = [*layer_configs["A"]]

    def press(name: str) -> None:
        figure.get_by_role("button", name=name, exact=True).click()

    def agree() -> None:
        assert layers_of(figure) == layers
        assert totals(figure) == expected_totals(layers)

    choose(figure, "A")
    figure.get_by_role("option", name="conv3_2").click()
    press("Add one like it")
    layers.insert(6, (3, 256))
    agree()
    assert figure.get_by_role("radio", checked=True).count() == 2  # no longer A
    choose(figure, "1x1")
    layers[6] = (1, 256)
    agree()
    choose(figure, "512")
    layers[6] = (1, 512)
    agree()
    press("Later")
    layers[6:8] = ["M", (1, 512)]
    agree()
    press("Earlier")
    press("Earlier")
    layers[5:8] = [(1, 512), (3, 256), "M"]
    agree()
    press("Remove")
    del layers[5]
    agree()
    choose(figure, "5x5")
    layers[5] = (5, 256)
    agree()
    choose(figure, "pool")  # a sixth pool
    layers[5] = "M"
    agree()
    assert totals(figure)["map"] == 3
    figure.get_by_role("option", name="pool6").click()
    press("Add one like it")
    press("Add one like it")
    assert said(figure).startswith("Nothing is left after pool8")
    with pytest.raises(ValueError, match="too small for 8 pools"):
        summarise([*layers, "M", "M"])


def test_configuration_answers_the_keyboard(show: Any) -> None:
    figure = show("configuration")
    keyboard, options = figure.page.keyboard, figure.get_by_role("option")

    def names() -> list[str]:
        return [option.get_attribute("data-name") for option in options.all()]

    options.first.focus()
    for _ in range(2):
        keyboard.press("ArrowRight")
    focused = figure.locator("[aria-selected=true]")
    assert focused.get_attribute("data-name") == "pool1"
    assert focused.evaluate("e => e === document.activeElement")
    keyboard.press("Shift+ArrowRight")
    assert layers_of(figure)[2:4] == [(3, 128), "M"]
    assert focused.evaluate("e => e === document.activeElement")
    keyboard.press("Delete")
    assert len(names()) == 17
    keyboard.press("End")
    assert focused.get_attribute("data-name") == "pool4"
    keyboard.press("ArrowRight")  # nothing beyond
    assert focused.get_attribute("data-name") == "pool4"
    assert options.and_(figure.locator("[tabindex='0']")).count() == 1
    assert totals(figure) == expected_totals(layers_of(figure))


@pytest.mark.parametrize("name", "ABCDE")
def test_configuration_with_padding_everywhere(name: str, show: Any) -> None:
    """The same network of torch.nn, each convolution with padding=1, on the meta device."""
    figure = show("configuration")
    choose(figure, name)
    figure.get_by_label("Pad every convolution by 1").check()
    x, weights, channels = torch.empty(1, 3, 224, 224, device="meta"), 0, 3
    macs = 0
    for entry in layer_configs[name]:
        if entry == "M":
            x = F.max_pool2d(x, 2)
            continue
        layer = torch.nn.Conv2d(channels, entry[1], entry[0], padding=1, device="meta")
        x, channels = layer(x), entry[1]
        weights += sum(parameter.numel() for parameter in layer.parameters())
        macs += layer.weight.numel() * x.shape[2] * x.shape[3]
    assert x.shape[2] == (8 if name == "C" else 7)
    whole = totals(figure)
    head = total(summarise(name)[-3:])
    assert whole["map"] == x.shape[2]
    assert whole["parameters"] == weights + head.parameters
    assert whole["macs"] == macs + head.macs
    assert ("is 8x8, and fc6 is made for 7x7" in said(figure)) == (name == "C")
    assert figure.locator(".conf-wrong").count() == (name == "C")


# Signal through the layers

SIZES = [0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 20, 30, 57, 100]
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def scales(config: str, rule: str, std: float, size: float) -> list[float]:
    """Return the size of the pixels, then of each layer's output by the lesson's formula."""
    with torch.device("meta"):
        layers = weight_layers(VGGNet(3, 1000, config, init="pytorch"))
    found = [size]
    for name, layer in layers.items():
        fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
        sigma = {
            "One σ": std,
            "He": math.sqrt(2 / fan_in),
            "Xavier": math.sqrt(2 / (fan_in + fan_out)),
            "PyTorch": math.sqrt(1 / (3 * fan_in)),
        }[rule]
        found.append(found[-1] * sigma * math.sqrt(fan_in if name == "fc8" else fan_in / 2))
    return found


@pytest.mark.parametrize("config", "ABDE")
@pytest.mark.parametrize("rule", ["One σ", "He", "Xavier", "PyTorch"])
def test_signal_follows_the_formula(config: str, rule: str, show: Any) -> None:
    figure = show("signal")
    depth = {"A": 11, "B": 13, "D": 16, "E": 19}[config]
    choose(figure, f"{depth} ({config})")
    for power, at in ((-2, 4), (-2.3, 0), (-1, 12), (-1.52, 11)):
        slide(figure, "Standard deviation σ", power)
        slide(figure, "Size of the pixels", at)
        choose(figure, rule)
        expected = scales(config, rule, float(f"{10**power:.3g}"), SIZES[at])
        dots = figure.locator("circle")
        values = dots.evaluate_all("all => all.map(e => +e.dataset.value)")
        np.testing.assert_allclose(values, expected, rtol=1e-3)
        logits = float(figure.locator(".live-says").get_attribute("data-value"))
        assert logits == pytest.approx(expected[-1], rel=1e-3)
        heights = dots.evaluate_all("all => all.map(e => +e.getAttribute('cy'))")
        decades = [(13 - math.log10(value)) / 29 for value in expected]  # from 10^13 to 10^-16
        chart = figure.locator(".sign-chart").evaluate("e => e.viewBox.baseVal.height") - 40
        np.testing.assert_allclose(heights, 8 + np.array(decades) * (chart - 8), atol=0.01)
        assert 0 < min(heights) <= max(heights) < chart  # whatever is set, it's in the chart
        choose(figure, "One σ")


@pytest.mark.parametrize("rule", ["He", "Xavier", "PyTorch"])
def test_rules_of_the_signal_are_those_of_initialise(rule: str) -> None:
    net = VGGNet(3, 10, "A", width=0.25, pool_size=1, hidden_features=512, init="pytorch")
    torch.manual_seed(0)
    initialise(net, rule.lower())
    for layer in list(weight_layers(net).values())[1:-1]:
        fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
        wanted = {"He": 2 / fan_in, "Xavier": 2 / (fan_in + fan_out), "PyTorch": 1 / (3 * fan_in)}
        assert layer.weight.var().item() == pytest.approx(wanted[rule], rel=0.05)


def test_signal_says_what_it_shows(show: Any) -> None:
    figure = show("signal")
    table = figure.locator(".live-static td").all_text_contents()
    rows = {"σ = 0.01": ("One σ", 0.01), "σ = 0.1": ("One σ", 0.1)}
    for row in range(0, len(table), 3):
        rule, std = rows.get(table[row], (table[row], 0.0))
        for config, text in zip("AD", table[row + 1 : row + 3], strict=True):
            number = float(text.replace("·10", "e").translate(SUPERSCRIPTS))
            assert number == pytest.approx(scales(config, rule, std, 1)[-1], rel=0.03), table[row]
    verdicts = {-2: "nothing is left", -1.7: "slow start", -1.52: "fair start", -1: "explodes"}
    for power, verdict in verdicts.items():
        slide(figure, "Standard deviation σ", power)
        assert verdict in said(figure)
    slider = figure.get_by_role("slider", name="Standard deviation σ")
    before = said(figure)
    slider.press("ArrowLeft")
    assert said(figure) != before
    assert float(slider.get_attribute("aria-valuetext")) == float(f"{10**-1.02:.3g}")
    choose(figure, "Xavier")
    assert slider.is_disabled() and slider.get_attribute("aria-valuetext") == "set by the rule"


# The window of fc6 over a larger image


@pytest.fixture(scope="module")
def dense_form() -> Any:
    with torch.device("meta"):
        return fully_convolutional(VGGNet(3, 1000, "A", init="pytorch"))


def captions(figure: Any) -> list[list[float]]:
    """Return (height, width) of the photograph, the last map and the score map."""
    return [
        numbers(text.replace("x", " ")) for text in figure.locator("figcaption").all_inner_texts()
    ]


def test_dense_maps_have_the_sizes_that_the_network_gives_them(dense_form: Any, show: Any) -> None:
    figure = show("dense")
    photo = read_image(picture("cat"))
    for q in range(224, 513, 8):
        slide(figure, "Shorter side Q", q)
        image = torch.empty(1, *rescale(photo, q).shape, device="meta")
        with torch.no_grad():
            maps = [image, dense_form.model.features(image), dense_form(image)]
        assert captions(figure) == [[*map(float, each.shape[2:])] for each in maps], q
    sentence = numbers(figure.locator(".live-static").text_content().replace("x", " "))
    slide(figure, "Shorter side Q", 384)
    sizes = [size for pair in captions(figure) for size in pair]
    assert sentence[3:11] == [*sizes[:4], 7, 7, *sizes[4:]]
    assert sentence[11] == sizes[4] * sizes[5]


def test_dense_place_stands_for_its_window_of_pixels(show: Any) -> None:
    """Value (i, j) belongs to the window of image_size whose corner is at (32 i, 32 j)."""
    figure = show("dense")
    slide(figure, "Shorter side Q", 416)
    window = figure.locator(".dense-window")
    row = column = 0
    for key in ["ArrowRight"] * 20 + ["ArrowDown"] * 9 + ["ArrowLeft"] * 3 + ["ArrowUp"] * 2:
        window.press(key)
        column = min(12, max(0, column + (key == "ArrowRight") - (key == "ArrowLeft")))
        row = min(6, max(0, row + (key == "ArrowDown") - (key == "ArrowUp")))
        across, down = [32 * column, 32 * column + 224], [32 * row, 32 * row + 224]
        assert numbers(said(figure))[:6] == [row + 1, column + 1, *across, *down]
    assert (row, column) == (4, 9)
    assert captions(figure)[2] == [7, 13]
    # 13 places of the first row, 6 down, 3 to the left, 2 up
    assert numbers(said(figure))[6:] == [13 + 6 + 3 + 2, 91]
    assert figure.locator(".dense-seen").count() == 24
    for level, size in enumerate((224 / 32, 7, 1)):  # the frames on all three lie there too
        pane, frame = (
            figure.locator(part).nth(level).bounding_box() for part in (".live-pane", ".live-grip")
        )
        cell = frame["width"] / size
        assert frame["x"] - pane["x"] == pytest.approx(9 * cell, abs=0.4)
        assert frame["y"] - pane["y"] == pytest.approx(4 * cell, abs=0.4)


def test_dense_window_follows_the_pointer_on_every_map(show: Any) -> None:
    figure = show("dense")
    page, panes = figure.page, figure.locator(".live-pane")
    box = panes.nth(1).bounding_box()
    cell = box["width"] / 18
    page.mouse.move(box["x"] + cell, box["y"] + cell)
    page.mouse.down()
    page.mouse.move(box["x"] + 4.2 * cell, box["y"] + 3.1 * cell, steps=10)
    page.mouse.up()
    assert numbers(said(figure))[:2] == [3, 4]
    box = panes.nth(2).bounding_box()
    page.mouse.click(box["x"] + box["width"] * 11.5 / 12, box["y"] + box["height"] * 5.5 / 6)
    assert numbers(said(figure))[:2] == [6, 12]
    box = panes.nth(0).bounding_box()
    page.mouse.click(box["x"] + 112 * box["width"] / 577, box["y"] + 180 * box["width"] / 577)
    assert numbers(said(figure))[:2] == [3, 1]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_dense_score_map_fills(motion: str, show: Any) -> None:
    figure = show("dense", reduced_motion=motion)
    slide(figure, "Shorter side Q", 288)
    figure.get_by_role("button", name="Fill the score map").click()
    if motion == "no-preference":
        assert "of 21 places" in said(figure)
        figure.page.wait_for_function("document.querySelectorAll('.dense-seen').length === 21")
    assert said(figure).endswith(
        "All 21 are filled: their average is the answer for the whole photograph."
    )
    assert figure.locator(".dense-seen").count() == 21
    slide(figure, "Shorter side Q", 296)
    assert figure.locator(".dense-seen").count() == 1  # another image: begin anew


# Seeds


def uniforms(seed: int, count: int) -> list[float]:
    """Return the first numbers of the generator mulberry32."""
    mask, found = 2**32 - 1, []
    for step in range(1, count + 1):
        state = seed + step * 0x6D2B79F5 & mask
        mixed = (state ^ state >> 15) * (state | 1) & mask
        mixed ^= mixed + ((mixed ^ mixed >> 7) * (mixed | 61) & mask) & mask
        found.append(((mixed ^ mixed >> 14) & mask) / 2**32)
    return found


def changes_of(draw: int, count: int, one: float, two: float, spread: float) -> np.ndarray:
    """Return the differences of one experiment: Box and Muller's normal numbers, two a seed."""
    u = np.reshape(uniforms(57 + draw, 2 * count), (count, 2))
    far, turn = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
    return two + spread * far * np.sin(turn) - one - spread * far * np.cos(turn)


def judged(changes: np.ndarray) -> tuple[float, float]:
    """Return the mean of the differences and half the width of its interval, by SciPy."""
    low, high = stats.t.interval(0.95, len(changes) - 1, changes.mean(), stats.sem(changes))
    return changes.mean(), (high - low) / 2


def value_of(figure: Any, name: str) -> float:
    return float(figure.locator(f".seed-{name}").get_attribute("data-value"))


def test_seeds_have_student_s_interval_at_every_number(show: Any) -> None:
    figure = show("seeds")
    for count in range(2, 101):
        slide(figure, "Seeds", count)
        changes = changes_of(1, count, 18, 17, 1)
        mean, margin = judged(changes)
        assert value_of(figure, "difference") == pytest.approx(mean, rel=1e-3, abs=1e-9)
        assert value_of(figure, "ends") == pytest.approx(margin, rel=1e-3)
        ends = figure.locator(".seed-ends").inner_text()
        assert numbers(ends) == pytest.approx([mean - margin, mean + margin], abs=0.0051)
        assert figure.locator(".seed-change").count() == count
    table = figure.locator(".live-static td").all_text_contents()
    for row in range(0, len(table), 3):
        seeds, t, margin = (numbers(text.replace("±", ""))[0] for text in table[row : row + 3])
        exact = stats.t.ppf(0.975, seeds - 1)
        assert (t, margin) == (round(exact, 2), round(exact * math.sqrt(2 / seeds), 2))


@pytest.mark.parametrize(
    ("count", "one", "two", "spread"),
    [(5, 18, 17, 1), (20, 18, 17, 1), (100, 20, 20, 3), (10, 15.2, 15.9, 0.4), (2, 30, 10, 0.2)],
)
def test_seeds_give_the_verdict(
    count: int, one: float, two: float, spread: float, show: Any
) -> None:
    figure = show("seeds")
    for label, value in {
        "Seeds": count,
        "True error, first network": one,
        "True error, second network": two,
        "Spread between seeds": spread,
    }.items():
        slide(figure, label, value)
    told = []
    for number in range(1, 201):
        mean, margin = judged(changes_of(number, count, one, two, spread))
        told.append(np.sign(mean) if abs(mean) > margin else 0)
    words = {-1: "second is better", 0: "can’t tell", 1: "first is better"}
    draw = figure.get_by_role("button", name="Draw anew")
    for verdict in told[:12]:
        assert figure.locator(".seed-verdict").inner_text() == words[int(verdict)]
        text = said(figure)
        assert ("Zero lies inside" in text) == (verdict == 0)
        assert ("and so it is" in text) == (verdict != 0 and verdict == np.sign(two - one))
        assert ("false alarm" in text) == (verdict != 0 and one == two)
        draw.press("Enter")
    wrong = sum(each not in (0, np.sign(two - one)) for each in told)
    able = figure.locator(".live-says").get_attribute("data-value")
    assert (int(able), wrong) == (sum(map(bool, told)), wrong)
    assert said(figure).endswith(f"{able} could tell, and {wrong or 'none'} told wrong.")
    if one == two:
        assert 2 < wrong < 20  # 95 of 100 intervals hold the truth
    assert numbers(figure.locator("figcaption").inner_text())[:2] == [13, count]


def test_seeds_shrink_the_interval_and_answer_the_keyboard(show: Any) -> None:
    figure = show("seeds")
    slider = figure.get_by_role("slider", name="Seeds", exact=True)
    slider.press("Home")
    assert slider.get_attribute("aria-valuetext") == "2"
    widths = []
    for key in ("Home", "ArrowRight", "PageUp", "End"):
        slider.press(key)
        widths.append(value_of(figure, "ends"))
    assert widths == sorted(widths, reverse=True)
    label = figure.locator(".seed-chart").get_attribute("aria-label")
    assert label.startswith("Errors of 100 seeds of both networks")
    before = said(figure)
    figure.get_by_role("button", name="Draw anew").press("Space")
    assert said(figure) != before


# Receptive-field explorer


def shown(figure: Any) -> list[float]:
    """Return field, jump and units across the map, and the left end of the outlined square."""
    text = said(figure)
    found = re.search(r"field (\d+)x\d+ px, jump (\d+) px\..* of (\d+)x\d+ sees", text)
    assert found, text
    left, stroke = (
        float(figure.locator(".field-live .field-seen").get_attribute(key))
        for key in ("x", "stroke-width")
    )
    return [*map(float, found.groups()), left + stroke / 2]


def go_to_first_unit(figure: Any) -> None:
    picture = figure.locator(".field-live")
    box = picture.bounding_box()
    figure.page.mouse.click(box["x"] + 2, box["y"] + 2)


def sizes(layers: list[Layer], side: int) -> list[int]:
    """Return the sides of the maps, from PyTorch itself."""
    x, found = torch.zeros(1, 1, side), []
    for layer in layers:
        padding = layer.padding
        if padding == "same":
            padding = layer.dilation * (layer.kernel_size - 1) // 2
        window = torch.ones(1, 1, layer.kernel_size)
        x = F.conv1d(x, window, None, layer.stride, padding, layer.dilation)
        found.append(x.shape[2])
    return found


def test_explorer_shows_the_rows_of_the_arithmetic(show: Any) -> None:
    figure = show("receptive_field")
    rows = receptive_field("D")
    layers = [Layer(row.kernel_size, row.stride, row.padding) for row in rows]
    for index, (row, units) in enumerate(zip(rows, sizes(layers, 224), strict=True)):
        slide(figure, "Layer", index)
        go_to_first_unit(figure)
        wanted = [row.receptive_field, row.jump, units, row.interval(0)[0]]
        assert shown(figure) == pytest.approx(wanted), row.name
        assert f"D, {row.name}: " in said(figure)
    static = figure.locator(".live-static").text_content()
    assert "D, conv4_3" in static and "92x92" in static


def test_explorer_shows_the_widest_path_of_a_network(show: Any) -> None:
    figure = show("receptive_field")
    choose(figure, "ResNet-18")
    slider = figure.get_by_role("slider", name="Layer")
    names, last = [], int(slider.get_attribute("max"))
    for index in range(last + 1):
        slide(figure, "Layer", index)
        go_to_first_unit(figure)
        name = slider.get_attribute("aria-valuetext")
        names.append(name)
        node = find(RESNET, name)
        (low, _), _ = node.box((0, 0))
        axis = node.axes[0]
        assert shown(figure) == pytest.approx([axis.field, axis.jump, node.shape[2], low]), name
    assert names[0] == "conv1" and names[-1] == "layer4.1.conv2"
    assert shown(figure)[0] == 435
    assert len(names) == 18  # 17 convolutions and a pool; what adds and activates changes nothing


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("3", [Layer(3, padding="same")]),
        ("7s2, 3s2 3d2", [Layer(7, 2, 3), Layer(3, 2, 1), Layer(3, 1, "same", 2)]),
        ("3p0 M 5s3d2p1 m", [Layer(3), Layer(2, 2), Layer(5, 3, 1, 2), Layer(2, 2)]),
        ("4 2s2p1 1", [Layer(4, 1, "same"), Layer(2, 2, 1), Layer(1)]),
    ],
)
def test_explorer_follows_layers_of_one_s_own(text: str, layers: list[Layer], show: Any) -> None:
    figure = show("receptive_field")
    choose(figure, "Your own")
    figure.get_by_role("textbox").fill(text)
    rows = receptive_field(layers)
    assert figure.get_by_role("slider", name="Layer").get_attribute("max") == str(len(rows) - 1)
    for index, (row, units) in enumerate(zip(rows, sizes(layers, 224), strict=True)):
        slide(figure, "Layer", index)
        go_to_first_unit(figure)
        wanted = [row.receptive_field, row.jump, units, row.interval(0)[0]]
        assert shown(figure) == pytest.approx(wanted), row.name


def test_explorer_says_what_is_wrong_with_layers(show: Any) -> None:
    figure = show("receptive_field", width=390)
    assert figure.get_by_role("textbox").count() == 0
    choose(figure, "Your own")
    box = figure.get_by_role("textbox")
    for text, says in {
        "3 3q": "“3q” is no layer. Write 3",
        "0": "“0” is no layer",
        "3s0": "“3s0” is no layer",
        "": "at least one layer",
        "99s9p0 99p0": "Layer 2, 99p0, spans 99 units, and the map before it has 14",
    }.items():
        box.fill(text)
        assert says in said(figure)
        assert box.get_attribute("aria-invalid") == "true"
    box.fill("3 3")
    assert box.get_attribute("aria-invalid") == "false"
    assert shown(figure)[:3] == [5, 1, 224]
    choose(figure, "A")
    assert figure.get_by_role("textbox").count() == 0
    assert shown(figure)[0] == receptive_field("A")[-1].receptive_field


def test_explorer_moves_by_arrow_keys_taps_and_stays_on_the_map(show: Any) -> None:
    figure = show("receptive_field", width=390)
    figure.page.touchscreen.tap(*centre_of(figure.locator(".field-live")))
    unit = re.compile(r"row (\d+), column (\d+) of 28x28")
    assert {*unit.search(said(figure)).groups()} <= {"14", "15"}
    picture = figure.locator(".field-live")
    row, column = map(int, unit.search(said(figure)).groups())
    for key, down, right in (("ArrowLeft", 0, -1), ("ArrowDown", 1, 0), ("ArrowRight", 0, 1)):
        picture.press(key)
        row, column = row + down, column + right
        assert unit.search(said(figure)).groups() == (str(row), str(column))
    for _ in range(30):
        picture.press("ArrowUp")
    assert unit.search(said(figure)).groups() == ("1", str(column))


def centre_of(part: Any) -> tuple[float, float]:
    part.scroll_into_view_if_needed()
    box = part.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


# A network at work


def answer_of(figure: Any) -> str:
    return figure.locator(".work-answer").inner_text()


def scores_of(figure: Any) -> list[float]:
    return figure.locator(".work-bars tr:not(.work-none)").evaluate_all(
        "all => all.map(e => +e.dataset.value)"
    )


def wait_for_other_scores(figure: Any, before: list[float]) -> None:
    figure.page.wait_for_function(
        "before => +document.querySelector('.work-bars tr').dataset.value !== before", arg=before[0]
    )


def show_picture(figure: Any, index: int) -> None:
    before = scores_of(figure)
    figure.locator(".work-pictures input").nth(index).check(force=True)
    wait_for_other_scores(figure, before)


def upload(figure: Any, image: Image.Image, path: Path) -> None:
    """Show a picture of one's own, and leave it at the path."""
    image.save(path)
    before = scores_of(figure)
    figure.locator(".work-choose").set_input_files(path)
    wait_for_other_scores(figure, before)


def fed_by(data: dict[str, Any], index: int) -> torch.Tensor:
    """Return the pixels (3, 32, 32) that the page holds of one of its pictures."""
    content = base64.b64decode(data["pictures"][index]["seen"].partition(",")[2])
    image = Image.open(io.BytesIO(content)).convert("RGB")
    return torch.tensor(np.array(image)).permute(2, 0, 1) / 255


def maps_of(trained: Trained, fed: torch.Tensor) -> list[torch.Tensor]:
    """Return what every convolution (after its ReLU) and every pool puts out."""
    maps, x = [], fed[None]
    with torch.no_grad():
        for layer in trained.model.features:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU | torch.nn.MaxPool2d):
                maps.append(x[0].clone())
    return maps


RUN = """async ([text, pixels, seed]) => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  let network = await bookNetwork.read(bytes);
  if (seed) network = bookNetwork.random(network, seed);
  const { maps, scores } = bookNetwork.run(network, new Float32Array(pixels));
  return [network.layers.map(layer => layer.name), maps.map(map => [...map]), scores];
}"""


def disturbed(config: str, batch_norm: bool) -> Trained:
    """Return a network whose batch norms, if it has any, change what passes them."""
    torch.manual_seed(0)
    options = {"batch_norm": batch_norm, "width": 1 / 8, "pool_size": 1, "hidden_features": 64}
    model = VGGNet(3, 10, config, **options)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.running_var, layer.weight.data):
                values.uniform_(0.5, 2)
            for values in (layer.running_mean, layer.bias.data):
                values.uniform_(-0.5, 0.5)
    model.pixel_range = -1, 1
    return Trained(model.eval(), CIFAR10_CLASSES, Preprocess(32, 32, [0.5, 0.4, 0.3], [0.5, 1, 2]))


@pytest.mark.parametrize("name", [*OWN, "E, batch norm", "B, plain"])
def test_network_computes_what_python_computes(
    name: str, show: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = show("at_work")
    path = WEIGHTS / f"{name}.npz"
    if name not in OWN:
        path = tmp_path / "other.npz"
        pack(disturbed(name[0], "norm" in name), path)
        monkeypatch.setattr("vgg_utils.trained.WEIGHTS", tmp_path)
    trained = load_trained(path.stem)
    text = base64.b64encode(path.read_bytes()).decode()
    layers = [layer.name for layer in receptive_field(trained.model.features)]
    for image in thumbnails().images[[0, 13, 38]]:
        pixels = image.flatten().tolist()
        names, maps, scores = figure.page.evaluate(RUN, [text, pixels, 0])
        fed = trained.preprocess(image)
        assert names == layers
        for found, expected in zip(maps, maps_of(trained, fed), strict=True):
            np.testing.assert_allclose(found, expected.flatten(), atol=1e-3)
        np.testing.assert_allclose(scores, predict(trained.model, fed[None])[0], atol=1e-3)


def test_random_weights_are_he_s(show: Any) -> None:
    """Drawn in order by Box and Muller from the same generator, the biases zero."""
    name = FIRST
    trained = load_trained(name)
    for layer in trained.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_parameters(), layer.reset_running_stats()
            layer.eps = 0
    seed = 1
    for layer in weight_layers(trained.model).values():
        count = layer.weight.numel()
        u = uniforms_at_once(seed, 2 * count).reshape(count, 2)
        seed += 2 * count * 0x6D2B79F5
        normal = np.sqrt(-2 * np.log(1 - u[:, 0])) * np.cos(2 * np.pi * u[:, 1])
        drawn = torch.tensor(normal * math.sqrt(2 / layer.weight[0].numel()))
        layer.weight.data = drawn.float().view(layer.weight.shape)
        layer.bias.data.zero_()
    text = base64.b64encode((WEIGHTS / f"{name}.npz").read_bytes()).decode()
    image = thumbnails().images[5]
    _, _, scores = show("at_work").page.evaluate(RUN, [text, image.flatten().tolist(), 1])
    expected = predict(trained.model.eval(), trained.preprocess(image)[None])[0]
    np.testing.assert_allclose(scores, expected, atol=1e-3)


def uniforms_at_once(seed: int, count: int) -> np.ndarray:
    """Return what `uniforms` returns, for a million numbers."""
    step = np.uint32(0x6D2B79F5)
    state = np.uint32(seed % 2**32) + np.arange(1, count + 1, dtype=np.uint32) * step
    mixed = (state ^ state >> 15) * (state | 1)
    mixed ^= mixed + (mixed ^ mixed >> 7) * (mixed | 61)
    return (mixed ^ mixed >> 14) / 2**32


def test_page_answers_as_python_does_for_every_picture_and_network(show: Any) -> None:
    figure = show("at_work, awake")
    data = figure.evaluate("figure => JSON.parse(figure.dataset.figure)")
    data["pictures"][0]["seen"] = figure.locator(".live-static img").nth(1).get_attribute("src")
    small = thumbnails()
    for name in OWN:
        if name != FIRST:
            before = scores_of(figure)
            script = "([name, text]) => { window.bookWeights[name] = text; }"
            figure.page.evaluate(script, [name, weights_of(name)])
            figure.locator(".work-network").select_option(name)
            wait_for_other_scores(figure, before)
        trained = load_trained(name)
        for index, about in enumerate(data["pictures"]):
            if not figure.locator(".work-pictures input").nth(index).is_checked():
                show_picture(figure, index)
            fed = fed_by(data, index)
            if index < 2:  # the photograph, brought down by Python to 32 pixels of 8 bits
                exact = trained.preprocess(read_image(picture(about["name"])))
                mean = torch.tensor(trained.preprocess.mean)[:, None, None]
                assert (fed - exact - mean).abs().max() <= 0.5 / 255 + 1e-6
            else:  # one of CIFAR-10's, whose scores the record holds
                at = 4 * small.classes.index(about["name"])
                recorded = OWN[name]["thumbnail_scores"][at]
                np.testing.assert_allclose(scores_of(figure), recorded, atol=1e-3)
            expected = predict(trained.model, trained.preprocess(fed)[None])[0]
            np.testing.assert_allclose(scores_of(figure), expected, atol=1e-3)
            shares = (100 * expected.softmax(0)).round().int().tolist()
            cells = figure.locator(".work-bars tr:not(.work-none) td:last-child").all_inner_texts()
            assert cells == [f"{share}%" for share in shares]
            best = expected.argmax()
            assert f"{trained.classes[best]}, {shares[best]}% sure" in answer_of(figure)
            doubts = expected.softmax(0).max() < 0.5
            assert ("Perhaps none of these" in answer_of(figure)) == bool(doubts)


@pytest.mark.parametrize("size", [(32, 32), (100, 75), (75, 100), (20, 33), (65, 64), (640, 427)])
def test_own_picture_is_brought_down_as_python_does_it(
    size: tuple[int, int], show: Any, tmp_path: Path
) -> None:
    figure = show("at_work, awake")
    trained = load_trained(FIRST)
    photo = Image.open(picture("tulip")).convert("RGB").resize(size)
    clear = Image.new("RGBA", size, (0, 80, 200, 0))  # transparent: on white
    clear.paste((200, 0, 0, 255), (size[0] // 3, 0, size[0], size[1] // 2))
    for image in (photo, clear):
        upload(figure, image, tmp_path / "mine.png")
        fed = trained.preprocess(read_image(tmp_path / "mine.png"))
        np.testing.assert_allclose(
            scores_of(figure), predict(trained.model, fed[None])[0], atol=1e-3
        )
    assert figure.locator(".work-pictures input:checked").count() == 0


def test_file_that_is_no_picture_is_named(show: Any) -> None:
    figure = show("at_work, awake")
    before = scores_of(figure)
    sent = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    figure.locator(".work-choose").set_input_files(sent)
    trouble = figure.get_by_role("alert")
    trouble.wait_for()
    assert trouble.inner_text() == "notes.txt is no picture that this browser can read."
    assert scores_of(figure) == before
    show_picture(figure, 1)
    assert trouble.is_hidden()


def boxes_of(figure: Any, pane: str, mark: str) -> list[float]:
    """Return a mark's left, top, right and bottom in shares of its pane."""
    outer = figure.locator(f"{pane} .live-pane").bounding_box()
    box = figure.locator(f"{pane} {mark}").bounding_box()
    left, top = box["x"] - outer["x"], box["y"] - outer["y"]
    ends = [left, top, left + box["width"], top + box["height"]]
    return [end / outer["width"] for end in ends]


def assert_patch_is_cut_out(figure: Any, ends: list[tuple[float, float]], field: int) -> None:
    """The patch shows the pixels of the picture that the unit sees, as large as fits."""
    read = """canvas => {
      const { width, height } = canvas;
      const copy = Object.assign(document.createElement('canvas'), { width, height });
      const paper = copy.getContext('2d', { willReadFrequently: true });
      paper.drawImage(canvas, 0, 0);
      return [width, ...paper.getImageData(0, 0, width, height).data];
    }"""
    side, *seen = figure.locator(".work-seen canvas").first.evaluate(read)
    width, *cut = figure.locator(".work-patch canvas").evaluate(read)
    assert figure.locator(".work-patch figcaption").inner_text() == f"It sees {field}x{field}"
    (top, bottom), (left, right) = (
        (max(0, round(begin)), min(side, round(end))) for begin, end in ends
    )
    expected = np.zeros((width, width, 4))
    expected[: bottom - top, : right - left] = np.reshape(seen, (side, side, 4))[
        top:bottom, left:right
    ]
    assert width == max(bottom - top, right - left)
    np.testing.assert_array_equal(np.reshape(cut, (width, width, 4)), expected)


def test_unit_shows_its_value_its_field_and_the_strongest_map(show: Any) -> None:
    figure = show("at_work, awake")
    data = figure.evaluate("figure => JSON.parse(figure.dataset.figure)")
    trained = load_trained(FIRST)
    data["pictures"][0]["seen"] = figure.locator(".live-static img").nth(1).get_attribute("src")
    maps = maps_of(trained, trained.preprocess(fed_by(data, 0)))
    rows = receptive_field(trained.model.features)
    slider = figure.get_by_role("slider")
    slider.press("Home")
    one, every = figure.locator(".work-one .live-grip"), figure.locator(".work-all .live-grip")
    aim: list[float] = []  # in pixels
    for layer, values in zip(rows, maps, strict=True):
        assert slider.get_attribute("aria-valuetext").startswith(
            f"{layer.name}: {len(values)} maps"
        )
        at, *place = (int(n) - 1 for n in re.findall(r"(?:map|row|column) (\d+)", said(figure))[:3])
        assert values[at, place[0], place[1]] == pytest.approx(
            values[:, place[0], place[1]].max().item(), abs=1e-3
        )
        for index, pixel in zip(place, aim or [], strict=False):  # the place stays
            near = abs(sum(layer.interval(index)) / 2 - pixel) <= layer.jump / 2
            assert near or index in (0, values.shape[1] - 1)
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowLeft"):
            one.press(key)
            every.press(key)
            at, row, column = (
                int(n) - 1 for n in re.findall(r"(?:map|row|column) (\d+)", said(figure))[:3]
            )
            value = float(figure.locator(".live-says").get_attribute("data-value"))
            assert value == pytest.approx(values[at, row, column].item(), abs=1e-3)
            ends = [layer.interval(row), layer.interval(column)]
            found = figure.locator(".work-seen .work-field").get_attribute("data-value")
            assert [float(n) for n in found.split(",")] == [
                *(ends[0][0], ends[1][0], layer.receptive_field)
            ]
            (top, bottom), (left, right) = np.clip(ends, 0, 32) / 32
            box = boxes_of(figure, ".work-seen", ".work-field")
            assert box == pytest.approx([left, top, right, bottom], abs=0.01)
            assert_patch_is_cut_out(figure, ends, layer.receptive_field)
            share = 160 / 240  # the middle square of the photograph
            inside = [0.5 + share * (end - 0.5) for end in (left, top, right, bottom)]
            assert boxes_of(figure, ".work-source", ".work-field") == pytest.approx(
                inside, abs=0.01
            )
            most = values[:, row, column].max().item()
            if values[at, row, column] < most:
                named = int(re.search(r"strongest map there is (\d+)", said(figure))[1]) - 1
                assert values[named, row, column].item() == pytest.approx(most, abs=1e-3)
        button = figure.get_by_role("button", name="Go to the strongest map there")
        if button.is_enabled():
            button.press("Enter")
        assert "No other map is stronger there" in said(figure)
        aim = [sum(layer.interval(index)) / 2 for index in (row, column)]
        slider.press("ArrowRight")
    assert boxes_of(figure, ".work-source", ".work-crop") == pytest.approx(
        [1 / 6, 1 / 6, 5 / 6, 5 / 6], abs=0.01
    )


def test_unit_follows_the_pointer(show: Any) -> None:
    figure = show("at_work, awake", width=390)
    figure.get_by_role("slider").press("Home")
    figure.locator(".work-one").scroll_into_view_if_needed()
    box = figure.locator(".work-one .live-pane").bounding_box()
    cell = box["width"] / 32
    figure.page.touchscreen.tap(box["x"] + 7.5 * cell, box["y"] + 20.5 * cell)
    assert "row 21, column 8:" in said(figure)
    box = figure.locator(".work-all .live-pane").bounding_box()
    tile = box["width"] / 8  # sixteen maps in two rows
    figure.page.touchscreen.tap(box["x"] + 2.5 * tile, box["y"] + 1.5 * tile)
    assert "map 11, row 21, column 8:" in said(figure)


def test_evidence_is_where_covering_costs_most(show: Any) -> None:
    figure = show("at_work, awake")
    data = figure.evaluate("figure => JSON.parse(figure.dataset.figure)")
    trained = load_trained(FIRST)
    button = figure.get_by_role("button", name="Find the evidence")
    for index in (2, 5):
        show_picture(figure, index)
        figure.page.evaluate(
            "window.turns = 0; clearInterval(window.beat);"
            "window.beat = setInterval(() => { window.turns += 1; })"
        )
        button.press("Enter")
        heat = figure.locator(".work-heat[data-value]")
        heat.wait_for()
        assert figure.page.evaluate("window.turns") > 2  # meanwhile the page goes on
        fed = trained.preprocess(fed_by(data, index))[None]
        best = int(predict(trained.model, fed).argmax())
        falls = occlusion(trained.model, fed, 8, 4)[0, best]
        found = [float(value) for value in heat.get_attribute("data-value").split(",")]
        np.testing.assert_allclose(found, falls.flatten(), atol=1e-3)
        top, left = divmod(int(falls.argmax()), falls.shape[1])
        rows = f"rows {4 * top + 1} to {4 * top + 8}, columns {4 * left + 1} to {4 * left + 8}"
        assert rows in answer_of(figure)
        hidden = fed.clone()
        hidden[:, :, 4 * top : 4 * top + 8, 4 * left : 4 * left + 8] = 0
        shares = [predict(trained.model, x).softmax(1)[0, best] for x in (fed, hidden)]
        assert "from {:.0%} to {:.0%}".format(*shares) in answer_of(figure)
    button.press("Enter")
    show_picture(figure, 6)  # another picture stops it
    before = answer_of(figure)
    figure.page.wait_for_timeout(300)
    assert figure.locator(".work-heat[data-value]").count() == 0
    assert button.is_enabled() and answer_of(figure) == before


def test_low_confidence_says_none_of_these(show: Any, tmp_path: Path) -> None:
    figure = show("at_work, awake")
    before = scores_of(figure)
    assert figure.get_by_text("none of these?").count() == 0
    figure.get_by_label("Random weights").check()
    wait_for_other_scores(figure, before)
    assert figure.get_by_text("none of these?").is_visible()
    assert "They’ve learnt nothing" in answer_of(figure)
    random = scores_of(figure)
    figure.get_by_label("Random weights").uncheck()
    wait_for_other_scores(figure, random)
    assert scores_of(figure) == before
    for level in range(0, 256, 15):  # a flat grey that it can't be sure of
        if "Perhaps none of these" in answer_of(figure):
            break
        upload(
            figure, Image.new("RGB", (32, 32), (level, level, 255 - level)), tmp_path / "flat.png"
        )
    else:
        pytest.fail("it's sure of every colour")
    bins = [each for each in OWN[FIRST]["calibration"] if each["confidence"] < 50]
    below, images = (
        sum(each["images"] * each.get(key, 1) for each in bins) for key in ("right", "")
    )
    assert f"right about {round(below / images)} of 100" in answer_of(figure)


def test_drawing_by_pointer_and_by_keyboard(show: Any) -> None:
    figure = show("at_work, awake")
    page = figure.page
    before = scores_of(figure)
    figure.get_by_role("button", name="Draw").press("Enter")
    wait_for_other_scores(figure, before)
    trained = load_trained(FIRST)
    white = predict(trained.model, trained.preprocess(torch.ones(3, 32, 32))[None])[0]
    np.testing.assert_allclose(scores_of(figure), white, atol=1e-3)
    pen = figure.locator(".work-pen")
    for keys, draws, label in (
        ([*["ArrowLeft"] * 3, "ArrowUp"], False, "Pen up, 37% across, 46% down."),
        ([" "], True, "Pen down, 37% across, 46% down."),  # a dot
        (["ArrowRight"] * 6, True, "Pen down, 62% across, 46% down."),
        ([" ", *["ArrowDown"] * 3], False, "Pen up, 62% across, 58% down."),
    ):
        before = scores_of(figure)
        for key in keys:
            pen.press(key)
        figure.locator(f'.work-pen[aria-label^="{label}"]').wait_for()
        assert (scores_of(figure) != before) == draws, keys
    choose(figure, "Blue")
    figure.get_by_role("button", name="Fill the sheet").click()
    blue = torch.tensor([0x4A, 0x90, 0xD9])[:, None, None].expand(3, 32, 32) / 255
    expected = predict(trained.model, trained.preprocess(blue)[None])[0]
    np.testing.assert_allclose(scores_of(figure), expected, atol=1e-3)
    choose(figure, "Black")
    box = figure.locator(".work-source .live-pane").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    page.mouse.move(box["x"] + 20, box["y"] + 20)  # the pen is up
    dark = figure.locator(".work-seen canvas").first.evaluate(
        "e => [...e.getContext('2d').getImageData(0, 0, 32, 32).data].filter((_, i) => i % 4 === 0)"
    )
    dark = np.reshape(dark, (32, 32)) < 20
    assert dark[15:17, 5:27].all() and not dark[:13].any() and not dark[19:].any()
    show_picture(figure, 1)
    assert figure.locator(".work-inks").is_hidden() and pen.is_hidden()


def test_drawing_by_touch_leaves_the_page_where_it_is(show: Any) -> None:
    figure = show("at_work, awake", width=390)
    figure.get_by_role("button", name="Draw").click()
    figure.locator(".work-source").scroll_into_view_if_needed()
    before, scrolled = scores_of(figure), figure.page.evaluate("window.scrollY")
    box = figure.locator(".work-source .live-pane").bounding_box()
    touch = figure.page.context.new_cdp_session(figure.page)
    for kind, share in (("Start", 0.2), ("Move", 0.4), ("Move", 0.8), ("End", 0)):
        point = {"x": box["x"] + share * box["width"], "y": box["y"] + share * box["height"]}
        points = [] if kind == "End" else [point]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    wait_for_other_scores(figure, before)
    assert figure.page.evaluate("window.scrollY") == scrolled


CAMERA = """colour => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
  const brush = canvas.getContext('2d');
  setInterval(() => { brush.fillStyle = colour; brush.fillRect(0, 0, 64, 48); }, 20);
  navigator.mediaDevices.getUserMedia = async () => (window.stream = canvas.captureStream(30));
}"""


def test_camera_runs_until_it_is_stopped(show: Any) -> None:
    figure = show("at_work, awake")
    before = scores_of(figure)
    figure.page.evaluate(CAMERA, "#20a040")
    button = figure.get_by_role("button", name="Camera")
    button.click()
    wait_for_other_scores(figure, before)
    assert figure.locator(".work-answer").get_attribute("aria-live") == "off"
    seen = figure.locator(".work-seen canvas").first.evaluate(
        "e => [...e.getContext('2d').getImageData(16, 16, 1, 1).data]"
    )
    np.testing.assert_allclose(seen, [0x20, 0xA0, 0x40, 255], atol=6)  # by way of a video
    figure.get_by_role("button", name="Stop").click()
    assert figure.page.evaluate("stream.getTracks().every(track => track.readyState === 'ended')")
    assert figure.locator(".work-answer").get_attribute("aria-live") is None
    after = scores_of(figure)
    button.click()
    show_picture(figure, 2)  # another picture stops it too
    figure.page.wait_for_timeout(200)
    assert figure.page.evaluate("stream.getTracks().every(track => track.readyState === 'ended')")
    assert scores_of(figure) not in (after, before)


def test_camera_that_is_refused_is_said(show: Any) -> None:
    figure = show("at_work, awake")
    figure.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no')); }"
    )
    figure.get_by_role("button", name="Camera").click()
    figure.get_by_role("alert").wait_for()
    assert figure.get_by_role("alert").inner_text().startswith("No camera answers")


def test_asleep_figure_says_what_is_missing(show: Any) -> None:
    figure = show("at_work")
    button = figure.get_by_role("button")
    first = FIRST
    assert button.inner_text() == f"Run it here ({OWN[first]['bytes'] / 1e6:.1f} MB)"
    shown = figure.locator(".work-asleep table").inner_text()
    trained = load_trained(first)
    shares, found = (
        predict(trained.model, trained.preprocess(read_image(picture("cat")))[None])[0]
        .softmax(0)
        .topk(3)
    )
    wanted = [f"{trained.classes[k]}\t{share:.0%}" for k, share in zip(found, shares, strict=True)]
    assert shown.splitlines() == wanted
    button.press("Enter")
    figure.get_by_role("alert").wait_for()
    assert f'show_at_work("{first}")' in figure.get_by_role("alert").inner_text()
    assert button.inner_text() == "Try again" and button.is_enabled()
    figure.page.evaluate(handed_over(first)[len("<script>") : -len("</script>")])
    button.press("Enter")
    figure.locator(".work-bars tr").first.wait_for()
    focused = figure.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "cat"


def test_broken_weights_are_said(show: Any) -> None:
    figure = show("at_work")
    name = FIRST
    figure.page.evaluate("name => { window.bookWeights = { [name]: btoa('no zip') }; }", name)
    figure.get_by_role("button").click()
    figure.get_by_role("alert").wait_for()
    assert figure.get_by_role("alert").inner_text() == "The weights didn’t load: no zip file"


def test_notebook_hands_weights_over_and_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Handle:
        def update(self, page: Any) -> None:
            told.append(page.data)

    def display(page: Any, display_id: bool = False) -> Handle | None:
        told.append(page.data)
        return Handle() if display_id else None

    monkeypatch.setattr("IPython.display.display", display)
    explorables.show_at_work("A")
    brought, figure, after = told
    assert (WEIGHTS / "A.npz").read_bytes() == base64.b64decode(re.search(r"= '(.+)';", brought)[1])
    assert figure == explorables.at_work() and after == ""
    with pytest.raises(ValueError, match=r"unknown network 'B_no': choose from .*A"):
        explorables.show_at_work("B_no")
