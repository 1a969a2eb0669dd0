"""Lesson 11's exercises: the right answers, and the mistakes that are known."""

import pytest
import torch
from checking import complaint
from torchvision.models import VGG16_Weights

V1 = VGG16_Weights.IMAGENET1K_V1.transforms()
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (V1.mean, V1.std))
BGR = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)


def to_released(image):
    return (image * STD + MEAN)[[2, 1, 0]] * 255 - BGR


@pytest.mark.parametrize(("exercise", "answer"), [("11.3", to_released)])
def test_right_answers(exercise, answer):
    assert complaint(exercise, answer) is None


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("11.3", 3, "should be a function"),
        ("11.3", lambda image: image.nonsense, "fails"),
        ("11.3", lambda image: image[[3, 2, 1]], "fails"),
        ("11.3", lambda image: None, "end it with a return"),
        ("11.3", lambda image: image[None], "should have shape"),
        ("11.3", lambda image: to_released(image)[[2, 1, 0]], "still RGB"),
        ("11.3", lambda image: (image * STD + MEAN).flip(2) * 255 - BGR, "turns the picture"),
        ("11.3", lambda image: to_released(image).flip([0, 1]), "turns the picture"),
        ("11.3", lambda image: (image * STD + MEAN) * 255 - BGR, "order BGR"),
        ("11.3", lambda image: (image * STD + MEAN).flip(0) * 255, "not subtracted"),
        ("11.3", lambda image: (image * STD + MEAN).flip(0) - BGR, "range 0 to 1"),
        ("11.3", lambda image: image.flip(0) * 255 - BGR, "First undo"),
        ("11.3", lambda image: ((image + MEAN) * STD).flip(0) * 255 - BGR, "opposite order"),
        ("11.3", lambda image: image * 0, "reverse the channels"),
    ],
)
def test_mistakes_are_named(exercise, answer, hint):
    assert hint in complaint(exercise, answer)
