"""The receptive field of any PyTorch network: branches, residuals, decoders, attention.

    python -m vgg_utils.network_receptive_field resnet50 --at layer3

The network runs once on the meta device, without numbers, while PyTorch names every operation that
it performs; each one says which places of its input a place of its output looks at. So functional
calls, loops and conditions are followed as they are. For a chain of layers, the arithmetic of
`vgg_utils.receptive_field` needs no PyTorch.

A place of a map has all its channels; pixel i covers the interval [i, i + 1]. Sources: Araujo,
Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019 (paths,
alignment).
"""

from __future__ import annotations

import argparse
import difflib
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from vgg_utils.configs import layer_configs, positive
from vgg_utils.sight import Memory, Track, unknown
from vgg_utils.sight_rules import FILLS, MADE, QUIET, Call, follow, tensors


@dataclass(frozen=True)
class AxisField:
    """What the places of a map see of the input along one axis, in pixels."""

    #: how many pixels a place sees, borders apart, by its widest path; None where `unknown`
    field: int | None
    #: the same by its narrowest path, which a skip keeps small
    narrowest: int | None
    #: pixels from a place to its neighbour; None where the places are not evenly spaced
    jump: float | None
    #: centre of what place 0 sees, borders apart; None as for `jump`
    start: float | None
    #: do the branches that have met look at the same centre? None where they can't be compared
    aligned: bool | None
    #: an operation has looked at all places of the axis at once
    is_global: bool
    #: the numbers hold for this size of the input alone
    for_this_size: bool
    #: first and last pixel that each element sees of this input, along the output's dimensions, of
    #: size 1 where they do not matter, and 2. It is -1 where an element sees none, and then it sees
    #: none along the other axes either. More may be told, never less, of what a mask hides, and at
    #: a border where such elements are added to others, and where all have seen the same before
    pixels: np.ndarray[Any, Any] = attribute(repr=False)
    #: why the field can't be told, with the operation where it was lost; else ""
    unknown: str = ""
    #: all places see the whole axis of this input, by `pixels`; it may be so before `is_global`
    sees_all: bool = False


@dataclass(frozen=True)
class Node:
    """An operation of the network, and what the places of its output see."""

    name: str  #: the module that performs it, and the operation where there are several
    operation: str  #: as PyTorch calls it
    shape: tuple[int, ...]  #: of its output
    axes: tuple[AxisField, ...]  #: height and width, or the axes of the input in its order
    path: tuple[str, ...]  #: the names of the nodes on the widest path to it
    output_of: tuple[str, ...] = ()  #: modules whose output this is

    def box(self, place: Sequence[int]) -> tuple[tuple[float, float], ...]:
        """Return the ends of a place's field in pixels, an axis each; beyond lies padding.

        They are infinite where it sees everything. Raises ValueError where the field is not known
        or the places are not evenly spaced.
        """
        ends = []
        for axis, one in zip(place, self.axes, strict=True):
            if one.is_global:
                ends.append((-math.inf, math.inf))
                continue
            if one.field is None or one.jump is None or one.start is None:
                raise ValueError(
                    f"{self.name}: {one.unknown or 'the places are not evenly spaced'}"
                )
            centre = one.start + axis * one.jump
            ends.append((centre - one.field / 2, centre + one.field / 2))
        return tuple(ends)


def network_receptive_field(
    model: nn.Module, input_size: int | Sequence[int] = 224, *, in_channels: int = 3
) -> list[Node]:
    """Return what the places of every map see of an input, in the order of the operations.

    The last node is the "output"; where there are several, "output.0" or by their names.

    `input_size` is the side of a square, or the size along each axis: (224, 320), or one number for
    a sequence. The model is taken as it is in evaluation, and left as it was.

    Raises ValueError for a size that cannot be, and where the model does not run without numbers:
    where it looks at values to decide what to do.
    """
    sizes = (input_size,) * 2 if isinstance(input_size, int) else tuple(input_size)
    sizes = tuple(positive("input_size", size) for size in sizes)
    image = torch.empty(1, positive("in_channels", in_channels), *sizes, device="meta")
    watcher = _Watcher(model, sizes)
    weights = {
        name: tensor.to("meta")
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_in_evaluation(model))
        stack.enter_context(watcher.hooked())
        try:
            with watcher:
                watcher.enter(image, Track.of_inputs(sizes), -1)
                result = torch.func.functional_call(model, weights, (image,))
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise ValueError(
                f"the network does not run without numbers on (1, {in_channels}, "
                f"{', '.join(map(str, sizes))}), in {watcher.place()}: {error}"
            ) from error
    watcher.finish(result)
    return watcher.nodes()


def find(nodes: Sequence[Node], name: str) -> Node:
    """Return the node of a name, or the last one whose module has it as its output.

    Raises ValueError for a name that is none, with those nearest to it.
    """
    found = [node for node in nodes if name == node.name or name in node.output_of]
    if not found:
        known = [one for node in nodes for one in (node.name, *node.output_of)]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0) or known[-3:]
        raise ValueError(f"no node {name!r}: choose one such as {', '.join(near)}")
    return found[-1]


@contextmanager
def _in_evaluation(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode, without the joined kernels of attention; both as before afterwards."""
    training = {module: module.training for module in model.modules()}
    switch = getattr(torch.backends, "mha", None)  # PyTorch 2.2 has none
    joined = switch is not None and switch.get_fastpath_enabled()
    if switch is not None:
        switch.set_fastpath_enabled(False)
    model.eval()
    try:
        yield
    finally:
        if switch is not None:
            switch.set_fastpath_enabled(joined)
        for module, was in training.items():
            module.training = was


class _Watcher(TorchDispatchMode):
    """Follows every operation while a model runs; a context in which it does."""

    def __init__(self, model: nn.Module, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.names = {module: name for name, module in model.named_modules()}
        self.inside: list[nn.Module] = []
        self.seen: dict[int, tuple[tuple[Track, ...], int, int]] = {}  # tracks, node, version
        self.memory: dict[int, Memory] = {}  # by storage, if it sees something
        self.records: list[tuple[str, str, tuple[int, ...], tuple[Track, ...]]] = []
        self.counts: Counter[str] = Counter()  # nodes by the first part of their name
        self.ends: dict[int, list[str]] = {}

    def place(self) -> str:
        """Return the path of the module that runs now."""
        named = (self.names[one] for one in reversed(self.inside) if one in self.names)
        return next(named, "") or "the network itself"

    def enter(self, tensor: Tensor, tracks: tuple[Track, ...], node: int) -> None:
        memory = self.memory.setdefault(tensor.untyped_storage()._cdata, Memory())
        if id(tensor) not in self.seen:
            memory.tensors.append(tensor)
        self.seen[id(tensor)] = (tracks, node, memory.version)

    def tracks(self, tensor: Any) -> tuple[Track, ...] | None:
        """Return what a tensor sees, also where it was written by another one's name."""
        memory = isinstance(tensor, Tensor) and self.memory.get(tensor.untyped_storage()._cdata)
        if not memory:
            return None
        tracks, node, version = self.seen.get(id(tensor), ((), memory.node, -1))
        if version == memory.version:
            return tracks
        found = self.remembered(tensor).read(_places(tensor))
        if found is not None:
            self.enter(tensor, found, memory.node if memory.version else node)
        return found

    def remembered(self, tensor: Tensor) -> Memory:
        """Return what the elements of a tensor's storage see."""
        storage = tensor.untyped_storage()
        memory = self.memory.setdefault(storage._cdata, Memory())
        if not memory.place:
            size = storage.nbytes() // tensor.element_size()
            memory.place = [np.full(size, -1) for _ in self.sizes]
            memory.lines = [[] for _ in self.sizes]
            for one in memory.tensors:
                tracks, memory.node, _ = self.seen[id(one)]
                memory.write(_places(one), tracks)
        if any(one.element_size() != tensor.element_size() for one in memory.tensors):
            memory.lost = self.lost(f"{self.place()}: memory is read as another type")
        return memory

    def lost(self, why: str) -> tuple[Track, ...]:
        return (unknown(why),) * len(self.sizes)

    def write(self, tensor: Tensor, tracks: Any, node: int = -1, source: Any = None) -> None:
        """Let a tensor that was changed in place see something else, and all that share with it.

        Without tracks it sees nothing any more. `source` is the tensor that was copied, if so.
        """
        storage = tensor.untyped_storage()._cdata
        memory, (own, _, _) = self.memory.get(storage), self.seen.get(id(tensor), ((), 0, 0))
        pairs = zip(own or tracks, tracks, strict=False)
        same = own and all(one.wide is new.wide and one.place is new.place for one, new in pairs)
        alone = memory and not memory.place and [id(one) for one in memory.tensors] == [id(tensor)]
        if not tracks or not (same or alone):
            memory, places = self.remembered(tensor), _places(tensor)
            memory.version, memory.node = memory.version + 1, node
            if source is not None and source.untyped_storage()._cdata == storage:
                memory.copy(places, np.broadcast_to(_places(source), places.shape))
            else:
                memory.write(places, tracks or None)
        if tracks:
            self.enter(tensor, tracks, node)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        call = Call.of(func, args, kwargs or {}, tensors([result]), self.tracks)
        others = [one for one in call.sources if not call.changes(one)]
        if not call.sources or call.operation in MADE or (not others and call.operation in FILLS):
            for one in filter(self.tracks, call.changed):  # by what sees nothing
                self.write(one, ())
            return result
        name = self.named(call.operation)
        found = follow(call, name)
        node = self.seen[id(call.sources[0])][1]
        if call.operation not in QUIET and found:
            node = len(self.records)
            self.counts[name.partition(" ")[0]] += 1
            form = tuple(call.outputs[0].shape)
            self.records.append((name, call.operation, form, found[0]))
        for output, tracks in zip(call.outputs, found, strict=True):
            if call.changes(output):
                copied = call.operation == "copy"
                self.write(output, tracks, node, call.given["src"] if copied else None)
            else:
                self.enter(output, tracks, node)
        for one in call.changed:
            if not any(one is output for output in call.outputs):
                self.write(one, self.lost(f"{name}: {func} changes more than it returns"), node)
        return result

    def named(self, operation: str) -> str:
        """Return a name for an operation: of its module, if it is the module's first."""
        module = self.inside[-1] if self.inside else None
        path = self.place() if module is not None and self.names.get(module) else ""
        is_leaf = path and module is not None and not any(module.children())
        stem = path if is_leaf else f"{path}.{operation}" if path else operation
        number = self.counts[stem] + 1
        return stem if number == 1 else f"{stem} {number}"

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Know which module runs, and which operation a module's output comes from."""

        def enter(module: nn.Module, _: Any) -> None:
            self.inside.append(module)

        def leave(module: nn.Module, _: Any, output: Any) -> None:
            self.inside.pop()
            path = self.names.get(module)
            for suffix, tensor in _named_tensors(output):
                if path and self.tracks(tensor) is not None:
                    self.ends.setdefault(self.seen[id(tensor)][1], []).append(path + suffix)

        handles = [hooks.register_module_forward_pre_hook(enter)]
        handles.append(hooks.register_module_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def finish(self, result: Any) -> None:
        """Make nodes of what the network returns."""
        lost = self.lost("nothing that was followed leads from the input to what is returned")
        found: list[tuple[str, Any]] = [*_named_tensors(result)]
        for suffix, tensor in found or [("", None)]:
            tracks, shape = self.tracks(tensor) or lost, tuple(getattr(tensor, "shape", ()))
            self.records.append((f"output{suffix}", "output", shape, tracks))

    def nodes(self) -> list[Node]:
        made = []
        for index, (name, operation, shape, tracks) in enumerate(self.records):
            widest = max(tracks, key=lambda track: track.width)
            ends = tuple(end for end in self.ends.get(index, ()) if end != name)
            axes = tuple(_axis(*one) for one in zip(tracks, self.sizes, strict=True))
            made.append(Node(name, operation, shape, axes, widest.names(), ends))
        return made


def _axis(track: Track, size: int) -> AxisField:
    if track.lost:
        none = np.empty((0, 2), int)
        return AxisField(None, None, None, None, None, False, False, none, track.lost)
    wide, narrow = track.wide, track.narrow
    empty = wide.low > wide.high
    pixels = np.stack([np.where(empty, -1, wide.low), np.where(empty, -1, wide.high)], axis=1)
    pixels = pixels[track.place]
    even = wide.spans if track.is_line and wide.spans and wide.spans.is_even else None
    jump, start = (even.step / even.period, even.start) if even else (None, None)
    flags = track.aligned, track.whole, track.sized
    sees_all = bool((pixels.reshape(-1, 2) == [0, size - 1]).all())
    return AxisField(track.width, narrow.width, jump, start, *flags, pixels, sees_all=sees_all)


def _named_tensors(value: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors in a module's output, each with what to write behind its name."""
    if isinstance(value, Tensor):
        return [("", value)]
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    return [(f".{key}{rest}", one) for key, part in parts for rest, one in _named_tensors(part)]


def _places(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return where in its storage each element of a tensor stands."""
    found = np.array(tensor.storage_offset())
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        found = found[..., None] + stride * np.arange(size)
    return found


def table(nodes: Sequence[Node]) -> str:
    """Return a row for each node: along the first axis, and the second where it differs."""
    lines = [
        f"{'node':40} {'size':>10} {'field':>7} {'least':>6} {'jump':>6} {'start':>7}  aligned"
    ]
    for node in nodes:
        size = "x".join(map(str, node.shape[2:] or node.shape[-1:])) or "-"
        rows = [_row(axis) for axis in node.axes]
        for index, row in enumerate(dict.fromkeys(rows)):
            lines.append(f"{node.name if index == 0 else '':40} {size:>10} {row}")
    return "\n".join(lines)


def _row(axis: AxisField) -> str:
    if axis.unknown:
        return f"{'unknown':>7}  {axis.unknown}"
    field = "global" if axis.is_global else str(axis.field)
    jump, start = ("-" if value is None else f"{value:g}" for value in (axis.jump, axis.start))
    aligned = {True: "yes", False: "no", None: "-"}[axis.aligned]
    size = "  at this size" if axis.for_this_size and not axis.is_global else ""
    return f"{field:>7} {axis.narrowest:>6} {jump:>6} {start:>7}  {aligned}{size}"


def by_name(name: str) -> nn.Module:
    """Return a network of the book, or one of torchvision's (of a detector, the trunk).

    Its parameters have no numbers, so that it takes no time or memory. Raises ValueError for a name
    that is none, with those nearest to it.
    """
    if name in layer_configs:
        from vgg_utils.model import VGGNet

        return VGGNet(layer_config=name, width=1 / 16)  # channels do not matter
    from torchvision import models

    if name not in models.list_models():
        near = difflib.get_close_matches(name, models.list_models(), n=3, cutoff=0.4)
        raise ValueError(
            f"no network {name!r}: choose one of {', '.join(layer_configs)}, or of torchvision's"
            + (f", such as {', '.join(near)}" if near else "")
        )
    options: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    if any(name in models.list_models(part) for part in (models.detection, models.segmentation)):
        options["weights_backbone"] = None
    handles = [
        hooks.register_module_parameter_registration_hook(_without_numbers),
        hooks.register_module_buffer_registration_hook(_without_numbers),
    ]
    try:
        model: nn.Module = models.get_model(name, **options)
    finally:
        for handle in handles:
            handle.remove()
    return (
        model.get_submodule("backbone") if name in models.list_models(models.detection) else model
    )


def _without_numbers(module: nn.Module, name: str, tensor: Tensor | None) -> Any:
    if tensor is None or not tensor.is_floating_point():  # indices are needed
        return tensor
    empty = tensor.to("meta")
    return nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vgg_utils.network_receptive_field",
        description="Print what every map of a network sees of its input.",
    )
    parser.add_argument("network", help="A to E, or a name of torchvision's such as resnet50")
    parser.add_argument("--at", help="only this module or operation, with its widest path")
    parser.add_argument("--size", type=int, default=224, help="side of the input (default: 224)")
    options = parser.parse_args(arguments)
    try:
        nodes = network_receptive_field(by_name(options.network), options.size)
        chosen = [find(nodes, options.at)] if options.at else nodes
    except ValueError as error:
        sys.exit(str(error))
    print(table(chosen))
    if options.at:
        print("widest path: " + " > ".join(chosen[0].path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
