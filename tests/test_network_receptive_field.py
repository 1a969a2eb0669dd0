"""The receptive field of any network: against gradients, published numbers, and torchvision's nets.

A random graph is drawn operation by operation; hypothesis makes the smallest one that fails.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torchvision import models

from vgg_utils.model import VGGNet
from vgg_utils.network_receptive_field import find, main, network_receptive_field, table
from vgg_utils.receptive_field import receptive_field

CHANNELS = 2
Step = tuple[str, tuple[Any, ...]]


class Graph(nn.Module):
    """Maps made one after the other, each from one or two of those before it.

    Positive weights, and the average where a network has a maximum: no path can cancel or be shut,
    so that the gradient is positive just where an element looks.
    """

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = [image]
        for kind, numbers in self.steps:
            one, other = maps[numbers[0] % len(maps)], maps[numbers[1] % len(maps)]
            found = step(kind, one, other, numbers[2:])
            if (
                found is not None
                and min(found.shape[2:]) > 0
                and found.shape[2] * found.shape[3] < 2000
            ):
                maps.append(found)
        return maps[-1]


def weight(*shape: int, like: torch.Tensor) -> torch.Tensor:
    return torch.ones(shape, dtype=like.dtype, device=like.device)


def step(kind: str, x: torch.Tensor, y: torch.Tensor, n: tuple[int, ...]) -> torch.Tensor | None:
    """Make one map from others, or None where that is not possible."""
    c, h, w = x.shape[1:]
    kernel, stride, padding, dilation = (
        (1 + n[0] % 4, 1 + n[1] % 3),
        (1 + n[2] % 3, 1 + n[3] % 2),
        (n[4] % 3, n[5] % 3),
        (1 + n[6] % 2, 1 + n[7] % 3),
    )
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=False)]
    fits = h + 2 * padding[0] >= spans[0] and w + 2 * padding[1] >= spans[1]
    if kind == "convolution" and fits:
        ones = weight(CHANNELS, c, *kernel, like=x)
        return F.conv2d(x, ones, None, stride, padding, dilation)
    if kind == "transposed":
        ones = weight(c, CHANNELS, *kernel, like=x)
        more = tuple(min(n[0] % 2, s - 1, 1) for s in stride)
        try:
            return F.conv_transpose2d(x, ones, None, stride, padding, more, 1, dilation)
        except RuntimeError:
            return None
    if kind == "pool":
        padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=False))
        if h + 2 * padding[0] >= kernel[0] and w + 2 * padding[1] >= kernel[1]:
            return F.avg_pool2d(x, kernel, stride, padding, ceil_mode=bool(n[6] % 2))
    if kind == "adaptive":
        return F.adaptive_avg_pool2d(x, (1 + n[0] % 6, 1 + n[1] % 7))
    if kind == "interpolate":
        mode = ["nearest", "bilinear", "nearest-exact"][n[0] % 3]
        corners = bool(n[1] % 2) if mode == "bilinear" else None
        if n[2] % 2:
            return F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners)
        return F.interpolate(x, (1 + n[3] % 20, 1 + n[4] % 20), mode=mode, align_corners=corners)
    if kind == "pad":
        mode = ["constant", "reflect", "replicate", "circular"][n[0] % 4]
        edges = [n[k] % 3 for k in range(1, 5)]
        if mode in ("constant", "replicate") or (max(edges[:2]) < w and max(edges[2:]) < h):
            return F.pad(x, edges, mode)
    if kind == "slice":
        return x[:, :, n[0] % h :: 1 + n[1] % 3, n[2] % w :: 1 + n[3] % 2]
    if kind == "flip":
        return x.flip([2 + n[0] % 2])
    if kind == "roll":
        return x.roll((n[0] % 5, n[1] % 5), (2, 3))
    if kind == "turn":
        return x.transpose(2, 3) if h == w else None
    if kind == "shuffle":
        return F.pixel_shuffle(x.repeat(1, 4, 1, 1)[:, : 4 * (c or 1)], 2) if c else None
    if kind == "add" and x.shape[2:] == y.shape[2:]:
        return x.sum(1, keepdim=True) + y
    if kind == "concatenate" and x.shape[2:] == y.shape[2:]:
        return torch.cat([x, y], 1)
    if kind == "end to end" and x.shape[3] == y.shape[3] and c == y.shape[1]:
        return torch.cat([x, y], 2)
    if kind == "write" and x.shape[2:] == y.shape[2:]:
        top, left = n[0] % 3 % h, n[1] % 3 % w
        made = x.clone() if n[2] % 2 else torch.zeros_like(x)
        made[:, :, top :: 1 + n[3] % 2, left:] = y.sum(1, keepdim=True)[
            :, :, : h - top : 1 + n[3] % 2, : w - left
        ]
        return made
    if kind == "change" and x.shape[2:] == y.shape[2:]:
        made = x.clone()
        part = made[:, :, n[0] % h :] if n[1] % 2 else made.flatten(2)[..., : h * w // 2]
        if n[2] % 2:
            part.zero_()
        elif n[1] % 2:
            part.add_(y.sum(1, keepdim=True)[:, :, n[0] % h :])
        else:
            part.mul_(2)
        return made
    if kind == "squeeze":
        return (1 + x) * x.mean((2, 3), keepdim=True)  # a border of zeros must not shut it
    if kind == "rows":
        return x + x.mean(3, keepdim=True)
    if kind == "tokens":
        tokens = x.flatten(2).transpose(1, 2)  # (N, places, channels)
        return (tokens @ weight(c, c, like=x)).transpose(1, 2).reshape(1, c, h, w)
    if kind == "attention":
        tokens = 1 + x.flatten(2).transpose(1, 2)
        return ((tokens @ tokens.transpose(1, 2)) @ tokens).transpose(1, 2).reshape(1, c, h, w)
    if kind == "windows" and h % 2 == 0 and w % 2 == 0:
        parts = x.reshape(1, c, h // 2, 2, w // 2, 2).sum((3, 5), keepdim=True)
        return (parts + x.reshape(1, c, h // 2, 2, w // 2, 2)).reshape(1, c, h, w)
    return None


KINDS = [
    *(
        "convolution",
        "convolution",
        "transposed",
        "pool",
        "adaptive",
        "interpolate",
        "pad",
        "slice",
    ),
    *(
        "flip",
        "roll",
        "turn",
        "shuffle",
        "add",
        "add",
        "concatenate",
        "end to end",
        "squeeze",
        "rows",
    ),
    *("tokens", "attention", "windows", "write", "write", "change"),
]
# A map is taken from the last ones, so that graphs are deep; numbers say the rest.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS), st.tuples(*[st.integers(-3, -1)] * 2, *[st.integers(0, 23)] * 8)
    ),
    min_size=1,
    max_size=7,
)


def seen_by_gradient(graph: Graph, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each place of the output the first and last row, and column, that it sees.

    Each of them (height, width, 2), of -1 where it sees none.
    """
    image = torch.ones(1, CHANNELS, *size, dtype=torch.float64, requires_grad=True)
    output = graph(image)
    rows, columns = (np.full((*output.shape[2:], 2), -1) for _ in range(2))
    for row, column in np.ndindex(*output.shape[2:]):
        total = output[0, :, row, column].sum()
        (gradient,) = torch.autograd.grad(total, image, retain_graph=True, allow_unused=True)
        if gradient is None:
            continue
        seen = gradient[0].sum(0).abs() > 1e-12  # less is rounding
        for ends, dim in ((rows, 1), (columns, 0)):
            there = seen.any(dim).nonzero().ravel()
            if len(there):
                ends[row, column] = there[0], there[-1]
    return rows, columns


def check_against_gradient(steps: list[Step], size: tuple[int, int]) -> None:
    graph = Graph(steps)
    nodes = network_receptive_field(graph, size, in_channels=CHANNELS)
    if not nodes:
        return
    with torch.no_grad():
        height, width = graph(torch.ones(1, CHANNELS, *size)).shape[2:]
    if any("differs along" in axis.unknown for axis in nodes[-1].axes):
        return  # what a window sees of such a map is no rectangle
    if all("nothing that was followed" in axis.unknown for axis in nodes[-1].axes):
        assert all((ends == -1).all() for ends in seen_by_gradient(graph, size))
        return
    assert not any(axis.unknown for axis in nodes[-1].axes)
    shape = (1, CHANNELS, height, width, 2)
    found = [np.broadcast_to(axis.pixels, shape)[0, 0] for axis in nodes[-1].axes]
    nothing = (found[0][..., 0] < 0) | (
        found[1][..., 0] < 0
    )  # seen along one axis alone is not seen
    # At a border, a place may be said to see more than it does: where an element that sees nothing
    # along one axis is added to one that sees something, and where all places have seen the same.
    axes = [axis for node in nodes[:-1] for axis in node.axes]
    exact = not any((axis.pixels < 0).any() or axis.pixels.size == 2 for axis in axes)
    blanks = {("write", 0), ("change", 1)}  # zeros are written over, which is no node
    exact &= not any((kind, numbers[4] % 2) in blanks for kind, numbers in steps[:-1])
    for own, wanted in zip(found, seen_by_gradient(graph, size), strict=True):
        told = np.where(nothing[..., None], -1, own)
        there = wanted >= 0
        assert np.array_equal(told, wanted) or not exact
        assert (told[..., 0] <= wanted[..., 0])[there[..., 0]].all()
        assert (told[..., 1] >= wanted[..., 1])[there[..., 1]].all()


SIZES = st.tuples(st.integers(3, 13), st.integers(3, 13))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(STEPS, SIZES)
def test_every_place_sees_what_its_gradient_shows(steps: list[Step], size: tuple[int, int]) -> None:
    check_against_gradient(steps, size)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, derandomize=True)
@given(STEPS, SIZES)
def test_thousands_of_graphs_see_what_their_gradients_show(
    steps: list[Step], size: tuple[int, int]
) -> None:
    check_against_gradient(steps, size)


@pytest.mark.parametrize("name", "ABCDE")
def test_chain_gives_the_rows_of_the_chain_s_arithmetic(name: str) -> None:
    nodes = network_receptive_field(VGGNet(layer_config=name, width=1 / 16).features, 64)
    windows = [
        node for node in nodes if node.operation in ("convolution", "max_pool2d_with_indices")
    ]
    for node, row in zip(windows, receptive_field(name), strict=True):
        for axis in node.axes:
            found = axis.field, axis.jump, axis.start, axis.narrowest, axis.aligned
            assert found == (row.receptive_field, row.jump, row.start, row.receptive_field, True)


# Araujo, Norris and Sim (2019), Table 1: field, stride and padding.


def same(
    kernel: int, stride: int, channels: int = 1, groups: int = 1, pool: bool = False
) -> nn.Module:
    """TensorFlow's "SAME" for an input that the stride divides: of an odd padding, less before."""
    total = kernel - stride
    pad = nn.ZeroPad2d((total // 2, total - total // 2) * 2)
    layer = nn.MaxPool2d(kernel, stride) if pool else nn.Conv2d(1, 1, kernel, stride)
    return nn.Sequential(pad, layer)


class Unit(nn.Module):
    """A unit of ResNet-50 v1: its stride stands in the 3x3 layer."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        pad = nn.Conv2d(1, 1, 3, stride, 1)
        self.residual = nn.Sequential(nn.Conv2d(1, 1, 1), pad, nn.Conv2d(1, 1, 1))
        self.skip = nn.Conv2d(1, 1, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.residual(x) + self.skip(x))


def resnet_50_v1() -> nn.Module:
    """TF-Slim's: the stride of a block stands in its last unit's 3x3.

    torchvision has it in the next block's first 3x3, and the paper's code in the 1x1 before that.
    """
    units = []
    for count, stride in ((3, 2), (4, 2), (6, 2), (3, 1)):
        units += [Unit(1) for _ in range(count - 1)] + [Unit(stride)]
    return nn.Sequential(nn.Conv2d(1, 1, 7, 2, 3), same(3, 2, pool=True), *units)


def mobilenet_v1() -> nn.Module:
    strides = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]  # a full convolution, 13 depthwise ones
    return nn.Sequential(*(same(3, stride) for stride in strides))


def alexnet_v2() -> nn.Module:
    layers = [nn.Conv2d(1, 1, 11, 4), nn.MaxPool2d(3, 2), nn.Conv2d(1, 1, 5, padding=2)]
    layers += [nn.MaxPool2d(3, 2), *(nn.Conv2d(1, 1, 3, padding=1) for _ in range(3))]
    return nn.Sequential(*layers, nn.MaxPool2d(3, 2))


@pytest.mark.parametrize(
    ("build", "channels", "at", "published"),
    [
        (alexnet_v2, 1, "output", (195, 32, 64)),
        (lambda: VGGNet(layer_config="D", width=1 / 16).features, 3, "output", (212, 32, 90)),
        (
            lambda: models.inception_v3(weights=None, init_weights=False, aux_logits=False),
            3,
            "Mixed_7c",
            (1311, 32, 618),
        ),
        (resnet_50_v1, 1, "output", (483, 32, 239)),
        (mobilenet_v1, 1, "output", (315, 32, 126)),
    ],
    ids=["AlexNet v2", "VGG-16", "Inception v3", "ResNet-50 v1", "MobileNet v1"],
)
def test_published_fields(build: Any, channels: int, at: str, published: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = build()
    node = find(network_receptive_field(model, 320, in_channels=channels), at)
    for axis in node.axes:
        assert axis.field is not None and axis.start is not None
        padding = (axis.field - 1) / 2 + 0.5 - axis.start
        assert (axis.field, axis.jump, padding) == published


def test_skip_keeps_the_narrowest_path_narrow_and_a_squeeze_makes_it_global() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Conv2d(1, 1, 7, padding=3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.wide(x)
            return x * torch.sigmoid(x.mean((2, 3), keepdim=True))

    nodes = network_receptive_field(Block(), 32, in_channels=1)
    joined, last = find(nodes, "add"), find(nodes, "output")
    assert [(a.field, a.narrowest, a.aligned, a.is_global) for a in joined.axes] == [
        (7, 1, True, False)
    ] * 2
    assert joined.path == ("wide", "add")
    assert [(a.is_global, a.narrowest) for a in last.axes] == [(True, 1)] * 2


def test_branches_that_look_at_other_centres_are_told() -> None:
    class Shifted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.avg_pool2d(F.pad(x, (0, 2, 0, 2)), 3, 1) + x

    (axis, _) = find(network_receptive_field(Shifted(), 16), "output").axes
    assert (axis.field, axis.narrowest, axis.aligned) == (3, 1, False)


def test_numbers_that_hold_for_this_size_alone_are_told() -> None:
    fixed = network_receptive_field(nn.AvgPool2d(2), 12)[-1].axes[0]
    adaptive = network_receptive_field(nn.AdaptiveAvgPool2d(6), 12)[-1].axes[0]
    assert (fixed.field, fixed.jump, fixed.for_this_size) == (2, 2, False)
    assert (adaptive.field, adaptive.jump, adaptive.for_this_size) == (2, 2, True)
    uneven = network_receptive_field(nn.AdaptiveAvgPool2d(5), 12)[-1].axes[0]
    assert (uneven.field, uneven.for_this_size) == (4, True)  # 12 * 3 / 5 to 12 * 4 / 5: 7 to 9


class Strange(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.grid_sample(x, torch.zeros(1, 4, 4, 2, device=x.device), align_corners=False) + 1


def test_what_is_not_known_is_named_and_stays_unknown() -> None:
    axis = network_receptive_field(Strange(), 8)[-1].axes[0]
    assert axis.field is None and axis.jump is None
    assert "grid_sampler" in axis.unknown and "is not known" in axis.unknown


class Peeks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.part(x) if x.sum() > 0 else -x


def last_axis(forward: Any, size: int = 12) -> Any:
    """Return the rows' axis of what a function makes of an image of one channel."""

    class Network(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return forward(x)

    return network_receptive_field(Network(), size, in_channels=1)[-1].axes[0]


def blur(x: torch.Tensor, kernel: int = 3, mode: str = "constant") -> torch.Tensor:
    x = F.pad(x, (kernel // 2,) * 4, mode)
    return F.conv2d(x, weight(1, 1, kernel, kernel, like=x))


def written(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros_like(x)
    y[:, :, 1:] = blur(x, 7)[:, :, :-1]
    return blur(x) + blur(y)


def copied(x: torch.Tensor) -> torch.Tensor:
    return blur(torch.empty_like(x).copy_(blur(x)))


def seen_by_a_view(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros_like(x)
    rows = y.view(1, 1, -1)
    y.add_(blur(blur(x)))
    return blur(rows.view(x.shape))


def blanked(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, :, :3] = 0
    return blur(y)


def shifted_channels(x: torch.Tensor) -> torch.Tensor:
    """Two channels look ahead and back, as in networks that shift frames."""
    x = blur(x).repeat(1, 3, 1, 1)
    y = torch.zeros_like(x)
    y[:, :1, :-1], y[:, 1:2, 1:], y[:, 2:] = x[:, :1, 1:], x[:, 1:2, :-1], x[:, 2:]
    return F.conv2d(y, weight(1, 3, 3, 3, like=y), padding=1)


FOLLOWED = {
    "circular": (lambda x: blur(blur(blur(x, 3, "circular"), 3, "circular"), 3, "circular"), 7),
    "circular branch": (lambda x: blur(x) + blur(blur(x, 3, "circular"), 3, "circular"), 5),
    "reflect": (lambda x: blur(blur(x, 5, "reflect"), 3, "reflect"), 7),
    "replicate": (lambda x: blur(blur(x, 5, "replicate"), 3, "replicate"), 7),
    "slice": (written, 9),
    "copy": (copied, 5),
    "add in place": (lambda x: blur(x).add_(blur(blur(x))), 5),
    "view": (seen_by_a_view, 7),
    "blank": (blanked, 3),
    "channels": (shifted_channels, 7),
    "rows of zeros": (lambda x: blur(torch.cat([torch.zeros_like(x[:, :, :2]), x], 2)), 3),
    "stack": (lambda x: torch.stack(blur(x).unbind(2)[::-1], 2), 3),
    "strides": (
        lambda x: blur(torch.as_strided(x.clone(), (1, 1, 9, 12), (144, 144, 12, 1), 24)),
        3,
    ),
    "more": (
        lambda x: torch.addmm(blur(blur(x))[0, 0], x[0, 0], torch.ones_like(x)[0, 0])[None],
        5,
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_written_into_a_tensor_is_seen(name: str) -> None:
    forward, field = FOLLOWED[name]
    axis = last_axis(forward)
    image = torch.ones(1, 1, 12, 12, dtype=torch.double, requires_grad=True)
    output = forward(image * 1)
    told = np.broadcast_to(axis.pixels, (*output.shape, 2))[(0,) * (output.dim() - 2)]
    for row in range(output.shape[-2]):
        (gradient,) = torch.autograd.grad(output[..., row, 5].sum(), image, retain_graph=True)
        rows = gradient.sum((0, 1, 3)).nonzero().ravel().tolist()
        assert [*told[row, 5]] == ([rows[0], rows[-1]] if rows else [-1, -1]), row
    assert axis.field == field


def put(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros_like(x)
    y[:, :, torch.tensor([3, 5], device=x.device)] = blur(x)[:, :, :2]
    return blur(y)


def scattered(x: torch.Tensor) -> torch.Tensor:
    places = torch.arange(11, -1, -1, device=x.device).view(1, 1, 12, 1).expand(x.shape)
    return torch.zeros_like(x).scatter_(2, places, blur(x))


def masked(x: torch.Tensor) -> torch.Tensor:
    y = blur(x)
    y[torch.ones(x.shape, dtype=torch.bool, device=x.device)] = 0
    return y


def in_a_list(x: torch.Tensor) -> torch.Tensor:
    y = blur(x)
    torch._foreach_add_([y], [blur(y)])
    return y


UNKNOWN = {
    "index_put": put,
    "scatter": scattered,
    "index_put_": masked,
    "_foreach_add_": in_a_list,
    "squeeze_": lambda x: blur(x).squeeze_(0),
    "convolution": lambda x: F.conv2d(x, weight(1, 1, 1, 1, like=x), blur(x).mean((0, 2, 3))),
    "nothing that was followed": torch.zeros_like,
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_followed_is_never_left_out(name: str) -> None:
    axis = last_axis(UNKNOWN[name])
    assert name in axis.unknown and axis.field is None


def test_output_that_is_given_and_what_goes_round_the_gradient_are_seen() -> None:
    def given(x: torch.Tensor) -> torch.Tensor:
        into = blur(blur(x))  # which is overwritten
        torch.add(blur(x), x, out=into)
        return into

    assert (last_axis(given).field, last_axis(given).narrowest) == (3, 1)
    assert last_axis(lambda x: blur(blur(x).data)).field == 5


def test_filled_tensor_sees_nothing_any_more() -> None:
    assert last_axis(lambda x: blur(x).zero_() + x).field == 1
    assert last_axis(lambda x: blur(x).fill_(1)).unknown
    assert last_axis(lambda x: blur(x).copy_(torch.ones_like(x)) + x).field == 1


def test_network_that_returns_no_tensor_has_an_output_that_is_unknown() -> None:
    assert "nothing that was followed" in last_axis(lambda x: None).unknown
    deep = network_receptive_field(Deep(), 8)
    assert find(deep, "output.a.0").axes[0].field == 3


class Deep(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return {"a": [F.avg_pool2d(x, 3)], "b": x}


@pytest.mark.parametrize("kind", ["roll", "flip", "roll and back"])
def test_size_counts_where_a_map_is_turned_round_or_about(kind: str) -> None:
    turns = {
        "roll": lambda x: torch.roll(blur(x), 3, 2) + x,
        "flip": lambda x: blur(x).flip(2) + x,
        "roll and back": lambda x: torch.roll(blur(torch.roll(x, 3, 2)), -3, 2),
    }
    axes = [last_axis(turns[kind], size) for size in (16, 32)]
    assert axes[0].field < axes[1].field
    assert all((axis.for_this_size, axis.aligned) == (True, None) for axis in axes)


def test_map_that_was_rolled_and_cut_meets_one_that_was_cut() -> None:
    axis = last_axis(lambda x: torch.roll(x, 1, 2)[:, :, 2:] + x[:, :, :-2], 6)
    assert axis.pixels.reshape(-1, 2).tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]


def test_branches_that_drift_apart_are_of_one_size() -> None:
    fields = [
        last_axis(lambda x: x[:, :, ::2] + x[:, :, : x.shape[2] // 2], size) for size in (8, 16)
    ]
    assert [(axis.field, axis.for_this_size) for axis in fields] == [(4, True), (8, True)]


def test_squeeze_is_no_narrower_path_than_one_that_outgrows_the_input() -> None:
    def squeezed(x: torch.Tensor) -> torch.Tensor:
        x = blur(x, 15)
        return x * x.mean((2, 3), keepdim=True)

    assert [last_axis(squeezed, size).narrowest for size in (9, 12, 40)] == [15, 15, 15]


def test_every_place_may_see_all_before_something_looks_at_the_whole_map() -> None:
    nodes = network_receptive_field(
        nn.Sequential(*(nn.AvgPool2d(5, 1, 2) for _ in range(6)), nn.AdaptiveAvgPool2d(1)), 16
    )
    told = [(axis.sees_all, axis.is_global) for axis, _ in (node.axes for node in nodes)]
    # the first place sees 2 more for each pool: 16 and more after the eighth
    assert told == [(False, False)] * 6 + [(True, True)] * 2
    wide = network_receptive_field(nn.AvgPool2d(31, 1, 15), 16)[-1].axes[0]
    assert (wide.sees_all, wide.is_global) == (True, False)


def test_table_of_what_is_unknown_global_or_a_single_number_is_printed() -> None:
    class Loss(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.det(x[0, 0])

    for model in (Loss(), nn.AdaptiveAvgPool2d(1), Strange()):
        assert "output" in table(network_receptive_field(model, 8))


@pytest.mark.parametrize(
    ("model", "size", "channels", "says"),
    [
        (Peeks(), 8, 3, "without numbers"),
        (nn.Conv2d(3, 3, 9), 8, 3, "does not run"),
        (nn.Conv2d(3, 3, 3), 8, 1, "does not run"),
        (nn.Identity(), 0, 3, "input_size"),
        (nn.Identity(), 8, 0, "in_channels"),
    ],
)
def test_bad_input_is_explained(model: nn.Module, size: int, channels: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        network_receptive_field(model, size, in_channels=channels)


def test_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network_receptive_field(model, 8)
    assert model.training and model[1].training and torch.backends.mha.get_fastpath_enabled()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_one_axis_and_three_and_unequal_sides() -> None:
    (axis,) = network_receptive_field(nn.Conv1d(1, 1, 5, 2), (32,), in_channels=1)[-1].axes
    assert (axis.field, axis.jump, axis.start) == (5, 2, 2.5)
    volume = nn.Sequential(nn.Conv3d(1, 1, (1, 3, 5)), nn.MaxPool3d(2))
    fields = [a.field for a in network_receptive_field(volume, (8, 9, 10), in_channels=1)[-1].axes]
    assert fields == [2, 4, 6]


def test_box_of_a_place_lies_in_input_pixels() -> None:
    node = network_receptive_field(nn.Conv2d(3, 1, 3, stride=2, padding=1), 8)[-1]
    assert node.box((0, 2)) == ((-1.0, 2.0), (3.0, 6.0))
    with pytest.raises(ValueError, match="evenly"):
        network_receptive_field(nn.AdaptiveAvgPool2d(5), 12)[-1].box((0, 0))


def test_unknown_name_is_answered_with_near_ones() -> None:
    nodes = network_receptive_field(nn.Sequential(nn.Conv2d(3, 1, 3)), 8)
    with pytest.raises(ValueError, match="output"):
        find(nodes, "outputs")


def test_command_prints_a_module_and_its_widest_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resnet50", "--at", "layer3"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"14x14 +267 +11 +16 +0\.5 +yes", said)
    assert "widest path: conv1 > bn1 > relu > maxpool > layer1.0.conv1" in said
    with pytest.raises(SystemExit, match="resnet50"):
        main(["resnet5"])
    with pytest.raises(SystemExit, match="layer3"):
        main(["resnet50", "--at", "layer33"])
