"""Exercises on starting deep networks (lesson 5), and the broken networks of one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vgg_utils.checks.base import Values, call, exercise, look_up

if TYPE_CHECKING:
    from vgg_utils.model import VGGNet

# What ails the networks of exercise 5.3, and how they start.
BROKEN: dict[str, tuple[str, str | float]] = {
    "P": ("weights too small", 0.01),
    "Q": ("dead layer", "he"),
    "R": ("softmax inside", "he"),
    "S": ("weights too large", 0.3),
}


def small_net(config: str, **options: Any) -> VGGNet:
    """Return a network for images (N, 1, 32, 32), always the same, with logits (N, 10)."""
    import torch

    from vgg_utils.model import VGGNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGGNet(1, 10, config, pool_size=1, **options).eval()


@exercise("5.2")
def _measured_start(answer: Any) -> Values:
    import torch

    from vgg_utils.model import weight_layers

    net = small_net("D", width=1 / 16, hidden_features=32, init=0.05)
    images = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    layers = weight_layers(net)
    outputs: dict[torch.nn.Module, torch.Tensor] = {}
    for layer in layers.values():  # what it puts out is copied: the ReLU behind works in place
        layer.register_forward_hook(lambda layer, _, x: outputs.update({layer: x.clone()}))

    def sizes() -> list[float]:
        with torch.no_grad():
            net(images)
        return [x.square().mean().sqrt().item() for x in outputs.values()]

    def close(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=0.02)

    before = sizes()
    call(answer, net, images)
    after = sizes()
    wrong = {name: size for name, size in zip(layers, after, strict=True) if not close(size, 1)}
    if not wrong:
        return {"right": True}
    first, hidden = next(iter(wrong)), list(outputs.values())[:-1]
    reasons = {
        "layer": first,
        "unchanged": all(map(close, before, after)),
        "behind_relu": all(close(x.relu().square().mean().sqrt().item(), 1) for x in hidden),
        "deviation": all(close(x.std().item(), 1) for x in outputs.values()),
        "squared": close(after[0], 1 / before[0]),
        "multiplied": close(after[0], before[0] ** 2),
    }
    return {"layer": first, "size": wrong[first], "reason": look_up("reason", reasons)}


def broken_network(name: str) -> VGGNet:
    """Return one of the four broken networks of exercise 5.3: "P", "Q", "R" or "S".

    Each is A at an eighth of its width, for images (N, 1, 32, 32), with logits (N, 10).

    Raises ValueError for another name.
    """
    import torch

    from vgg_utils.model import weight_layers

    if name not in BROKEN:
        raise ValueError(f"no network {name!r}: choose one of {', '.join(BROKEN)}")
    ailment, init = BROKEN[name]
    net = small_net("A", width=1 / 8, hidden_features=512, init=init)
    if ailment == "dead layer":
        torch.nn.init.constant_(weight_layers(net)["conv4_1"].bias, -100.0)  # type: ignore[arg-type]
    if ailment == "softmax inside":
        # A layer of its own in the classifier would keep `weight_layers` from naming the others.
        net.register_forward_hook(lambda net, images, logits: logits.softmax(dim=1))
    return net.eval()


@exercise("5.3")
def _diagnoses(answer: Any) -> Values:
    if not isinstance(answer, dict):
        return {"no_dict": True}
    known = [ailment for ailment, _ in BROKEN.values()]
    for name, (ailment, _) in BROKEN.items():
        if name not in answer:
            return {"missing": name}
        if answer[name] != ailment:
            return {"name": name, "given": answer[name], "known": known}
    return {"right": True}
