"""Live figures: pages of plain HTML and script, filled in by a function each.

Show one in a notebook with `IPython.display.HTML(convolution())`, and the network at work, which
needs weights, with `show_at_work()`. The receptive-field explorer's function stands in
`vgg_utils.plots`.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import torch
from PIL import Image, ImageOps

from vgg_utils.configs import layer_configs
from vgg_utils.evaluation import predict
from vgg_utils.images import read_image
from vgg_utils.model import VGGNet, weight_layers
from vgg_utils.pictures import picture, thumbnails
from vgg_utils.records import load_record
from vgg_utils.trained import WEIGHTS, load_trained


def explorable(name: str, parts: Mapping[str, str] | None = None, **data: Any) -> str:
    """Return a live figure as HTML: the file of that name with its data, and what figures share.

    In the file `{{data}}` stands for the data as JSON, `{{key}}` for one of them or of the `parts`,
    `{{look}}` for the look of all, and `{{network}}` for the script that runs a network.
    """
    folder = files(__name__)
    page = folder.joinpath(f"{name}.html").read_text("utf-8")
    texts = {
        "look": folder.joinpath("look.html").read_text("utf-8"),
        "network": folder.joinpath("network.js").read_text("utf-8"),
        "data": html.escape(json.dumps(data)).replace("&quot;", '"'),
    }
    for key, value in {**texts, **data, **(parts or {})}.items():
        page = page.replace("{{" + key + "}}", str(value))
    return page


def embedded(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """Return a picture as an address that holds it."""
    file = io.BytesIO()
    image.save(file, kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def convolution() -> str:
    """Drag a window of 3x3 over a cat's eye: nine products, their sum, one to three layers.

    One window is learned: of A's first layer, its three colours added up, in whole numbers.
    """
    eye = Image.open(picture("cat")).convert("L").crop((110, 60, 220, 170))
    eye = ImageOps.autocontrast(eye.resize((24, 24), Image.Resampling.BOX))
    learned = weight_layers(load_trained("A").model)["conv1_1"].weight[4].detach().sum(0)
    whole = (8 * learned / learned.abs().max()).round().int().flatten().tolist()
    parts = {"photo": embedded(eye)}
    return explorable("convolution", parts, pixels=list(eye.tobytes()), learned=whole)


def configuration() -> str:
    """Add, remove, change and reorder layers, and see what that costs and what the net sees."""
    presets = {name: layers for name, layers in layer_configs.items() if "LRN" not in layers}
    return explorable("configuration", presets=presets)


def signal() -> str:
    """Choose depth, weights and pixels, and see the size of the signal after each layer."""
    nets = {}
    for name in "ABDE":
        with torch.device("meta"):
            layers = weight_layers(VGGNet(layer_config=name, init="pytorch"))
        weights = {layer: module.weight for layer, module in layers.items()}
        nets[name] = [(key, w[0].numel(), w[:, 0].numel()) for key, w in weights.items()]
    return explorable("signal", nets=nets)


def dense() -> str:
    """Slide the window of fc6 over the last map of a larger photograph."""
    photo = Image.open(picture("cat")).resize((361, 240))
    return explorable("dense", photo=embedded(photo, "JPEG", quality=60))


def seeds() -> str:
    """Draw 2 to 100 seeds of two networks, and see whether they can be told apart."""
    return explorable("seeds")


def at_work() -> str:
    """Let one of the book's networks name photographs, drawings, or pictures of the reader's own.

    The weights are not in it: on the site they lie beside the pages, and in a notebook
    `show_at_work` hands them over.
    """
    card = load_record("networks")["networks"]
    first = load_trained(next(iter(card)))
    mean = torch.tensor(first.preprocess.mean)[:, None, None]
    pictures = []
    for name in ("cat", "coffee"):  # what the network is fed of a photograph is handed over as well
        fed = first.preprocess(read_image(picture(name)))
        photo = embedded(Image.open(picture(name)).resize((240, 160)), "WEBP", quality=45)
        pictures.append({"name": name, "photo": photo, "seen": embedded(_image(fed + mean))})
    small = thumbnails()
    for at, name in enumerate(small.classes):
        if name not in ("cat", "dog", "horse"):  # some 2.5 kB each
            pictures.append({"name": name, "seen": embedded(_image(small.images[4 * at]))})
    fed = first.preprocess(read_image(picture("cat")))
    shares, found = predict(first.model, fed[None])[0].softmax(0).topk(3)
    rows = zip([first.classes[index] for index in found], shares.tolist(), strict=True)
    parts = {
        "photo": pictures[0].pop("photo"),  # the script takes these two off the static figure
        "seen": pictures[0].pop("seen"),
        "answer": "".join(f"<tr><th>{name}</th><td>{share:.0%}</td></tr>" for name, share in rows),
        "maps": embedded(_maps(first.model, fed)),
    }
    networks = [_listed(name, one) for name, one in card.items()]
    return explorable("at_work", parts, networks=networks, pictures=pictures)


def show_at_work(*names: str) -> None:
    """Show `at_work` in a notebook, and hand it these networks, by default the first of `OWN`.

    They go from the kernel to the page and are not stored in the notebook: the output that brings
    them is emptied as soon as the figure stands below it.
    """
    from IPython.display import HTML, display

    card = load_record("networks")["networks"]
    script = "(window.bookWeights ??= {{}})[{0!r}] = {1!r};"
    texts = []
    for name in names or [next(iter(card))]:
        if name not in card:
            raise ValueError(f"unknown network {name!r}: choose from {', '.join(card)}")
        weights = base64.b64encode((WEIGHTS / f"{name}.npz").read_bytes()).decode()
        texts.append(script.format(name, weights))
    bringer = display(HTML(f"<script>{''.join(texts)}</script>"), display_id=True)
    display(HTML(at_work()))
    bringer.update(HTML(""))


def _listed(name: str, one: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure says of a network: its card, in short."""
    layers = sum(entry != "M" for entry in layer_configs[one["config"]]) + 3
    label = f"{one['config']}, {layers} layers" + (", batch norm" if one["batch_norm"] else "")
    label += {0.25: ""}.get(one["width"], f", {4 * one['width']:g} times as wide")
    unsure = [each for each in one["calibration"] if each["confidence"] < 50]
    images = sum(each["images"] for each in unsure)
    right = sum(each["images"] * each["right"] for each in unsure) / images
    return {"name": name, "label": label, "bytes": one["bytes"], "right": round(right)}


def _image(pixels: torch.Tensor) -> Image.Image:
    """Return pixels (3, H, W) or (H, W) from 0 to 1 as a picture of 8 bits."""
    values = (pixels * 255).round().clamp(0, 255).byte()
    return Image.fromarray((values.permute(1, 2, 0) if values.dim() == 3 else values).numpy())


def _maps(model: VGGNet, fed: torch.Tensor, columns: int = 8) -> Image.Image:
    """Draw rows of maps, one row a block: those that vary most, white where strongest."""
    rows, x = [], fed[None]
    for layer in model.features:
        if isinstance(layer, torch.nn.MaxPool2d):
            block = x[0].detach()
            rows.append(block[block.flatten(1).std(1).topk(columns).indices])
        x = layer(x)
    side = fed.shape[1] + 4
    sheet = Image.new("LA", (columns * side - 4, len(rows) * side - 4))
    for row, maps in enumerate(rows):
        for column, one in enumerate(maps):
            grey = (15 * one / one.max().clamp(min=1e-9)).round() / 15  # so few take half the bytes
            tile = _image(grey).resize((side - 4, side - 4), Image.Resampling.NEAREST)
            sheet.paste(tile.convert("LA"), (column * side, row * side))
    return sheet
