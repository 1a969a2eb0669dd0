"""What the places of a map see along one axis of the input, and how windows and branches change it.

Two descriptions go side by side. `low` and `high` are, for this very input, the first and last
pixel that a place sees; at a border it sees less. `Spans` has no borders: places repeat themselves
with a period, each time so many pixels further, and beyond the input lies padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
# Of places of the output, the places of the input that each looks at: (window, places), and which
# of these there are: a transposed convolution has gaps.
Window = Callable[[Array], tuple[Array, Array]]
NONE = 1 << 40  # the first pixel of a place that sees none; its last is -NONE


@dataclass(frozen=True)
class Spans:
    """The first and last pixel of each place of one period, which repeats `step` pixels on."""

    low: Array
    high: Array
    step: int

    @property
    def period(self) -> int:
        return len(self.low)

    @property
    def width(self) -> int:
        return int((self.high - self.low).max()) + 1

    @property
    def is_even(self) -> bool:
        """Do all places see as much, at equal distances?"""
        jumps = np.diff(self.low, append=self.low[:1] + self.step)
        return len({*jumps}) == 1 and len({*(self.high - self.low)}) == 1 and self.step > 0

    @property
    def start(self) -> float:
        """The centre of what place 0 sees; pixel 0 is centred at 0.5."""
        return float(self.low[0] + self.high[0] + 1) / 2

    def at(self, places: Array) -> tuple[Array, Array]:
        """Return the first and last pixel of any places, also beyond the map."""
        turns, phase = np.divmod(places, self.period)
        empty = self.low[phase] > self.high[phase]
        moved = np.where(empty, 0, self.step * turns)
        return self.low[phase] + moved, self.high[phase] + moved

    def through(self, window: Window, ratio: Fraction) -> Spans:
        """Return what places see through a window that moves `ratio` places for each place."""
        turns = abs(ratio.numerator) // math.gcd(ratio.numerator, self.period)
        period = ratio.denominator * self.period // math.gcd(ratio.numerator, self.period)
        low, high = hull(window(np.arange(period)), self.at)
        return Spans(low, high, int(math.copysign(self.step * turns, ratio)))

    def times(self, count: int) -> Spans:
        low, high = self.at(np.arange(count * self.period))
        return Spans(low, high, count * self.step)


def at_places(function: Callable[[Array], Array]) -> Window:
    """Return a window for which a function gives the places that each one looks at."""

    def look(places: Array) -> tuple[Array, Array]:
        seen = np.atleast_2d(function(places))
        return seen, np.ones_like(seen, bool)

    return look


def hull(window: tuple[Array, Array], at: Callable[[Array], tuple[Array, Array]]) -> Any:
    """Return the first and last pixel of all that each place looks at."""
    places, there = window
    low, high = at(places)
    return np.where(there, low, NONE).min(0), np.where(there, high, -NONE).max(0)


@dataclass(frozen=True)
class Sight:
    """What the places see by some of the paths that lead to them."""

    low: Array
    high: Array
    spans: Spans | None  # None where places do not repeat themselves

    @property
    def width(self) -> int:
        """The most that a place sees, borders apart where there are spans."""
        if self.spans:
            return self.spans.width
        return max(int((self.high - self.low).max(initial=-1)) + 1, 0)

    def picked(self, places: Array) -> Sight:
        """Return the sight of some of the places, in any order."""
        return Sight(self.low[places], self.high[places], None)

    def through(self, exact: Window, places: int, ratio: Fraction | None, window: Window) -> Sight:
        size = len(self.low)

        def inside(of: Array) -> tuple[Array, Array]:
            seen, there = exact(of)
            there = there & (seen >= 0) & (seen < size)
            return np.where(there, seen, 0), there

        low, high = hull(inside(np.arange(places)), lambda seen: (self.low[seen], self.high[seen]))
        moved = None if self.spans is None or ratio is None else self.spans.through(window, ratio)
        return Sight(low, high, moved)

    def joined(self, other: Sight) -> Sight:
        """Return what places see that look both ways; a single place is seen by all."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        pair = _alike(self.spans, other.spans)
        if pair is None or len(self.low) != len(other.low):
            return Sight(low, high, None)
        one, two = pair
        both = np.minimum(one.low, two.low), np.maximum(one.high, two.high)
        return Sight(low, high, Spans(*both, one.step))

    def narrower(self, other: Sight) -> Sight:
        """Return what each place sees by the path along which it sees less."""
        if _alike(self.spans, other.spans) is not None:
            one, _two = (self, other) if self.width <= other.width else (other, self)
            if len(one.low) == len(self.low):
                return one
        widths = [sight.high - sight.low for sight in (self, other)]
        seen = [np.where(width < 0, NONE, width) for width in widths]
        low, other_low, high, other_high, less, _ = np.broadcast_arrays(
            self.low, other.low, self.high, other.high, seen[0] <= seen[1], self.low
        )
        if less.all():  # nowhere by the other path: this one goes on beyond the borders
            return self
        return Sight(np.where(less, low, other_low), np.where(less, high, other_high), None)


def _alike(one: Spans | None, other: Spans | None) -> tuple[Spans, Spans] | None:
    """Return two spans over a common period, or None where their places drift apart."""
    if one is None or other is None or one.step * other.period != other.step * one.period:
        return None
    period = math.lcm(one.period, other.period)
    return one.times(period // one.period), other.times(period // other.period)


@dataclass(frozen=True)
class Track:
    """What the elements of a tensor see along one axis of the input.

    All that can be seen stands in a line of places, `wide` and `narrow`. `place` says of each
    element which of them is its own; it has the tensor's dimensions, of size 1 where they do not
    matter. So a tensor may be turned, cut and put together again, and the line stays.
    """

    place: Array
    wide: Sight
    narrow: Sight  # by the path along which a place sees least
    dim: int  # counted from the right, along which the line lies or has last lain
    aligned: bool | None = True
    whole: bool = False  # something has looked at the whole axis
    sized: bool = False  # holds for this size of the input alone
    path: tuple[str, Any] | None = None  # the node where it ends, and the path before that
    lost: str = ""  # why nothing is known

    @staticmethod
    def of_inputs(sizes: Sequence[int]) -> tuple[Track, ...]:
        found = []
        for axis, size in enumerate(sizes, -len(sizes)):
            pixels = np.arange(size)
            sight = Sight(pixels, pixels, Spans(pixels[:1], pixels[:1], 1))
            found.append(Track(_line(len(sizes) + 2, axis, size), sight, sight, axis))
        return tuple(found)

    @property
    def width(self) -> int:
        return -1 if self.lost else self.wide.width

    @property
    def count(self) -> int:
        """How many places there are in the line."""
        return len(self.wide.low)

    @property
    def is_line(self) -> bool:
        """Do the elements along `dim` stand in the order of the line, and differ nowhere else?"""
        size = self.place.size
        on_dim = -self.dim <= self.place.ndim and self.place.shape[self.dim] == size
        return on_dim and size == self.count and bool((self.place.ravel() == np.arange(size)).all())

    def names(self) -> tuple[str, ...]:
        found, path = list[str](), self.path
        while path is not None:
            name, path = path
            found.insert(0, name)
        return tuple(found)

    def ended(self, name: str | None, dims: int) -> Track:
        """Return the track with a node at the end of its path, if any, in a tensor of `dims`."""
        more = 0 if self.lost else dims - self.place.ndim
        place = self.place.reshape((1,) * more + self.place.shape)
        return replace(self, place=place, path=(name, self.path) if name else self.path)

    def varies(self, dim: int) -> bool:
        return -dim <= self.place.ndim and self.place.shape[dim] > 1

    def along(self, dim: int) -> Track | None:
        """Return the same with its line along a dimension, or None if it differs elsewhere too."""
        if self.place.size == 1:
            return self if self.dim == dim else None
        if self.place.shape[dim] != self.place.size:
            return None
        own = self.place.ravel()
        steps = {*np.diff(own)}
        moved = replace(self, dim=dim, place=_line(self.place.ndim, dim, len(own)))
        if len(steps) == 1 and (step := int(steps.pop())) != 0:
            look = at_places(lambda places: own[0] + step * places)
            return moved.through(look, len(own), Fraction(step))
        return replace(moved.picked(own), sized=True)

    def picked(self, places: Array) -> Track:
        """Return the same with some places of the line in its place."""
        wide, narrow = self.wide.picked(places), self.narrow.picked(places)
        return replace(self, wide=wide, narrow=narrow)

    def through(
        self,
        window: Window,
        places: int,
        ratio: Fraction | None,
        *,
        exact: Window | None = None,
        sized: bool = False,
    ) -> Track:
        """Slide a window along the line; `exact` where it does something else at a border.

        Without a ratio the places that come out do not repeat themselves.
        """
        exact = exact or window
        wide, narrow = (
            sight.through(exact, places, ratio, window) for sight in (self.wide, self.narrow)
        )
        sized = self.sized or sized or ratio is None
        place = _line(self.place.ndim, self.dim, places)
        return replace(self, place=place, wide=wide, narrow=narrow, sized=sized)

    def over(self, dims: Sequence[int]) -> Track:
        """Look at all elements along some dimensions at once."""
        dims = [dim for dim in dims if self.varies(dim)]
        if not dims:
            return self
        axes = tuple(dim + self.place.ndim for dim in dims)
        sights = []
        for sight in (self.wide, self.narrow):
            low = sight.low[self.place].min(axes, keepdims=True)
            high = sight.high[self.place].max(axes, keepdims=True)
            sights.append(Sight(low.ravel(), high.ravel(), None))
        place = np.arange(low.size).reshape(low.shape)
        whole, (wide, narrow) = self.whole or place.size == 1, sights
        seen = replace(self, place=place, wide=wide, narrow=narrow, whole=whole, sized=True)
        return seen.told_apart()

    def told_apart(self) -> Track:
        """Make one place of those that see the same, where places do not repeat themselves."""
        if self.wide.spans or self.narrow.spans or self.count == 1:
            return self
        ends = self.wide.low, self.wide.high, self.narrow.low, self.narrow.high
        index = np.zeros(self.count, int)
        for end in ends:
            _, rank = np.unique(end, return_inverse=True)
            _, index = np.unique(index * self.count + rank, return_inverse=True)
        _, first = np.unique(index, return_index=True)
        return replace(self.picked(first), place=flat(index[self.place]))


def _line(dims: int, dim: int, places: int) -> Array:
    shape = [1] * dims
    shape[dim] = places
    return np.arange(places).reshape(shape)


def flat(place: Array) -> Array:
    """Return the same with size 1 along the dimensions that do not matter."""
    for dim, size in enumerate(place.shape):
        if size > 1 and (place == (first := place.take([0], axis=dim))).all():
            place = first
    return place


def unknown(why: str) -> Track:
    nothing = Sight(np.zeros(0, int), np.zeros(0, int), None)
    return Track(np.zeros(0, int), nothing, nothing, -1, None, lost=why)


def gathered(place: Array, lines: Sequence[Track]) -> Track:
    """Return what elements see that were taken from the places of several lines.

    `place` counts through the lines, one after the other; -1 sees nothing, and some must see. Where
    one line goes on evenly, what lies beside it is a border, as padding is.
    """
    place = flat(place)
    starts = np.cumsum([0, *(line.count for line in lines)])
    used = np.unique(np.searchsorted(starts, np.unique(place[place >= 0]), side="right") - 1)
    there = [lines[k] for k in used]
    widest = max(there, key=lambda track: track.width)
    along = [dim - place.ndim for dim, size in enumerate(place.shape) if size > 1]
    whole = all(track.whole for track in there) and bool((place >= 0).all())
    dim = along[0] if len(along) == 1 else max(widest.dim, -place.ndim)
    if len(there) == len(along) == 1:
        own = np.where(place < 0, -1, place - starts[used[0]]).ravel()
        row = _row(own, widest.count)
        if row is not None:
            first, step = row
            look = at_places(lambda places: own[first] + step * (places - first))
            line = replace(widest, place=_line(place.ndim, dim, 1), dim=dim, whole=whole)
            exact = at_places(lambda places: own[places])
            return line.through(look, len(own), Fraction(step), exact=exact)
    nothing = Sight(np.array([NONE]), np.array([-NONE]), None)
    wide = end_to_end([*(line.wide for line in lines), nothing])
    narrow = end_to_end([*(line.narrow for line in lines), nothing])
    chosen, index = np.unique(np.where(place < 0, starts[-1], place), return_inverse=True)
    track = Track(index.reshape(place.shape), wide, narrow, dim, None, whole, True, widest.path)
    return track.picked(chosen).told_apart()


def end_to_end(sights: Sequence[Sight]) -> Sight:
    low, high = (np.concatenate([getattr(one, end) for one in sights]) for end in ("low", "high"))
    return Sight(low, high, None)


def _row(own: Array, count: int) -> tuple[int, int] | None:
    """Return the first of places that go on evenly along a line, and by which steps, or None.

    Beside them lies what would be beyond the line: nothing, which is -1, or, where the whole line
    is there, what a circular padding takes from its other end.
    """
    for first in [*np.flatnonzero(own >= 0)[:1], *np.flatnonzero(own == 0)]:
        step = own[first + 1] - own[first] if (own[first + 1 : first + 2] >= 0).any() else 0
        index = own[first] + step * (np.arange(len(own)) - first)
        inside = (index >= 0) & (index < count)
        beside = own[~inside]
        wrapped = inside.sum() == count and max(first, len(own) - first - count) < count
        if step and np.array_equal(own[inside], index[inside]) and (wrapped or (beside < 0).all()):
            return int(first), int(step)
    return None


class Memory:
    """What the elements of a piece of memory see, which several tensors may share."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []  # that lie in it
        self.place: list[Array] = []  # for each axis, of each element; empty before it is asked for
        self.lines: list[list[Track]] = []
        self.lost: tuple[Track, ...] = ()
        self.version, self.node = 0, -1  # how often it was written, and by which node

    def write(self, at: Array, tracks: Sequence[Track] | None) -> None:
        """Let the elements `at`, in a tensor's form, see what its elements do."""
        if tracks and tracks[0].lost:
            self.lost = tuple(tracks)
        for axis, lines in enumerate(self.lines if not self.lost else ()):
            place, start, track = self.place[axis], 0, tracks[axis] if tracks else None
            if track is None:
                place[at] = -1
                continue
            for line in lines:
                if line.wide is track.wide and line.narrow is track.narrow:
                    break
                start += line.count
            else:
                lines.append(track)
            place[at] = np.broadcast_to(track.place, at.shape) + start

    def copy(self, at: Array, source: Array) -> None:
        for place in self.place:
            place[at] = place[source]

    def read(self, at: Array) -> tuple[Track, ...] | None:
        """Return what the elements `at` see, a place by all its channels; None if it is nothing."""
        places, there = [place[at] for place in self.place], self.place[0][at] >= 0
        if self.lost or not there.any():
            return self.lost or None
        plain = [_plain(place) for place in places]
        if np.array_equal(np.broadcast_to(sum(place < 0 for place in plain) == 0, at.shape), there):
            places = plain  # what sees nothing does so along one axis
        found: list[Track] = []
        axes = len(places)
        usual = all(line.dim == k - axes for k, lines in enumerate(self.lines) for line in lines)
        for place, lines in zip(places, self.lines, strict=True):
            channels = [flat(place)]
            if usual and place.ndim == axes + 2 and channels[0].shape[1] > 1:
                place = np.unique(channels[0], axis=1)
                channels = [one for one in np.split(place, place.shape[1], 1) if (one >= 0).any()]
            found += united([gathered(one, lines)] for one in channels)
        return tuple(found)


def _plain(place: Array) -> Array:
    """Return the same with size 1 along the dimensions where only what sees nothing differs."""
    for dim in range(place.ndim):
        most = place.max(dim, keepdims=True)
        place = most if ((place == most) | (place < 0)).all() else place
    return place


def united(several: Iterable[Sequence[Track]]) -> tuple[Track, ...]:
    """Return what elements see that are made of the elements of several tensors, place by place.

    Each tensor has a track for every axis.
    """
    return tuple(reduce(_united, axis) for axis in zip(*several, strict=True))


def _united(one: Track, other: Track) -> Track:
    if one.lost or other.lost:
        return one if one.lost else other
    if other.place.size > one.place.size:
        one, other = other, one
    first, second = np.broadcast_arrays(one.place, other.place)
    place = one.place
    alike = one.count == other.count and np.array_equal(first, second)
    if other.count > 1 and not alike:  # pairs of places are the places now
        pairs, index = np.unique(first * other.count + second, return_inverse=True)
        place = index.reshape(first.shape)
        one, other = one.picked(pairs // other.count), other.picked(pairs % other.count)
    wide, narrow = one.wide.joined(other.wide), one.narrow.narrower(other.narrow)
    sized = one.sized or other.sized or wide.spans is None
    path = max(one, other, key=lambda track: (track.whole, track.width)).path
    whole, aligned = one.whole or other.whole, _aligned(one, other)
    joined = Track(place, wide, narrow, one.dim, aligned, whole, sized, path)
    return joined.told_apart()


def _aligned(one: Track, other: Track) -> bool | None:
    """Do two branches look at the same centres? None where that can't be said."""
    if 1 in (one.count, other.count) and one.count != other.count:
        return one.aligned if other.count == 1 else other.aligned
    pair = _alike(one.wide.spans, other.wide.spans)
    if pair is None or one.aligned is None or other.aligned is None:
        return None
    same = bool((pair[0].low + pair[0].high == pair[1].low + pair[1].high).all())
    return same and one.aligned and other.aligned
