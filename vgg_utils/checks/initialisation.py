"""Exercises on starting deep networks (chapter 4), and the broken networks of one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vgg_utils.checks.base import Values, call, exercise, look_up

if TYPE_CHECKING:
    import torch

    from vgg_utils.model import VGGNet


def small_net(config: str, **options: Any) -> VGGNet:
    """Return a network for images (N, 1, 32, 32), always the same, with logits (N, 10)."""
    import torch

    from vgg_utils.model import VGGNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGGNet(1, 10, config, pool_size=1, **options).eval()


@exercise("4.3")
def _measured_start(answer: Any) -> Values:
    import torch

    net = small_net("D", width=1 / 16, hidden_features=32, init=0.05)
    images = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    before = outputs(net, images)
    call(answer, net, images)
    after = outputs(net, images)

    def size(x: torch.Tensor) -> float:
        return x.square().mean().sqrt().item()

    def close(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=0.02)

    wrong = [name for name, x in after.items() if not close(size(x), 1)]
    if not wrong:
        return {"right": True}
    old, new = ([size(x) for x in found.values()] for found in (before, after))
    reasons = {
        "right": False,
        "layer": wrong[0],
        "unchanged": all(map(close, old, new)),
        "behind_relu": all(close(size(x.relu()), 1) for x in list(after.values())[:-1]),
        "deviation": all(close(x.std().item(), 1) for x in after.values()),
        "squared": close(new[0], 1 / old[0]),
        "multiplied": close(new[0], old[0] ** 2),
    }
    found = {"layer": wrong[0], "size": size(after[wrong[0]])}
    return {"right": False, "reason": look_up("reason", reasons), **found}


def outputs(net: VGGNet, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what each layer with weights puts out for these images, by its name."""
    import torch

    from vgg_utils.model import weight_layers

    names = {layer: name for name, layer in weight_layers(net).items()}
    found, x = {}, images
    with torch.no_grad():
        for layer in (*net.features, net.avgpool, torch.nn.Flatten(), *net.classifier):
            x = layer(x)
            if layer in names:
                found[names[layer]] = x.clone()  # the ReLU that follows works in place
    return found


# What ails the networks of exercise 4.4, and how they start.
BROKEN: dict[str, tuple[str, str | float]] = {
    "P": ("weights too small", 0.01),
    "Q": ("dead layer", "he"),
    "R": ("softmax inside", "he"),
    "S": ("weights too large", 0.3),
}


def broken_network(name: str) -> VGGNet:
    """Return one of the four broken networks of exercise 4.4: "P", "Q", "R" or "S".

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
        net.classifier.append(torch.nn.Softmax(dim=1))
    return net.eval()


@exercise("4.4")
def _diagnoses(answer: Any) -> Values:
    if not isinstance(answer, dict):
        return {"no_dict": True}
    known = sorted(ailment for ailment, _ in BROKEN.values())
    for name, (ailment, _) in BROKEN.items():
        if name not in answer:
            return {"right": False, "missing": name}
        values = {"name": name, "given": answer[name], "listed": str(known)[1:-1]}
        if answer[name] not in known:
            return {"unlisted": True, **values}
        if answer[name] != ailment:
            return values
    return {"right": True}
