"""Grad-CAM against hooks on a whole pass; what it refuses; what it leaves as it was found."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from vgg_utils.inside import grad_cam
from vgg_utils.model import VGGNet


def small_net(layers=((3, 4), "M", (3, 6), "M"), **options):
    torch.manual_seed(1)
    net = VGGNet(1, 3, list(layers), **{"pool_size": 2, "hidden_features": 8, **options})
    for module in net.modules():  # statistics unlike the starting ones
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return net


IMAGES = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(2))
CLASSES = [2, 0, 1, 2]


def by_hooks(net, watched, images=IMAGES, classes=CLASSES):
    """The same by keeping a layer's output in a whole pass of a copy, each image by itself."""
    net = copy.deepcopy(net).eval().requires_grad_(True)
    watched = dict(net.named_modules())[watched]
    kept = {}

    def keep(module, inputs, output):
        kept["maps"] = output.clone()
        kept["maps"].retain_grad()
        return kept["maps"].clone()  # which a layer in place may overwrite

    watched.register_forward_hook(keep)
    heat = []
    for image, wanted in zip(images, classes, strict=True):
        net(image[None])[0, wanted].backward()
        maps, gradient = kept["maps"].detach().numpy()[0], kept["maps"].grad.numpy()[0]
        heat.append(np.einsum("c,chw->hw", gradient.mean(axis=(1, 2)), maps).clip(0))
    return torch.from_numpy(np.stack(heat))


def truncated():
    net = small_net()
    net.features = net.features[:-1]  # ends in a ReLU
    net.avgpool = nn.AdaptiveMaxPool2d(2)
    return net, "features.4"


def ends_in_a_convolution():
    """Whose map goes straight to a head that begins with a ReLU in place."""
    net = small_net()
    net.features = net.features[:-2]
    net.avgpool = nn.Identity()
    net.classifier = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6 * 8 * 8, 3))
    return net, "features.3"


def nested():
    net = small_net()
    net.features = nn.Sequential(
        net.features[:3], nn.Sequential(net.features[3:5], nn.MaxPool2d(2))
    )
    return net, "features.1.0.4"


def another_head():
    net = small_net(pool_size=1)
    net.classifier = nn.Linear(6, 3)
    return net, "features.4"


def frozen():
    return small_net(batch_norm=True).requires_grad_(False), "features.6"


NETWORKS = {
    "plain": lambda: (small_net(), "features.4"),
    "no pool": lambda: (small_net([(3, 4), "M", (3, 6), (3, 5)]), "features.6"),
    "not in place": lambda: (small_net(inplace=False), "features.4"),
    "batch norm": lambda: (small_net(batch_norm=True), "features.6"),
    "normalised by LRN": lambda: (small_net([(3, 6), "LRN", (3, 6), "LRN", "M"]), "features.5"),
    "truncated": truncated,
    "ends in a convolution": ends_in_a_convolution,
    "nested": nested,
    "another head": another_head,
    "frozen": frozen,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_agrees_with_hooks_on_a_whole_pass(name):
    net, watched = NETWORKS[name]()
    expected = by_hooks(net, watched)
    found = grad_cam(net, IMAGES, torch.tensor(CLASSES), batch_size=3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (expected.amax((1, 2)) > 0).sum() >= 2
    assert not found.requires_grad


def test_grad_cam_of_torchvisions_network_is_that_of_ours():
    theirs = torchvision.models.vgg11(weights=None, init_weights=False)
    theirs.classifier = nn.Linear(512 * 49, 3)
    ours = VGGNet(3, 3, "vgg11", hidden_features=1, init="pytorch")
    ours.features, ours.classifier = theirs.features, theirs.classifier
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(grad_cam(theirs, images, [0, 2]), grad_cam(ours, images, [0, 2]))


@pytest.mark.parametrize(
    "classes",
    [1, np.int64(1), [1] * 4, (1, 1, 1, 1), np.ones(4, int), torch.ones(4, dtype=torch.int32)],
)
def test_classes_come_as_an_int_a_list_or_a_tensor(classes):
    net = small_net()
    expected = grad_cam(net, IMAGES, torch.tensor([1, 1, 1, 1]))
    assert torch.equal(grad_cam(net, IMAGES, classes), expected)
    assert expected.any()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_are_enabled_inside(context):
    net = small_net()
    expected = grad_cam(net, IMAGES, CLASSES)
    with context():
        assert torch.equal(grad_cam(net, IMAGES, CLASSES), expected)
        assert torch.equal(grad_cam(net, IMAGES.clone(), CLASSES), expected)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_a_wrapped_network_gives_the_same(wrap):
    net = small_net()
    assert torch.equal(grad_cam(wrap(net), IMAGES, 2), grad_cam(net, IMAGES, 2))


@pytest.mark.parametrize("classes", [CLASSES, [9, 9, 9, 9]])
def test_nothing_of_the_network_changes_even_after_an_error(classes):
    net = small_net(batch_norm=True, dropout=0.5).train()
    net.features[1].eval()
    net.features[0].weight.requires_grad_(False)
    net.classifier[0].weight.grad = torch.ones_like(net.classifier[0].weight)

    def found():
        modes = [module.training for module in net.modules()]
        flags = [parameter.requires_grad for parameter in net.parameters()]
        grads = [None if p.grad is None else p.grad.sum().item() for p in net.parameters()]
        values = [value.clone() for value in net.state_dict().values()]
        return modes, flags, grads, values, torch.get_rng_state(), torch.is_grad_enabled()

    before, images = found(), IMAGES.clone()
    try:
        grad_cam(net, images, classes)
    except ValueError:
        assert classes != CLASSES
    after = found()
    assert before[:3] == after[:3] and before[5] == after[5]
    assert all(map(torch.equal, before[3], after[3])) and torch.equal(before[4], after[4])
    assert torch.equal(images, IMAGES) and not images.requires_grad


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        ([1], ValueError, r"4 images want 4 classes, .*got \(1,\)"),
        (torch.tensor([1]), ValueError, r"4 images want 4 classes, .*got \(1,\)"),
        (torch.tensor([[1], [1], [1], [1]]), ValueError, r"got \(4, 1\)"),
        ([1, 2, 0, 1, 2], ValueError, r"got \(5,\)"),
        (3, ValueError, "classes must lie between 0 and 2, got .*3"),
        ([0, 1, -1, 2], ValueError, r"between 0 and 2, got \[0, 1, -1, 2\]"),
        (1.0, TypeError, "classes must be integers, got torch.float32"),
        (True, TypeError, "classes must be integers, got torch.bool"),
        ("cat", TypeError, "a list of ints, got 'cat'"),
        (None, TypeError, "a list of ints, got None"),
    ],
)
def test_classes_that_cannot_be_asked_for(classes, error, message):
    with pytest.raises(error, match=message):
        grad_cam(small_net(), IMAGES, classes, batch_size=3)


def test_other_bad_input_is_named():
    with pytest.raises(ValueError, match="batch_size must be a positive integer, got 0"):
        grad_cam(small_net(), IMAGES, 0, batch_size=0)
    with pytest.raises(TypeError, match=r"features, avgpool and classifier, got .*Linear"):
        grad_cam(nn.Linear(2, 2), IMAGES, 0)
    with pytest.raises(ValueError, match=r"\(N, 1, height, width\)"):
        grad_cam(small_net(), IMAGES.expand(4, 3, 16, 16), 0)
