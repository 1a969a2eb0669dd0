"""The entry check: what is refused, what is warned of, and what is left as it was found."""

import copy
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.optim.swa_utils import AveragedModel

from vgg_utils.evaluation import evaluate, predict
from vgg_utils.inputs import check_images, evaluating, unwrap
from vgg_utils.inside import grad_cam
from vgg_utils.model import VGGNet


def net(**options):
    torch.manual_seed(0)
    return VGGNet(
        3, 4, [(3, 4), "M", (3, 4), "M"], **{"pool_size": 1, "hidden_features": 6, **options}
    )


IMAGES = torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([IMAGES[0], IMAGES[1]], TypeError, "got <class 'list'>: stack tensors"),
        (IMAGES.numpy(), TypeError, "got <class 'numpy.ndarray'>"),
        (
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)),
            TypeError,
            "got <class 'PIL.Image.Image'>",
        ),
        (None, TypeError, "got <class 'NoneType'>"),
        (IMAGES.byte(), ValueError, "torch.uint8: divide by 255 and subtract the mean first"),
        (IMAGES.long(), ValueError, "torch.int64: divide by 255"),
        (IMAGES[0], ValueError, r"\(3, 8, 8\): give a single image as image\[None\]"),
        (IMAGES[0, 0], ValueError, r"got \(8, 8\)"),
        (
            IMAGES.permute(0, 2, 3, 1),
            ValueError,
            r"shape \(N, 3, height, width\), got \(2, 8, 8, 3\)",
        ),
        (IMAGES[:, :1], ValueError, r"shape \(N, 3, height, width\), got \(2, 1, 8, 8\)"),
        (IMAGES[..., :3], ValueError, "8x3 pixels is too small .* at least 4"),
        (IMAGES.index_fill(0, torch.tensor(1), torch.nan), ValueError, "NaN .* first image 1"),
        (IMAGES - torch.inf, ValueError, "NaN or infinite values, first image 0"),
    ],
)
def test_what_is_refused_and_by_whom(images, error, message):
    model = net()
    for helper in (check_images, lambda i, m: predict(m, i), lambda i, m: grad_cam(m, i, 0)):
        with pytest.raises(error, match=message):
            helper(images, model)
        assert all(module.training for module in model.modules())


@pytest.mark.parametrize("model", [None, "D", VGGNet, {"weight": 1}])
def test_a_model_that_is_no_module_is_refused(model):
    with pytest.raises(TypeError, match=r"the model must be a torch\.nn\.Module, got <class"):
        check_images(IMAGES, model)


def test_good_images_pass_whatever_their_type_and_number():
    for images in (IMAGES, IMAGES.double(), IMAGES.half(), IMAGES[:0], torch.zeros(1, 3, 4, 90)):
        check_images(images, net())
    check_images(IMAGES[:, :2, :1, :1], nn.Flatten())  # a module that says nothing of its images
    check_images(IMAGES[..., :2, :2], net(), any_size=True)


# The range of the pixels


def warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if "values of up to" in str(one.message)]


@pytest.mark.parametrize(
    ("pixel_range", "largest", "told"),
    [
        (None, 20.0, False),
        (None, 21.0, True),
        (None, -255.0, True),
        ((-0.5, 0.5), 1.9, False),
        ((-0.5, 0.5), -2.1, True),
        ((-2.0, 3.0), 11.9, False),
        ((0.0, 255.0), 255.0, False),
        ((0.0, 255.0), 1100.0, True),
    ],
)
def test_values_far_outside_what_training_saw_are_warned_of_once(pixel_range, largest, told):
    images = IMAGES.clone()
    images[1, 2, 3, 4] = largest
    model = net().eval()
    model.pixel_range = pixel_range
    wraps = (model, nn.DataParallel(model))
    calls = [lambda m=m: check_images(images, m) for m in wraps]
    calls += [lambda: model(images), lambda: predict(model, images)]
    for call in calls:
        other = copy.deepcopy(model) if call is calls[2] else None
        found = warned(call)
        assert len(found) == (told and call is calls[0])
        if other is not None:
            assert len(warned(lambda other=other: other(images))) == told  # another network
    if told:
        assert f"{abs(largest):g}" in warned(lambda: copy.deepcopy(model)(images))[0]


def test_each_helper_and_the_network_warn_and_training_does_not():
    bright = 255 * torch.rand(2, 3, 8, 8)
    pairs = [(image, 0) for image in bright]
    for call in (
        lambda m: m.eval()(bright),
        lambda m: predict(m, bright),
        lambda m: grad_cam(m, bright, 0),
        lambda m: evaluate(m, pairs, [8], progress=False),
    ):
        assert len(warned(lambda call=call: call(net()))) == 1
    assert warned(lambda: net().train()(bright)) == []
    assert len(warned(lambda: predict(nn.Flatten(), bright))) == 1


# What is left as it was found


def test_evaluating_puts_each_modules_mode_back_even_after_an_error():
    model = net(batch_norm=True).train()
    model.features[1].eval()
    model.classifier[2].eval()
    before = [module.training for module in model.modules()]
    assert {True, False} == set(before)
    with pytest.raises(KeyError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == before


def test_unwrap_goes_through_any_nesting_and_leaves_others_alone():
    model = net()
    compiled = torch.compile(model, backend="eager")
    for wrapped in (
        model,
        compiled,
        nn.DataParallel(model),
        nn.DataParallel(compiled),
        torch.compile(nn.DataParallel(model), backend="eager"),
    ):
        assert unwrap(wrapped) is model
    averaged = AveragedModel(model)
    assert unwrap(averaged) is averaged.module

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)

    own = Own()
    assert unwrap(own) is own
    assert unwrap(None) is None
