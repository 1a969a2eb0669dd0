"""The tables of what torchvision's networks see: the page, and the networks' own gradients."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torchvision import models
from torchvision.ops import SqueezeExcitation

from vgg_utils.network_receptive_field import Node, by_name, find, network_receptive_field

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import fields_page  # noqa: E402

TEXT = fields_page.PAGE.read_text(encoding="utf-8")
EVERYTHING, ROWS = (
    {
        name: (kind, tuple(cells))
        for kind in kinds
        for line in TEXT.split(f"<!-- {kind} -->")[1].split("<!-- end of")[0].splitlines()[3:]
        for names, *cells in [[cell.strip() for cell in line.strip("|").split("|")]]
        for name in names.split(", ")
    }
    for kinds in (["everything"], [kind for kind in fields_page.KINDS if kind != "everything"])
)
ONE_SIZE = ("maxvit", "ssd", "swin", "vit")  # made for one size of the input
LARGEST = 145e6  # parameters, more than a gigabyte in double precision


def test_page_has_every_network_of_torchvision() -> None:
    listed = (models, models.segmentation, models.detection)
    assert {name for module in listed for name in models.list_models(module)} <= set(ROWS)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "vgg11", "fcn_resnet50", "ssd300_vgg16"]
)
def test_rows_of_the_page_are_the_tool_s(name: str) -> None:
    """If this fails: python tools/fields_page.py"""
    for kind, cells in (table[name] for table in (ROWS, EVERYTHING) if name in table):
        assert tuple(fields_page.KINDS[kind][0](name)) == cells


def test_network_that_is_new_to_the_tool_is_told() -> None:
    with pytest.raises(ValueError, match="LAST_MAP which module of newnet"):
        fields_page.last_map("newnet")


@pytest.mark.slow
def test_all_tables_are_the_tool_s() -> None:
    assert fields_page.with_tables(TEXT) == TEXT


class Open(TorchFunctionMode):
    """No path is shut: averages for maxima, and no scaling by the channels of a place.

    The sum of a place's channels would not change with a pixel once they are scaled to a mean of 0
    or a length of 1.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.layer_norm, F.normalize):
            return args[0]
        if getattr(func, "__name__", "") in ("max_pool2d", "boolean_dispatch"):
            x, kernel, *more = args
            stride = more[0] if more else kwargs.get("stride")
            padding = more[1] if len(more) > 1 else kwargs.get("padding", 0)
            assert kwargs.get("dilation", 1) == 1
            return F.avg_pool2d(x, kernel, stride, padding, kwargs.get("ceil_mode", False))
        return func(*args, **kwargs)


def opened(name: str, tensor: Tensor) -> Tensor:
    """Return positive weights that keep the size of a signal, and biases of 0."""
    if not tensor.is_floating_point():
        return tensor
    if "bias" in name or "running_mean" in name:
        return torch.zeros(tensor.shape, dtype=torch.double)
    each = tensor[0].numel() if tensor.dim() > 1 else 1
    return torch.full(tensor.shape, 1 / each, dtype=torch.double)


def targets(name: str) -> list[str]:
    """Return the nodes of a network that its row is about."""
    kind = ROWS[name][0]
    if kind == "classification":
        return [fields_page.last_map(name)]
    if kind == "segmentation":
        return [fields_page.trunk(name), "output.out"]
    return [node.name for node in fields_page.follow(name) if node.operation == "output"]


def columns(name: str, nodes: list[Node], modules: set[str]) -> list[str]:
    """Return modules whose outputs see what the columns of a classifier's row say."""
    found = []
    for jump, cell in zip(fields_page.JUMPS, ROWS[name][1], strict=False):
        widest = [
            path
            for node in nodes
            if node.axes[0].jump == jump and str(node.axes[0].field) == cell
            for path in (node.name, *node.output_of)
            if path in modules and find(nodes, path) is node
        ]
        found += widest[:1]
        assert widest or cell in ("–", "all") or jump == 32, (name, jump)
    return found


def image_for(name: str) -> Tensor:
    """Return an image so tall that a place in the middle meets no border above or below.

    Its pixels are so small that no gate saturates, and no attention prefers a place.
    """
    sides = (fields_page.of_family(fields_page.SIDES, name) or 224,) * 2
    if not name.startswith(ONE_SIZE):
        nodes = fields_page.follow(name)
        axes = [find(nodes, target).axes[0] for target in targets(name)]
        field = max(axis.field or 0 for axis in axes)
        narrow = 96 if name.startswith(("alexnet", "inception", "squeezenet")) else 32
        sides = (-(-(field + 256) // 128) * 128, narrow)
    return torch.full((1, 3, *sides), 1e-20, dtype=torch.double, requires_grad=True)


def maps_of(
    wanted: list[str], model: nn.Module, image: Tensor, shut: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Run an opened network; return the maps of some nodes, by their names.

    The weights whose names begin as one of `shut` are 0.
    """
    found: dict[str, Any] = {}
    for module in {target.partition(".out")[0].partition(".high")[0] for target in wanted}:
        if not module.startswith("output"):
            inner = model.get_submodule(module)
            inner.register_forward_hook(
                lambda *call, module=module: found.update({module: call[2]})
            )
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    weights = {
        key: opened(key, tensor) * (0 if key.startswith(tuple(shut)) else 1)
        for key, tensor in weights.items()
    }
    with Open():
        found["output"] = torch.func.functional_call(model.eval(), weights, (image,))
    for key, value in [*found.items()]:
        found |= {f"{key}.{k}": one for k, one in value.items()} if isinstance(value, dict) else {}
    return {target: found[target] for target in wanted}


def rows_seen(values: Tensor, image: Tensor, place: tuple[Any, ...], least: float = 0) -> list[int]:
    """Return the first and last row of an image that a place of a map sees.

    What weighs less than a share `least` of the most is no sight.
    """
    (gradient,) = torch.autograd.grad(values[place].sum(), image, retain_graph=True)
    rows = gradient[0].abs().sum((0, 2))
    rows = (rows > least * rows.max()).nonzero().ravel()
    return [int(rows[0]), int(rows[-1])]


def size_of(name: str) -> int:
    return sum(parameter.numel() for parameter in by_name(name).parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_middle_place_sees_what_the_table_says(name: str) -> None:
    model = by_name(name)
    if name == "vit_h_14":
        model.encoder.layers = model.encoder.layers[:2]  # of 32 alike
    elif size_of(name) > LARGEST:
        assert min(size_of(other) for other in ROWS if ROWS[other] == ROWS[name]) <= LARGEST
        pytest.skip("a smaller network with the same row is asked")
    image = image_for(name)
    usual, nodes = fields_page.follow(name), network_receptive_field(model, image.shape[2:])
    wanted = targets(name)
    if ROWS[name][0] == "classification" and not name.startswith(ONE_SIZE):
        wanted = [*wanted, *columns(name, usual, {path for path, _ in model.named_modules()})]
    for target, values in maps_of(wanted, model, image).items():
        channels = values.dim() - 1 if name.startswith(("swin", "vit")) else 1
        middle = [slice(None) if k == channels else n // 2 for k, n in enumerate(values.shape)]
        middle[0] = 0
        rows = rows_seen(values, image, tuple(middle))
        axis = find(nodes, target).axes[0]
        assert axis.aligned is not False or ROWS[name][0] != "classification"
        told = axis.pixels.reshape(-1, 2)
        if not axis.is_global:
            told = np.broadcast_to(axis.pixels, (*values.shape, 2))[tuple(middle)]
        assert (told == rows).all(), target
        field = find(usual, target).axes[0].field or 0
        seen, side = rows[1] - rows[0] + 1, image.shape[2]
        assert seen == (side if axis.is_global else min(field, side)), target


def passed_by_a_skip(model: nn.Module) -> list[str]:
    """Return how the names of the last weights in branches begin that a skip passes."""
    found = []
    for name, block in model.named_modules():
        kind, layers = type(block).__name__, [path for path, _ in block.named_modules()]
        if kind in ("BasicBlock", "Bottleneck"):
            found.append(f"{name}.{'bn3' if kind == 'Bottleneck' else 'bn2'}.")
        elif kind == "_DenseLayer":
            found.append(f"{name}.conv2.")
        elif getattr(block, "use_res_connect", False) or getattr(block, "apply_residual", False):
            norms = [
                path for path in layers if isinstance(block.get_submodule(path), nn.BatchNorm2d)
            ]
            found.append(f"{name}.{norms[-1]}.")
    return found


FAMILIES = ("resnet", "resnext", "wide_resnet", "densenet", "efficientnet", "mobilenet", "mnasnet")
QUICK = ("resnet18", "densenet121", "efficientnet_b0", "mobilenet_v3_small")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name, (kind, _) in ROWS.items()
        if kind == "classification" and name.startswith(FAMILIES)
    ],
)
def test_narrowest_field_is_what_is_left_without_the_branches_that_skips_pass(name: str) -> None:
    model = by_name(name)
    for module in model.modules():
        if isinstance(module, SqueezeExcitation):
            module.forward = lambda x: x
    image = torch.full((1, 3, 512, 64), 1e-20, dtype=torch.double, requires_grad=True)
    ((_, values),) = maps_of(targets(name), model, image, passed_by_a_skip(model)).items()
    first, last = rows_seen(values, image, (0, slice(None), values.shape[2] // 2, 1))
    narrowest = ROWS[name][1][len(fields_page.JUMPS)]
    assert str(last - first + 1) == narrowest
    assert first > 0 and last < 511


@pytest.mark.slow
def test_corners_see_all_of_a_densenet_where_the_page_says_and_not_before() -> None:
    nodes, model = fields_page.follow("densenet121"), by_name("densenet121")
    modules = {path for path, _ in model.named_modules()}
    made = [node for node in nodes if node.name in modules]
    first = next(k for k, node in enumerate(made) if all(axis.sees_all for axis in node.axes))
    before, after = made[first - 1].name, made[first].name
    assert EVERYTHING["densenet121"][1][-1] == f"`{after.rsplit('.', 2)[0]}`"
    image = torch.full((1, 3, 224, 224), 1e-20, dtype=torch.double, requires_grad=True)
    maps = maps_of([before, after], model, image)
    corners = [(0, slice(None), k, k) for k in (0, -1)]
    saw = {at: [rows_seen(maps[at], image, corner) for corner in corners] for at in maps}
    assert saw[after] == [[0, 223]] * 2 != saw[before]


@pytest.mark.slow
def test_places_of_swin_see_all_two_blocks_after_the_tool_says_so() -> None:
    """The mask of shifted windows leaves a weight of exp(-100), which is no sight."""
    nodes, model = fields_page.follow("swin_t"), by_name("swin_t")
    told = [all(axis.sees_all for axis in find(nodes, f"features.{k}").axes) for k in ("3", "5.0")]
    assert told == [False, True]
    image = torch.full((1, 3, 224, 224), 1e-20, dtype=torch.double, requires_grad=True)
    maps = maps_of(["features.5.1", "features.5.2"], model, image)
    before, after = (
        [rows_seen(values, image, (0, row, 0), 1e-30) for row in (0, 6, 7, 13)]
        for values in maps.values()
    )
    assert after == [[0, 223]] * 4 != before
