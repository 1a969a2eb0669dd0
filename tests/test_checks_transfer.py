"""Lesson 11's exercises: the right answers, and the mistakes that are known."""

import pytest
import torch
from checking import complaint
from torch import nn
from torchvision.models import VGG16_Weights

V1 = VGG16_Weights.IMAGENET1K_V1.transforms()
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (V1.mean, V1.std))
BGR = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)


def to_released(image):
    return (image * STD + MEAN)[[2, 1, 0]] * 255 - BGR


def put(net, layer):
    net.classifier[-1] = layer
    return net


def new_layer(net, classes):
    net.requires_grad_(False)
    return put(net, nn.Linear(net.classifier[-1].in_features, classes))


def whole_classifier(net, classes):
    net.classifier = nn.Linear(8, classes)
    return net


def only_the_label(net, classes):
    net.classifier[-1].out_features = classes
    return net


def drawn_anew(net, classes):
    for weight in net.parameters():
        nn.init.normal_(weight)
    return new_layer(net, classes)


def an_attribute(net, classes):
    net.requires_grad = False
    return put(net, nn.Linear(16, classes))


def features_alone(net, classes):
    net.features.requires_grad_(False)
    return put(net, nn.Linear(16, classes))


def all_but_its_bias(net, classes):
    new_layer(net, classes).classifier[-1].bias.requires_grad_(False)
    return net


@pytest.mark.parametrize(("exercise", "answer"), [("11.1", to_released), ("11.2", new_layer)])
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("11.1", 3, "should be a function"),
        ("11.1", lambda image: image.nonsense, "fails"),
        ("11.1", lambda image: image[[3, 2, 1]], "fails"),
        ("11.1", lambda image: None, "end it with a return"),
        ("11.1", lambda image: image[None], "should have shape"),
        ("11.1", lambda image: to_released(image)[[2, 1, 0]], "still RGB"),
        ("11.1", lambda image: (image * STD + MEAN).flip(2) * 255 - BGR, "turns the picture"),
        ("11.1", lambda image: to_released(image).flip([0, 1]), "turns the picture"),
        ("11.1", lambda image: (image * STD + MEAN) * 255 - BGR, "order BGR"),
        ("11.1", lambda image: (image * STD + MEAN).flip(0) * 255, "not subtracted"),
        ("11.1", lambda image: (image * STD + MEAN).flip(0) - BGR, "range 0 to 1"),
        ("11.1", lambda image: image.flip(0) * 255 - BGR, "First undo"),
        ("11.1", lambda image: ((image + MEAN) * STD).flip(0) * 255 - BGR, "opposite order"),
        ("11.1", lambda image: image * 0, "reverse the channels"),
        ("11.2", 5, "should be a function"),
        ("11.2", lambda net: net, "fails"),
        ("11.2", lambda net, classes: None, "return net"),
        ("11.2", lambda net, classes: 3, "should return the network"),
        ("11.2", whole_classifier, "fc6 and fc7 are gone"),
        ("11.2", lambda net, classes: put(net, nn.Linear(4096, classes)), "in_features"),
        ("11.2", only_the_label, "changes a label"),
        ("11.2", lambda net, classes: put(net, nn.Linear(16, 5)), "gives 5"),
        ("11.2", drawn_anew, "no longer what they were"),
        ("11.2", lambda net, classes: put(net, nn.Linear(16, 3)).requires_grad_(False), "first"),
        ("11.2", an_attribute, "only sets an attribute"),
        ("11.2", features_alone, "fc6 and fc7 too"),
        ("11.2", all_but_its_bias, "put a new nn.Linear"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
