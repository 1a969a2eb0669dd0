"""Write the book's tables of what torchvision's networks see.

    python tools/fields_page.py

It follows each network anew, a minute or so, and renews what stands between the marks in
book/reference/fields.md. A test compares some rows, and a slow one all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from marks import renewed
from torchvision import models

from vgg_utils.network_receptive_field import (
    AxisField,
    Node,
    by_name,
    find,
    network_receptive_field,
)

PAGE = Path(__file__).resolve().parent.parent / "book" / "reference" / "fields.md"
# The module whose output is the last map before pooling, by how a network's name begins.
LAST_MAP = {
    **dict.fromkeys(["alexnet", "convnext", "densenet", "efficientnet", "mobilenet"], "features"),
    **dict.fromkeys(["squeezenet", "swin", "vgg"], "features"),
    **dict.fromkeys(["resnet", "resnext", "wide_resnet"], "layer4"),
    **{"googlenet": "inception5b", "inception_v3": "Mixed_7c", "maxvit": "blocks.3"},
    **{"mnasnet": "layers", "regnet": "trunk_output", "shufflenet": "conv5", "vit": "encoder"},
}
JUMPS = (2, 4, 8, 16, 32)  # of the columns
# The side of the input where it is not 224 pixels.
SIDES = {"inception_v3": 299, "ssd300": 300, "ssdlite320": 320, "swin_v2": 256}


def of_family(table: dict[str, Any], name: str) -> Any:
    """Return the entry whose key a network's name begins with."""
    return next((value for key, value in table.items() if name.startswith(key)), None)


def last_map(name: str) -> str:
    """Return the module of a classifier whose output is its last map."""
    module = of_family(LAST_MAP, name)
    if module is None:
        raise ValueError(f"say in LAST_MAP which module of {name} has the last map")
    return module


def trunk(name: str) -> str:
    """Return the last map of a segmenter's trunk."""
    return "backbone.high" if name.startswith("lraspp") else "backbone.out"


def follow(name: str) -> list[Node]:
    """Return what the maps of a network of torchvision's see, of an input of its usual size."""
    return network_receptive_field(by_name(name), of_family(SIDES, name) or 224)


def seen(axis: AxisField) -> str:
    return "all" if axis.is_global else str(axis.field)


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def stages(nodes: Sequence[Node], last: Node) -> list[str]:
    """Return the widest field of the maps of each jump, up to the last map.

    A jump between two columns counts with the larger one.
    """
    cells = dict.fromkeys(JUMPS, "–")
    for node in nodes[: nodes.index(last) + 1]:
        axis = node.axes[0]
        if axis.jump and axis.field and axis.jump > 1 and not axis.is_global:
            column = next(jump for jump in JUMPS if jump >= axis.jump)
            before = cells[column]
            cells[column] = str(max(axis.field, 0 if before == "–" else int(before)))
    if last.axes[0].is_global:
        cells[JUMPS[-1]] = "all"
    return [*cells.values()]


def module(nodes: Sequence[Node]) -> str:
    """Return the part of a network in which the first of some nodes lies."""
    return f"`{'.'.join(nodes[0].name.split('.')[:2])}`" if nodes else "–"


@cache
def followed(name: str) -> tuple[list[str], list[str]]:
    """Return what a classifier's last map sees, and from where on its places see everything."""
    nodes = follow(name)
    last = find(nodes, last_map(name))
    before = nodes[: nodes.index(last) + 1]
    axis = last.axes[0]
    at_once = module([node for node in before if node.axes[0].is_global])
    by_pixels = module([node for node in before if all(one.sees_all for one in node.axes)])
    fields = [*stages(nodes, last), str(axis.narrowest), number(axis.start)]
    return fields, [at_once, by_pixels]


def classifier(name: str) -> list[str]:
    return followed(name)[0]


def everything(name: str) -> list[str]:
    return followed(name)[1]


def segmenter(name: str) -> list[str]:
    nodes = follow(name)
    last, out = (find(nodes, at).axes[0] for at in (trunk(name), "output.out"))
    before = [seen(last), str(last.narrowest), number(last.jump), number(last.start)]
    return [*before, seen(out), str(out.narrowest)]


def detector(name: str) -> list[str]:
    """Return field and narrowest of the maps that a trunk hands on, the finest first."""
    axes = [node.axes[0] for node in follow(name) if node.operation == "output"]
    maps = [f"{seen(axis)} ({axis.narrowest})" for axis in axes]
    aligned = [{True: "yes", False: "no", None: "–"}[axis.aligned] for axis in axes]
    return [", ".join(maps), ", ".join(aligned)]


KINDS = {
    "classification": (
        classifier,
        models.list_models(models),
        [*map(str, JUMPS), "narrowest", "start"],
    ),
    "everything": (
        everything,
        models.list_models(models),
        ["looks at the whole map at once from", "every place sees everything from"],
    ),
    "segmentation": (
        segmenter,
        models.list_models(models.segmentation),
        ["trunk: field", "narrowest", "jump", "start", "output: field", "narrowest"],
    ),
    "detection": (
        detector,
        models.list_models(models.detection),
        ["maps: field (narrowest)", "branches aligned"],
    ),
}


def table(kind: str) -> str:
    """Return a Markdown table; networks that see the same share a row."""
    make, names, heads = KINDS[kind]
    rows: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        rows.setdefault(tuple(make(name)), []).append(name)
    lines = [["networks", *heads], ["---"] * (len(heads) + 1)]
    lines += [[", ".join(names), *cells] for cells, names in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(text: str) -> str:
    """Return the page's text with what stands between the marks renewed."""
    return renewed(text, {kind: table(kind) for kind in KINDS})


def main() -> int:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
