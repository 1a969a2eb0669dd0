"""Lesson 5's exercises: the right answers, and the mistakes that are known."""

import functools

import pytest
import torch
from checking import complaint

from vgg_utils.checks import broken_network
from vgg_utils.model import weight_layers


def sizes_of(net, images, relu=False):
    """Return what each layer puts out, as its root mean square, in order."""
    sizes = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, x: sizes.append((x.relu() if relu else x).square().mean().sqrt())
        )
        for layer in weight_layers(net).values()
    ]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    return [float(value) for value in sizes]


@torch.no_grad()
def one_by_one(net, images, power=1.0, relu=False):
    """Set each layer before the next one is measured."""
    for index, layer in enumerate(weight_layers(net).values()):
        layer.weight.div_(sizes_of(net, images, relu)[index] ** power)


@torch.no_grad()
def by_ratios(net, images, kind=""):
    """Set all layers whose name begins with `kind` after a single pass."""
    sizes = sizes_of(net, images)
    for (name, layer), before, size in zip(
        weight_layers(net).items(), [1, *sizes], sizes, strict=False
    ):
        if name.startswith(kind):
            layer.weight.mul_(before / size)


@torch.no_grad()
def by_deviation(net, images):
    """Divide by the standard deviation, which leaves the mean out."""
    deviations = []
    for layer in weight_layers(net).values():
        hook = layer.register_forward_hook(lambda layer, inputs, x: deviations.append(x.std()))
        net(images)
        hook.remove()
        layer.weight.div_(deviations[-1])


@torch.no_grad()
def measured_late(net, images):
    """Keep the output itself and measure it after the pass, when its ReLU has overwritten it."""
    kept = []
    for layer in weight_layers(net).values():
        hook = layer.register_forward_hook(lambda layer, inputs, x: kept.append(x))
        net(images)
        hook.remove()
        layer.weight.div_(kept[-1].square().mean().sqrt())


@torch.no_grad()
def by_formula(net, images):
    generator = torch.Generator().manual_seed(0)
    for layer in weight_layers(net).values():
        layer.weight.normal_(0, 1 / layer.weight[0].numel() ** 0.5, generator=generator)


@torch.no_grad()
def all_at_once(net, images, power=1):
    for layer, size in zip(weight_layers(net).values(), sizes_of(net, images), strict=True):
        layer.weight.div_(size**power)


def under_no_protection(net, images):
    for layer in weight_layers(net).values():
        layer.weight.div_(2)


AILING = {
    "P": "weights too small",
    "Q": "dead layer",
    "R": "softmax inside",
    "S": "weights too large",
}


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("5.1", 0.0089),
        ("5.1", torch.tensor(2 / 25088).sqrt()),
        ("5.2", by_ratios),
        ("5.2", one_by_one),
        ("5.3", AILING),
    ],
)
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("5.1", 2 / 25088, "square root"),
        ("5.1", (1 / 25088) ** 0.5, "drops half"),
        ("5.1", (1 / 50176) ** 0.5, "wrong side"),
        ("5.1", (2 / 29184) ** 0.5, "Xavier"),
        ("5.1", (2 / 4096) ** 0.5, "fan-out"),
        ("5.1", (2 / 512) ** 0.5, "7 x 7 values"),
        ("5.1", (2 / 3584) ** 0.5, "not 7 values long"),
        ("5.1", (2 / 4608) ** 0.5, "3x3 window"),
        ("5.1", 112, "upside down"),
        ("5.1", (6 / 25088) ** 0.5, "uniform"),
        ("5.1", 0.01, "a gain of 1.12"),
        ("5.1", 0.06, "fan-in is 7 * 7 * 512"),
        ("5.2", lambda net, images: None, "as it was"),
        ("5.2", all_at_once, "after those are set"),
        ("5.2", functools.partial(one_by_one, relu=True), "behind the ReLU"),
        ("5.2", functools.partial(one_by_one, power=2), "not by its square"),
        ("5.2", functools.partial(all_at_once, power=-1), "do not multiply"),
        ("5.2", measured_late, "work in place"),
        ("5.2", by_deviation, "not by the standard deviation"),
        ("5.2", by_formula, "a formula does not do"),
        ("5.2", functools.partial(by_ratios, kind="conv"), "fully connected layers count too"),
        ("5.2", under_no_protection, "torch.no_grad()"),
        ("5.2", lambda net: None, "answer(net, images)"),
        ("5.3", ["dead layer"], "Give a dict"),
        ("5.3", {"P": "weights too small"}, "Q has none"),
        ("5.3", {**AILING, "R": "softmax"}, "not on the list"),
        ("5.3", {**AILING, "P": "dead layer"}, "shrink"),
        ("5.3", {**AILING, "Q": "weights too small"}, "exactly zero"),
        ("5.3", {**AILING, "R": "weights too small"}, "sum to 1"),
        ("5.3", {**AILING, "S": "dead layer"}, "first loss"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)


def test_an_unlisted_diagnosis_is_answered_with_the_whole_list():
    said = complaint("5.3", {**AILING, "R": "softmax"})
    assert sorted(said.split("'")[3::2]) == sorted(AILING.values())


def test_broken_networks_have_the_ailments_that_the_check_names():
    torch.manual_seed(0)
    images = torch.randn(8, 1, 32, 32)
    state = torch.get_rng_state()
    outputs = {name: broken_network(name)(images).detach() for name in AILING}
    assert torch.equal(torch.get_rng_state(), state)  # asking draws no random numbers
    assert 0 < outputs["P"].std(0).max() < 1e-6
    assert torch.equal(outputs["Q"], torch.zeros(8, 10))
    assert torch.allclose(outputs["R"].sum(1), torch.ones(8)) and outputs["R"].min() >= 0
    assert outputs["S"].std() > 100
    for name in AILING:  # the page's `examine` asks each for its layers
        assert len(weight_layers(broken_network(name))) == 11
    with pytest.raises(ValueError, match="no network 'T': choose one of P, Q, R, S"):
        broken_network("T")
