"""The receptive field of any network: against gradients, published numbers, and torchvision's nets.

A random graph is drawn operation by operation; hypothesis makes the smallest one that fails.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from vgg_utils.network_receptive_field import find, network_receptive_field
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
            if found is not None and min(found.shape[2:]) > 0 and found.shape[2] * found.shape[3] < 2000:
                maps.append(found)
        return maps[-1]


def weight(*shape: int, like: torch.Tensor) -> torch.Tensor:
    return torch.ones(shape, dtype=like.dtype, device=like.device)


def step(kind: str, x: torch.Tensor, y: torch.Tensor, n: tuple[int, ...]) -> torch.Tensor | None:
    """Make one map from others, or None where that is not possible."""
    c, h, w = x.shape[1:]
    kernel, stride, padding, dilation = (1 + n[0] % 4, 1 + n[1] % 3), (1 + n[2] % 3, 1 + n[3] % 2), (
        n[4] % 3,
        n[5] % 3,
    ), (1 + n[6] % 2, 1 + n[7] % 3)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
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
        padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel))
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
        mode = ["constant", "reflect", "replicate"][n[0] % 3]
        edges = [n[k] % 3 for k in range(1, 5)]
        if mode != "reflect" or (max(edges[:2]) < w and max(edges[2:]) < h):
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
    *("convolution", "convolution", "transposed", "pool", "adaptive", "interpolate", "pad", "slice"),
    *("flip", "roll", "turn", "shuffle", "add", "add", "concatenate", "end to end", "squeeze", "rows"),
    *("tokens", "attention", "windows"),
]
# A map is taken from the last ones, so that graphs are deep; numbers say the rest.
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.tuples(*[st.integers(-3, -1)] * 2, *[st.integers(0, 23)] * 8)),
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
        seen = gradient[0].sum(0).abs() > 0
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
    assert not any(axis.unknown for axis in nodes[-1].axes)
    shape = (1, CHANNELS, height, width, 2)
    found = [np.broadcast_to(axis.pixels, shape)[0, 0] for axis in nodes[-1].axes]
    nothing = (found[0] < 0) | (found[1] < 0)  # seen along one axis alone is not seen
    for own, wanted in zip(found, seen_by_gradient(graph, size), strict=True):
        assert np.array_equal(np.where(nothing, -1, own), wanted)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(STEPS, st.tuples(st.integers(3, 13), st.integers(3, 13)))
def test_every_place_sees_what_its_gradient_shows(
    steps: list[Step], size: tuple[int, int]
) -> None:
    check_against_gradient(steps, size)
