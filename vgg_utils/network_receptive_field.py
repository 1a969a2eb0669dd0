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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from vgg_utils.configs import layer_configs, positive
from vgg_utils.sight import Track, unknown
from vgg_utils.sight_rules import MADE, follow, tensors


@dataclass(frozen=True)
class AxisField:
    """What the places of a map see of the input along one axis, in pixels."""

    #: how many pixels a place sees, borders apart, by its widest path; None where `unknown`
    field: int | None
    #: the same by its narrowest path: a skip keeps it small
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
    #: first and last pixel that each element sees of this input: the output's dimensions, of size
    #: 1 where they do not matter, and 2. It is -1 where an element sees none, and then it sees none
    #: along the other axes either. At a border more may be told, never less: where such elements
    #: are added to others, and where all have seen the same before
    pixels: np.ndarray[Any, Any] = attribute(repr=False)
    #: why the field can't be told, with the operation where it was lost; else ""
    unknown: str = ""


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
                watcher.look_at(image)
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
        self.seen: Any = WeakTensorKeyDictionary()  # tensor: its tracks and the node it comes from
        self.written: dict[Any, str] = {}  # storages written in part, with the place
        self.records: list[tuple[str, str, tuple[int, ...], tuple[Track, ...]]] = []
        self.counts: Counter[str] = Counter()  # nodes by the first part of their name
        self.ends: dict[int, list[str]] = {}

    def look_at(self, image: Tensor) -> None:
        tracks = tuple(
            Track.of_input(axis, len(self.sizes), n) for axis, n in enumerate(self.sizes)
        )
        self.seen[image] = (tracks, -1)

    def place(self) -> str:
        """Return the path of the module that runs now."""
        return next(
            (self.names[one] for one in reversed(self.inside) if one in self.names), ""
        ) or ("the network itself")

    def tracks(self, tensor: Any) -> tuple[Track, ...] | None:
        if not isinstance(tensor, Tensor) or tensor not in self.seen:
            return None
        tracks: tuple[Track, ...] = self.seen[tensor][0]
        where = self.written.get(tensor.untyped_storage()._cdata)
        return tracks if where is None else tuple(unknown(where) for _ in tracks)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = tensors([result])
        given = [one for one in tensors(args) if self.tracks(one) is not None]
        operation = func.overloadpacket.__name__.strip("_")
        if not given or not outputs or operation in MADE:
            return result
        name = self.named(operation)
        found = follow(func, args, kwargs or {}, outputs, self.tracks, name)
        in_place = func._schema.is_mutable and isinstance(args[0], Tensor)
        if in_place and args[0] is outputs[0] and found.changes:
            storage = args[0].untyped_storage()
            others = [one for one in list(self.seen) if one is not args[0] and _share(one, args[0])]
            if others or args[0].numel() * args[0].element_size() < storage.nbytes():
                self.written[storage._cdata] = f"{name} writes into a part of a tensor"
        node = len(self.records)
        if found.is_step:
            self.counts[name.partition(" ")[0]] += 1
            self.records.append((name, operation, tuple(outputs[0].shape), found.tracks[0]))
        else:
            node = self.seen[given[0]][1]
        for output, tracks in zip(outputs, found.tracks, strict=True):
            self.seen[output] = (tracks, node)
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
                if path and tensor in self.seen:
                    self.ends.setdefault(self.seen[tensor][1], []).append(path + suffix)

        handles = [hooks.register_module_forward_pre_hook(enter)]
        handles.append(hooks.register_module_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def finish(self, result: Any) -> None:
        """Make nodes of what the network returns."""
        for suffix, tensor in _named_tensors(result):
            tracks = self.tracks(tensor)
            if tracks is not None:
                self.records.append((f"output{suffix}", "output", tuple(tensor.shape), tracks))

    def nodes(self) -> list[Node]:
        made = []
        for index, (name, operation, shape, tracks) in enumerate(self.records):
            widest = max(tracks, key=lambda track: track.width)
            ends = tuple(end for end in self.ends.get(index, ()) if end != name)
            axes = tuple(_axis(track) for track in tracks)
            made.append(Node(name, operation, shape, axes, widest.names(), ends))
        return made


def _axis(track: Track) -> AxisField:
    if track.lost:
        none = np.empty((0, 2), int)
        return AxisField(None, None, None, None, None, False, False, none, track.lost)
    wide, narrow = track.wide, track.narrow
    empty = wide.low > wide.high
    pixels = np.stack([np.where(empty, -1, wide.low), np.where(empty, -1, wide.high)], axis=1)
    pixels = pixels[track.place]
    even = wide.spans if track.is_line else None
    return AxisField(
        track.width,
        narrow.width,
        None if even is None or not even.is_even else even.step / even.period,
        None if even is None or not even.is_even else even.start,
        track.aligned,
        track.whole,
        track.sized,
        pixels,
    )


def _named_tensors(value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield "", value
    elif isinstance(value, Mapping):
        yield from ((f".{key}", one) for key, one in value.items() if isinstance(one, Tensor))
    elif isinstance(value, list | tuple):
        yield from ((f".{k}", one) for k, one in enumerate(value) if isinstance(one, Tensor))


def _share(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage()._cdata == other.untyped_storage()._cdata


def table(nodes: Sequence[Node]) -> str:
    """Return a row for each node: along the first axis, and the second where it differs."""
    lines = [
        f"{'node':40} {'size':>10} {'field':>7} {'least':>6} {'jump':>6} {'start':>7}  aligned"
    ]
    for node in nodes:
        size = "x".join(map(str, node.shape[2:])) if len(node.shape) > 2 else str(node.shape[-1])
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
