"""Exercises on starting deep networks (chapter 4), and the broken networks of one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vgg_utils.checks.base import call, exercise, look_up, numbers
from vgg_utils.configs import layer_configs

if TYPE_CHECKING:
    import torch

    from vgg_utils.model import VGGNet


@numbers("4.1", "4.2")
def _tables() -> str:
    fan_in, fan_out = 3 * 3 * 256, 3 * 3 * 512  # conv4_1 of D
    halved, outward, xavier, unwindowed = (
        math.sqrt(2 / fan) for fan in (4 * fan_in, fan_out, fan_in + fan_out, 256)
    )
    convolutions = sum(not isinstance(layer, str) for layer in layer_configs["E"])
    layers, pools = convolutions + 3, layer_configs["E"].count("M")

    def root(count: int) -> float:
        """Return the factor by which `count` layers reach 10^9 together."""
        return 10 ** (9 / count)

    return f"""
4.1 is {math.sqrt(2 / fan_in)}: Set the gain, std * sqrt(fan-in / 2), to 1; fan-in is 3 * 3 * 256.
  {2 / fan_in}: That is the variance of the weights; take its square root.
  {math.sqrt(1 / fan_in)}: That would do without the ReLU, which drops half of the mean square.
  {halved}: The 2 stands on the wrong side: the weights make up for what the ReLU drops.
  {outward}: That counts the 512 channels that go out; a value adds up what comes in.
  {xavier}: That is Xavier's compromise between fan-in and fan-out; the scale falls with it.
  {unwindowed}: A 3x3 window reads nine values of each channel that comes in.
4.2 is {root(layers)}: Each layer with weights brings the factor once. How many does E have?
  {root(1)}: Every layer has the factor, and each passes on what those before it made.
  {1e9 / layers}: The factors of the layers multiply; they do not add up.
  {1 / root(layers)}: That makes the logits smaller still: turn the fraction over.
  {root(convolutions)}: That is D's {convolutions} layers, or E's without the fully connected ones.
  {root(layers + pools)}: The pools have no weights, and pass on the factor that they are given.
  {root(11)} or {root(13)}: That is another network of Table 1; E has {layers} layers with weights.
  {root(layers - 1)} or {root(layers + 1)}: That is one layer off: count those with weights again.
"""


@exercise("4.3")
def _measured_start(answer: Any) -> str | None:
    import torch

    from vgg_utils.model import VGGNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = VGGNet(1, 10, "D", width=1 / 16, pool_size=1, hidden_features=32, init=0.05).eval()
        images = torch.randn(8, 1, 32, 32)
    before = outputs(net, images)
    call(answer, net, images, how="as answer(net, images)")
    after = outputs(net, images)

    def size(x: torch.Tensor) -> float:
        return x.square().mean().sqrt().item()

    def close(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=0.02)

    wrong = [name for name, x in after.items() if not close(size(x), 1)]
    if not wrong:
        return None
    old, new = ([size(x) for x in found.values()] for found in (before, after))
    behind = all(close(size(x.relu()), 1) for x in list(after.values())[:-1])
    unchanged = all(map(close, old, new))
    deviation = all(close(x.std().item(), 1) for x in after.values())
    table = f"""
4.3 is False: A layer's size depends on all before it: measure it after those are set.
  {unchanged}: The network is as it was: change layer.weight in place, under torch.no_grad().
  {behind}: It is 1 behind the ReLU, and should be 1 for what the layer itself puts out. Measure
    inside the hook: the network's ReLUs work in place and overwrite the output afterwards.
  {deviation}: Divide by the root mean square, not by the standard deviation.
  {close(new[0], 1 / old[0])}: Divide by the size, not by its square.
  {close(new[0], old[0] ** 2)}: Divide by the size, do not multiply.
  {wrong[0] == "conv1_1"}: Measure it on these images; a formula does not do.
  {wrong[0].startswith("fc")}: The three fully connected layers count too.
"""
    reason = look_up("4.3", table)
    return f"{wrong[0]} puts out a size of {size(after[wrong[0]]):.3g}; it should be 1. {reason}"


def outputs(net: VGGNet, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what each layer with weights puts out for these images, by its name."""
    import torch

    from vgg_utils.model import weight_layers

    names = {layer: name for name, layer in weight_layers(net).items()}
    found: dict[str, torch.Tensor] = {}

    def keep(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        found[names[layer]] = output.clone()  # the ReLU that follows works in place

    hooks = [layer.register_forward_hook(keep) for layer in names]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    return found


# What ails the networks of exercise 4.4, how it shows, and how they start.
BROKEN: dict[str, tuple[str, str, str | float]] = {
    "P": ("weights too small", "nothing is exactly zero, but values shrink by the layer", 0.01),
    "Q": ("dead layer", "all its logits are the same, and some gradients are exactly zero", "he"),
    "R": ("softmax inside", "its outputs are never negative and sum to 1 for each image", "he"),
    "S": ("weights too large", "its first loss is far above ln 10", 0.3),
}


def broken_network(name: str) -> VGGNet:
    """Return one of the four broken networks of exercise 4.4: "P", "Q", "R" or "S".

    Each is A at an eighth of its width, for images (N, 1, 32, 32), with logits (N, 10).

    Raises ValueError for another name.
    """
    import torch

    from vgg_utils.model import VGGNet, weight_layers

    if name not in BROKEN:
        raise ValueError(f"no network {name!r}: choose one of {', '.join(BROKEN)}")
    ailment, _, init = BROKEN[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = VGGNet(1, 10, "A", width=1 / 8, pool_size=1, hidden_features=512, init=init)
    if ailment == "dead layer":
        torch.nn.init.constant_(weight_layers(net)["conv4_1"].bias, -100.0)  # type: ignore[arg-type]
    if ailment == "softmax inside":
        net.classifier.append(torch.nn.Softmax(dim=1))
    return net.eval()


@exercise("4.4")
def _diagnoses(answer: Any) -> str | None:
    if not isinstance(answer, dict):
        return f"Give a dict such as {{'P': 'dead layer'}}; this is {type(answer).__name__}."
    known = sorted(ailment for ailment, _, _ in BROKEN.values())
    for name, (ailment, symptom, _) in BROKEN.items():
        if name not in answer:
            return f"Each of {', '.join(BROKEN)} needs a diagnosis; {name} has none."
        given = answer[name]
        if given not in known:
            return f"{name}: {given!r} is not on the list. Choose among {str(known)[1:-1]}."
        if given != ailment:
            return f"{name} has another ailment than {given!r}: {symptom}."
    return None
