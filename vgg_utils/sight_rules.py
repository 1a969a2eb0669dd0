"""What each of PyTorch's operations does to the sight of a map's places, axis by axis.

An operation that is not listed, and does not work element by element, makes what comes after it
unknown; it is never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vgg_utils.sight import Array, Memory, Track, Window, at_places, flat, united, unknown

Tracks = tuple[Track, ...]
Lookup = Callable[[Any], Tracks | None]
Rule = Callable[["Call"], "list[Tracks] | Tracks"]
Look = Callable[[Array], Array]
Make = Callable[[int, int, int, Track], Track]
Groups = list[tuple[list[int], list[int]]]
RULES: dict[str, Rule] = {}
QUIET = set[str]()  # operations that only move or name what is there
# Operations whose results have a map's form alone.
MADE = {f"{kind}_like" for kind in ("empty", "full", "ones", "rand", "randn", "zeros")}
MADE |= {f"new_{kind}" for kind in ("empty", "empty_strided", "full", "ones", "zeros")}
FILLS = {"copy", "fill", "zero"}  # nothing is left of what they write over


class Call(NamedTuple):
    """An operation with its arguments by name and what it returns, and what tensors see."""

    func: Any
    operation: str
    given: dict[str, Any]
    outputs: list[Tensor]
    changed: list[Tensor]  # in place
    tracks: Lookup

    @staticmethod
    def of(func: Any, args: Any, kwargs: Any, outputs: list[Tensor], tracks: Lookup) -> Call:
        name, arguments = func.overloadpacket.__name__, func._schema.arguments
        given = {one.name: one.default_value for one in arguments}
        given |= {**dict(zip(given, args, strict=False)), **kwargs}
        changed = [one for one in arguments if one.alias_info and one.alias_info.is_write]
        several = tensors(given[one.name] for one in changed)
        given = {one.name: given[one.name] for one in arguments if not one.is_out}
        plain = name.removesuffix("_") if changed else name
        return Call(func, plain.lstrip("_"), given, outputs, several, tracks)

    @property
    def sources(self) -> list[Tensor]:
        """The arguments that see something."""
        return [one for one in tensors(self.given.values()) if self.tracks(one) is not None]

    @property
    def source(self) -> Tensor:
        return next(iter(self.given.values()))

    def changes(self, tensor: Tensor) -> bool:
        return any(tensor is one for one in self.changed)

    def own(self) -> Tracks:
        """Return the tracks of the first argument; raises Lost if it has none."""
        tracks = self.tracks(self.source)
        if tracks is None:
            raise Lost("takes a map as something else than its first argument")
        return tracks


class Lost(Exception):
    """The sight cannot be followed; the argument says why."""


def rule(*operations: str, quiet: bool = False) -> Callable[[Rule], Rule]:
    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operations, function))
        QUIET.update(operations if quiet else ())
        return function

    return enter


def follow(call: Call, where: str) -> list[Tracks]:
    """Return what each output of an operation sees; at least one argument sees something."""
    plain, sources, lookup, asked = call.operation, call.sources, call.tracks, set[int]()

    def tracks(tensor: Any) -> Tracks | None:
        asked.add(id(tensor))
        return lookup(tensor)

    call = call._replace(tracks=tracks)
    seen = [track for one in sources for track in lookup(one) or ()]
    try:
        if lost := [track for track in seen if track.lost]:
            found: Any = (lost[0],) * (len(seen) // len(sources))
        elif call.changed and plain in ("squeeze", "as_strided"):
            raise Lost("changes a tensor's form in place")
        elif plain in RULES:
            found = RULES[plain](call)
            if not {id(one) for one in sources if one.numel()} <= asked:
                raise Lost("takes a map as something else than is known of it")
        elif works_by_element(call.func, plain):
            found = together(call)
        else:
            raise Lost("is not known")
    except Lost as why:
        found = (unknown(f"{where}: {call.func} {why}"),) * (len(seen) // len(sources))
    by_output = found if isinstance(found, list) else [found] * len(call.outputs)
    return [
        tuple(track.ended(None if plain in QUIET else where, output.dim()) for track in each)
        for each, output in zip(by_output, call.outputs, strict=True)
    ]


def works_by_element(func: Any, plain: str) -> bool:
    """Tell whether PyTorch calls an operation, or what it is in place, pointwise."""
    packets = [func.overloadpacket, getattr(torch.ops.aten, plain, func.overloadpacket)]
    overloads = (getattr(packet, name) for packet in packets for name in packet.overloads())
    return any(torch.Tag.pointwise in overload.tags for overload in (func, *overloads))


def tensors(values: Any) -> list[Tensor]:
    """Return the tensors among arguments or results, in their order."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += tensors(value)
    return found


def together(call: Call) -> Tracks:
    """Combine tensors element by element."""
    return united(filter(None, map(call.tracks, tensors(call.given.values()))))


rule("hardswish", "log_sigmoid_forward", "rrelu_with_noise")(together)
# PyTorch 2.2 doesn't say of these that they work element by element.
rule("celu", "elu", "hardshrink", "hardsigmoid", "hardtanh", "leaky_relu")(together)
rule("mish", "rrelu", "selu", "softplus", "softshrink", "threshold")(together)


@rule("glu")
def glu(call: Call) -> Tracks:
    """One half of the channels opens and closes the other."""
    if any(track.varies(call.given["dim"]) for track in call.own()):
        raise Lost("joins the halves of an axis")
    return call.own()


@rule("clone", "detach", "alias", "to_copy", "lift_fresh", "dropout", "contiguous", quiet=True)
def as_it_is(call: Call) -> Tracks:
    return call.own()


@rule("as_strided", quiet=True)
def restrided(call: Call) -> Tracks:
    """Take elements by their place in memory."""
    call.own()
    tracks = call.tracks(call.outputs[0])
    if tracks is None:
        raise Lost("takes elements that see nothing")
    return tracks


@rule("copy", "fill")
def overwritten(call: Call) -> Tracks:
    """An element of the second argument takes the place of one of the first."""
    call.tracks(call.source)
    tracks = call.tracks(call.given["src" if call.operation == "copy" else "value"])
    if tracks is None:
        raise Lost("writes what is no map into one")
    return tracks


# Windows


def window(kernel: int, stride: int, padding: int, dilation: int = 1) -> Window:
    """Return what place o looks at: o s - p + d t, for t from 0 to k - 1."""

    def look(places: Array) -> tuple[Array, Array]:
        steps = dilation * np.arange(kernel)[:, None]
        seen = places * stride - padding + steps
        return seen, np.ones_like(seen, bool)

    return look


def transposed_window(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    """Return what place o looks at: (o + p - d t) / s, where that is whole."""

    def look(places: Array) -> tuple[Array, Array]:
        seen = places + padding - dilation * np.arange(kernel)[:, None]
        return seen // stride, seen % stride == 0

    return look


def each(value: Any, count: int) -> list[Any]:
    """Return one value for each of the last dimensions, as PyTorch spells it."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * count if len(values) == 1 else values


def from_right(dim: int, tensor: Tensor) -> int:
    """Return a dimension as counted from the right."""
    return dim if dim < 0 else dim - tensor.dim()


def windows(call: Call, count: int, kernel: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return kernel size, stride, padding and dilation along each of the last dimensions."""
    stride = each(call.given["stride"] or kernel, count)
    padding, dilation = (each(call.given.get(name, 1), count) for name in ("padding", "dilation"))
    return list(zip(kernel, stride, padding, dilation, strict=True))


def line_along(track: Track, dim: int) -> Track:
    """Return a track with its line along a dimension, or raise Lost."""
    line = track.along(dim)
    if line is None:
        raise Lost("slides along one dimension of a map that differs along others, too")
    return line


def slide(call: Call, count: int, make: Make, *, over: Sequence[int] = ()) -> Tracks:
    """Apply windows along the last `count` dimensions, and look at all elements `over` others.

    `make` takes the index among these, the places before and after, and the track.
    """
    found = []
    for track in call.own():
        track = track.over(over)
        # a single place has lain along a dimension, which may have been joined with others since
        alone = track.dim if track.count == 1 and call.source.shape[track.dim] == 1 else None
        dims = [dim for dim in range(-count, 0) if track.varies(dim) or dim == alone]
        for dim in dims:
            sizes = call.source.shape[dim], call.outputs[0].shape[dim]
            track = make(dim + count, *sizes, line_along(track, dim))
        found.append(track)
    return tuple(found)


@rule("convolution")
def convolution(call: Call) -> Tracks:
    weight = call.given["weight"]
    if call.tracks(weight) is not None:
        raise Lost("takes its weights from a map")
    return windowed(call, weight.dim() - 2, weight.shape[2:], over=[1 - weight.dim()])


@rule(*(f"{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)))
@rule(*(f"max_pool{n}d_with_indices" for n in (2, 3)))
def pool(call: Call) -> Tracks:
    count = int(call.operation.partition("pool")[2][0])
    return windowed(call, count, each(call.given["kernel_size"], count))


def windowed(call: Call, count: int, kernel: Sequence[int], *, over: Sequence[int] = ()) -> Tracks:
    sizes = windows(call, count, kernel)

    def make(axis: int, _: int, places: int, track: Track) -> Track:
        stride = sizes[axis][1]
        if call.given.get("transposed"):
            return track.through(transposed_window(*sizes[axis]), places, Fraction(1, stride))
        return track.through(window(*sizes[axis]), places, Fraction(stride))

    return slide(call, count, make, over=over)


@rule(*(f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)))
def adaptive_pool(call: Call) -> Tracks:
    """Place o of m looks at the places floor(o n / m) to ceil((o + 1) n / m) - 1 of n."""

    def make(_: int, before: int, after: int, track: Track) -> Track:
        if after == 1:
            return track.over([track.dim]) if track.count > 1 else replace(track, whole=True)

        def look(places: Array) -> Array:
            first, last = places * before // after, -(-(places + 1) * before // after) - 1
            return np.minimum(first + np.arange((last - first).max() + 1)[:, None], last)

        return track.through(at_places(look), after, Fraction(before, after), sized=True)

    return slide(call, int(call.operation.partition("pool")[2][0]), make)


# Change of resolution


@rule(*(f"upsample_nearest{n}d" for n in (1, 2, 3)))
@rule(*(f"upsample_nearest_exact{n}d" for n in (1, 2, 3)))
@rule("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d")
def interpolate(call: Call) -> Tracks:
    count = int(call.operation[-2])
    factors = call.given.get("scale_factors")
    if factors is None:
        names = ("scales_d", "scales_h", "scales_w", "scales")
        factors = [call.given[name] for name in names if name in call.given][-count:]

    def make(axis: int, before: int, after: int, track: Track) -> Track:
        corners = bool(call.given.get("align_corners"))
        ratio = Fraction(before, after)
        if corners:
            ratio = Fraction(before - 1, after - 1) if after > 1 else Fraction(0)
        elif factors and factors[axis] and round(before * factors[axis]) != after:
            ratio = Fraction(1 / factors[axis]).limit_denominator(10_000)
        inside, free = (_interpolated(call.operation, ratio, corners, n) for n in (before, None))
        by_size = corners or (after % before != 0 and before % after != 0)
        usable = None if ratio == 0 else ratio
        return track.through(at_places(free), after, usable, exact=at_places(inside), sized=by_size)

    return slide(call, count, make)


def _interpolated(operation: str, ratio: Fraction, corners: bool, size: int | None) -> Look:
    """Return the places that go into each one, within `size` or as if there were no border."""
    top, bottom = ratio.numerator, ratio.denominator

    def bounded(places: Array) -> Array:
        return places if size is None else places.clip(0, size - 1)

    def look(places: Array) -> Array:
        if "nearest" in operation:  # the centre's place, or the left end's
            exact = "exact" in operation
            return bounded((2 * places + exact) * top // (2 * bottom))
        # the position times 2 bottom
        position = 2 * places * top + (0 if corners else top - bottom)
        if size is not None and "cubic" not in operation:
            position = np.maximum(position, 0)
        first, beside = position // (2 * bottom), position % (2 * bottom) != 0
        reach = np.array([-1, 0, 1, 2] if "cubic" in operation else [0, 1])
        return bounded(np.where(beside, first + reach[:, None], first))

    return look


@rule("pixel_shuffle", "pixel_unshuffle")
def pixel_shuffle(call: Call) -> Tracks:
    factor = call.given.get("upscale_factor")
    look, ratio = at_places(lambda places: places // factor), Fraction(1, factor or 1)
    if factor is None:
        ratio = Fraction(call.given["downscale_factor"])
        look = window(int(ratio), int(ratio), 0)
    return slide(call, 2, lambda _, __, places, track: track.through(look, places, ratio))


# Borders


@rule("constant_pad_nd")
@rule(*(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)))
def pad(call: Call) -> Tracks:
    before_and_after = call.given.get("pad") or call.given["padding"]
    count = len(before_and_after) // 2

    def make(axis: int, before: int, after: int, track: Track) -> Track:
        moved = before_and_after[2 * (count - 1 - axis)]

        def bordered(places: Array) -> Array:
            seen = places - moved
            if "reflection" in call.operation:
                return before - 1 - np.abs(before - 1 - np.abs(seen))
            return seen.clip(0, before - 1) if "replication" in call.operation else seen

        look = at_places(lambda places: places - moved)
        return track.through(look, after, Fraction(1), exact=at_places(bordered))

    return slide(call, count, make)


# Pieces


def moved(tracks: Tracks, output: Tensor, dim: int, look: Look, ratio: Fraction | None) -> Tracks:
    """Take other elements along one dimension.

    A line stays a line where it moves evenly, by `ratio`. What is turned round or about moves as
    far as the size of the map says: nothing is aligned with it any more.
    """
    dim = from_right(dim, output)
    places, found = output.shape[dim], []
    for track in tracks:
        if track.varies(dim) and (ratio is None or ratio < 0):
            track = replace(track, sized=True, aligned=None)
        if ratio is not None and track.is_line and track.dim == dim and track.count > 1:
            track = track.through(at_places(look), places, ratio)
        elif track.varies(dim):
            track = replace(track, place=track.place.take(look(np.arange(places)), axis=dim))
        found.append(track)
    return tuple(found)


@rule("slice")
def piece(call: Call) -> Tracks:
    dim, step = call.given["dim"], call.given["step"]
    start, _, _ = slice(call.given["start"], call.given["end"]).indices(call.source.shape[dim])
    own, output = call.own(), call.outputs[0]
    return moved(own, output, dim, lambda places: start + step * places, Fraction(step))


@rule("split", "split_with_sizes", "unsafe_split", "chunk")
def pieces(call: Call) -> list[Tracks]:
    dim, found, start = call.given["dim"], [], 0
    for output in call.outputs:
        found.append(moved(call.own(), output, dim, partial(np.add, start), Fraction(1)))
        start += output.shape[dim]
    return found


@rule("flip")
def flip(call: Call) -> Tracks:
    tracks = call.own()
    for dim in call.given["dims"]:
        last = call.source.shape[dim] - 1
        tracks = moved(tracks, call.outputs[0], dim, partial(np.subtract, last), Fraction(-1))
    return tracks


@rule("roll")
def roll(call: Call) -> Tracks:
    tracks = call.own()
    if not call.given["dims"]:
        raise Lost("rolls over all dimensions at once")
    for dim, shift in zip(call.given["dims"], call.given["shifts"], strict=True):
        size = call.source.shape[dim]
        look = partial(lambda shift, size, places: (places - shift) % size, shift, size)
        tracks = moved(tracks, call.outputs[0], dim, look, None)
    return tracks


@rule("cat")
def concatenate(call: Call) -> Tracks:
    """Along the channels, a place has all of them; along an axis, places stand end to end."""
    joined = [one for one in call.given["tensors"] if one.numel()]
    dim = from_right(call.given["dim"], joined[0])
    known = [call.tracks(one) for one in joined]
    there = [one for one in known if one is not None]
    along = [
        track.varies(dim) or (track.dim == dim and not track.whole) for track in sum(there, ())
    ]
    return end_to_end(joined, known, dim) if any(along) else united(there)


def alike(axis: Sequence[Track], dim: int) -> bool:
    """Do the elements of several tensors see the same, place by place, and along `dim` too?"""
    seen = [[t.place, t.wide.low, t.wide.high, t.narrow.low, t.narrow.high] for t in axis]
    same = all(np.array_equal(a, b) for one in seen for a, b in zip(seen[0], one, strict=True))
    return same and not axis[0].varies(dim)


def end_to_end(joined: Sequence[Tensor], tracks: Sequence[Tracks | None], dim: int) -> Tracks:
    """Put places one after the other along a dimension."""
    ends = np.cumsum([tensor.shape[dim] for tensor in joined])
    full = [*joined[0].shape]
    full[dim] = ends[-1]
    places = np.arange(math.prod(full)).reshape(full)
    by_axis = [*zip(*filter(None, tracks), strict=True)]
    memory = Memory()
    memory.place, memory.lines = [np.full(places.size, -1) for _ in by_axis], [[] for _ in by_axis]
    for part, one in zip(np.split(places, ends[:-1], axis=dim), tracks, strict=True):
        memory.write(part, one)
    return tuple(
        united([one] for one in axis)[0] if None not in tracks and alike(axis, dim) else end
        for axis, end in zip(by_axis, memory.read(places) or (), strict=True)
    )


@rule("stack")
def stack(call: Call) -> Tracks:
    dim, joined = from_right(call.given["dim"], call.outputs[0]), call.given["tensors"]
    known = [call.tracks(one) for one in joined]
    tracks = [one and tuple(opened(track, dim) for track in one) for one in known]
    return end_to_end([one.unsqueeze(dim) for one in joined], tracks, dim)


# Form


def opened(track: Track, dim: int) -> Track:
    """Put a new dimension at `dim`, counted from the right in the new shape."""
    place = np.expand_dims(track.place, dim)
    return replace(track, place=place, dim=track.dim if track.dim > dim else track.dim - 1)


def closed(track: Track, dim: int) -> Track:
    """Take away a dimension of size 1."""
    place = track.place.squeeze(dim)
    lies = track.dim if track.dim > dim else min(track.dim + 1, -1)
    return replace(track, place=place, dim=lies if place.ndim else -1)


@rule("unsqueeze", quiet=True)
def unsqueeze(call: Call) -> Tracks:
    dim = from_right(call.given["dim"], call.outputs[0])
    return tuple(opened(track, dim) for track in call.own())


@rule("squeeze", quiet=True)
def squeeze(call: Call) -> Tracks:
    dims = call.given.get("dim")
    shape = call.source.shape
    dims = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
    tracks = call.own()
    for dim in sorted(from_right(d, call.source) for d in dims if shape[d] == 1):
        tracks = tuple(closed(track, dim) for track in tracks)
    return tracks


@rule("select", "unbind")
def select(call: Call) -> list[Tracks]:
    """Take one of the elements along a dimension, or each of them; it is gone then."""
    dim = from_right(call.given["dim"], call.source)
    several, size = range(len(call.outputs)), call.source.shape[dim]
    return [
        tuple(closed(chosen(track, dim, index % size), dim) for track in call.own())
        for index in ([call.given["index"]] if call.operation == "select" else several)
    ]


def chosen(track: Track, dim: int, index: int) -> Track:
    if not track.varies(dim):
        return track
    place = track.place.take([index], axis=dim)
    if place.size > 1:
        return replace(track, place=place)
    # one place is left of the line
    return replace(track.picked(place.ravel()), place=np.zeros_like(place), sized=True)


@rule("permute", "transpose", "t", "numpy_T", quiet=True)
def permute(call: Call) -> Tracks:
    count = call.source.dim()
    if call.operation == "permute":
        order = [dim % count for dim in call.given["dims"]]
    else:
        order = list(range(count))
        one, other = (call.given.get(f"dim{k}", k - 2) for k in (0, 1)) if count > 1 else (0, 0)
        order[one], order[other] = order[other], order[one]
    placed = {old - count: new - count for new, old in enumerate(order)}
    return tuple(
        replace(track, place=track.place.transpose(order), dim=placed[track.dim])
        for track in call.own()
    )


@rule("expand", quiet=True)
@rule("repeat")
def repeat(call: Call) -> Tracks:
    found = []
    for track in call.own():
        track = track.ended(None, call.outputs[0].dim())
        shape = track.place.shape
        times = call.given.get("repeats") or [1] * len(shape)
        times = [count if size > 1 else 1 for count, size in zip(times, shape, strict=True)]
        found.append(replace(track, place=np.tile(track.place, times)))
    return tuple(found)


@rule("view", "unsafe_view", "reshape_alias", "reshape", "flatten", quiet=True)
def view(call: Call) -> Tracks:
    """Take the elements in their order: dimensions are joined and cut in groups."""
    before, after = list(call.source.shape), list(call.outputs[0].shape)
    groups = _groups(before, after)
    return tuple(_viewed(track, before, after, groups) for track in call.own())


def _viewed(track: Track, before: list[int], after: list[int], groups: Groups) -> Track:
    place, full, shape = track.place, list(track.place.shape), []
    dim = track.dim
    for old, new in groups:
        if any(full[k] > 1 for k in old):
            for k in old:
                full[k] = before[k]
            shape += [after[k] for k in new]
        else:
            shape += [1] * len(new)
        if track.dim + len(before) in old:
            size = 1 if track.count == 1 else before[track.dim]
            fit = [k for k in new if after[k] == size] or new or [len(after) - 1]
            dim = fit[-1 if track.dim == -1 else 0] - len(after)
    place = flat(np.broadcast_to(place, full).reshape(shape))
    own = [k for k, size in enumerate(place.shape) if size > 1]
    return replace(track, place=place, dim=own[0] - len(after) if len(own) == 1 else dim)


def _groups(before: list[int], after: list[int]) -> Groups:
    """Pair the dimensions of two shapes into the smallest groups of equal product."""
    ends, last, groups = [np.cumprod(shape, dtype=int) for shape in (before, after)], 0, []
    for end in sorted({1, *ends[0]} & {1, *ends[1]}):
        old, new = ([k for k, n in enumerate(one) if last < n <= end] for one in ends)
        groups.append((old, new))
        last = end
    return groups


@rule("unfold")
def unfold(call: Call) -> Tracks:
    """Windows along a dimension; their elements lie along a new one, as channels do."""
    size, step = call.given["size"], call.given["step"]
    dim = from_right(call.given["dimension"], call.source)
    found = []
    for track in call.own():
        if track.varies(dim):
            places = call.outputs[0].shape[dim - 1]
            track = line_along(track, dim).through(window(size, step, 0), places, Fraction(step))
        found.append(opened(track, -1))
    return tuple(found)


@rule("im2col")
def im2col(call: Call) -> Tracks:
    """Windows of an image; the places lie one after the other along the last dimension."""
    sizes = windows(call, 2, each(call.given["kernel_size"], 2))
    counts = [
        (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for length, (kernel, stride, padding, dilation) in zip(
            call.source.shape[-2:], sizes, strict=True
        )
    ]
    found = []
    for axis, track in enumerate(call.own()):
        ratio = Fraction(sizes[axis][1])
        line = line_along(track, axis - 2).through(window(*sizes[axis]), counts[axis], ratio)
        grid = np.broadcast_to(line.place.reshape(line.place.shape[-2:]), counts)
        found.append(replace(line, place=grid.reshape(1, 1, -1), dim=-1))
    return tuple(found)


# Sums over whole axes


@rule("mean", "sum", "amax", "amin", "prod", "logsumexp", "var", "std", "var_mean", "max", "min")
@rule("linalg_vector_norm")
def reduce(call: Call) -> Tracks:
    if call.operation in ("max", "min") and call.given.get("other") is not None:
        return together(call)
    dims = call.given.get("dim")
    dims = [dims] if isinstance(dims, int) else dims or range(call.source.dim())
    gone = sorted(from_right(dim, call.source) for dim in dims)
    tracks = tuple(track.over(gone) for track in call.own())
    if not call.given.get("keepdim"):
        for dim in gone:
            tracks = tuple(closed(track, dim) for track in tracks)
    return tracks


@rule("sort", "topk")
def ordered(call: Call) -> Tracks:
    """Any element may come to stand anywhere along the dimension."""
    return tuple(track.over([from_right(call.given["dim"], call.source)]) for track in call.own())


@rule("softmax", "log_softmax", "safe_softmax", "cumsum")
@rule("native_layer_norm", "layer_norm", "fused_rms_norm", "rms_norm")
@rule("native_group_norm", "group_norm", "native_batch_norm", "native_batch_norm_legit")
@rule("cudnn_batch_norm", "batch_norm_impl_index", "native_batch_norm_legit_no_training")
@rule("batch_norm_no_update", "native_batch_norm_legit_functional")
def with_everything(call: Call) -> Tracks:
    """Let each element look at all others along some dimensions, beside what it sees itself.

    With its stored statistics batch norm works element by element; with those of the images, not.
    """
    own, dims = call.own(), range(2 - call.source.dim(), 0)
    if "dim" in call.given:
        dims = range(dim := from_right(call.given["dim"], call.source), dim + 1)
    elif "normalized_shape" in call.given:
        dims = range(-len(call.given["normalized_shape"]), 0)
    elif "batch_norm" in call.operation and not call.given.get("training"):
        dims = range(0)
    return united([own, [track.over(dims) for track in own]])


# Products of matrices


@rule("mm", "bmm", "matmul", "linear", "addmm", "baddbmm", "mv")
def product(call: Call) -> Tracks:
    """Sum over the last dimension of the left one and the last but one of the right one.

    A vector has only a last one.
    """
    left, right, *added = tensors(call.given.values())
    if call.operation in ("addmm", "baddbmm"):
        left, right, added = right, added[0], [left]
    if call.operation == "linear":
        if call.tracks(right) is not None:
            raise Lost("takes its weights from a map")
        right = right.t()
    several = [call.tracks(one) for one in added]
    for tensor, summed in ((left, -1), (right, -2 if right.dim() > 1 else -1)):
        tracks = tuple(track.over([summed]) for track in call.tracks(tensor) or ())
        if right.dim() == 1 and tensor is left:
            tracks = tuple(closed(track, -1) for track in tracks)
        several.append(tracks)
    return united(filter(None, several))


@rule("scaled_dot_product_attention", "scaled_dot_product_attention_math")
@rule("scaled_dot_product_flash_attention_for_cpu", "scaled_dot_product_flash_attention")
def attention(call: Call) -> Tracks:
    """A place asks all places of the keys and values."""
    several = [call.own()]
    for name in ("key", "value"):
        several.append(tuple(track.over([-2]) for track in call.tracks(call.given[name]) or ()))
    return united(filter(None, several))
