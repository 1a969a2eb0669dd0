"""Live figures: pages of plain HTML and script, filled in by a function each.

Show one in a notebook with `IPython.display.HTML(convolution())`. The receptive-field explorer's
function stands in `vgg_utils.plots`.
"""

from __future__ import annotations

import base64
import html
import io
import json
from importlib.resources import files
from typing import Any

import torch
from PIL import Image, ImageOps

from vgg_utils.configs import layer_configs
from vgg_utils.model import VGGNet, weight_layers
from vgg_utils.pictures import picture


def explorable(name: str, **data: Any) -> str:
    """Return a live figure as HTML: the file of that name with its data, and the look of all.

    In the file `{{key}}` stands for a value, and `{{data}}` for all of them as JSON.
    """
    folder = files(__name__)
    page = folder.joinpath(f"{name}.html").read_text("utf-8")
    look = folder.joinpath("look.html").read_text("utf-8")
    texts = {"look": look, "data": html.escape(json.dumps(data)).replace("&quot;", '"'), **data}
    for key, value in texts.items():
        page = page.replace("{{" + key + "}}", str(value))
    return page


def embedded(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """Return a picture as an address that holds it."""
    file = io.BytesIO()
    image.save(file, kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def convolution() -> str:
    """Drag a window of 3x3 over a cat's eye: nine products, their sum, one to three layers."""
    eye = Image.open(picture("cat")).convert("L").crop((110, 60, 220, 170))
    eye = ImageOps.autocontrast(eye.resize((24, 24), Image.Resampling.BOX))
    return explorable("convolution", pixels=list(eye.tobytes()), photo=embedded(eye))


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
