"""Grad-CAM: where the evidence for a class lies (Selvaraju et al., arXiv:1610.02391, Sect. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from vgg_utils.configs import positive
from vgg_utils.inputs import check_images, evaluating, layers_in, unwrap

# What may follow the last convolution and its ReLU within `features`.
_AFTER = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Identity)


@torch.inference_mode(False)
@torch.enable_grad()
def grad_cam(
    model: nn.Module,
    images: torch.Tensor,
    classes: int | Sequence[int] | torch.Tensor,
    *,
    batch_size: int = 64,
) -> torch.Tensor:
    """Return where the evidence for a class lies: (N, height, width), on the grid of the last map.

    The last convolution's map, before the pools that follow it, is summed over channels, each
    weighted by the mean gradient of the class's logit; what is negative becomes zero.

    Arguments:
        model: a `VGGNet`, wrapped or not, or another network of `features`, `avgpool` and
            `classifier`. Its modes, flags and gradients are left as they were found.
        images: (N, channels, height, width), prepared as in training.
        classes: the class to ask for, in each image (N,) or, as one int, in all of them.
        batch_size: the most images on the model's device at a time. The answer is on the CPU.

    Raises TypeError for another network or classes that are no integers, and ValueError for images
    that do not fit, another number of classes than of images, or a class that does not exist.
    """
    network: Any = unwrap(model)
    check_images(images, network)
    parts = [getattr(network, name, None) for name in ("features", "avgpool", "classifier")]
    if not all(isinstance(part, nn.Module) for part in parts):
        raise TypeError(f"grad_cam needs features, avgpool and classifier, got {type(network)}")
    batch_size = positive("batch_size", batch_size)
    wanted = _checked_classes(classes, len(images))

    below = [layer for _, layer in layers_in(network.features, "features")]
    above = [network.avgpool]
    while len(below) > 1 and isinstance(below[-1], _AFTER):
        above.insert(0, below.pop())
    device = next(network.parameters()).device
    heat = []
    with evaluating(network):
        for part, asked in zip(images.split(batch_size), wanted.split(batch_size), strict=True):
            with torch.no_grad():  # below the last map no gradient is asked for
                maps = nn.Sequential(*below)(part.to(device))
            maps = maps.detach().requires_grad_()
            # A copy goes on, since a layer in place may overwrite what it is given.
            pooled = nn.Sequential(*above)(maps.clone())
            logits = network.classifier(torch.flatten(pooled, 1))
            most = logits.shape[1] - 1
            if ((wanted < 0) | (wanted > most)).any():
                raise ValueError(f"classes must lie between 0 and {most}, got {wanted.tolist()}")
            chosen = logits.gather(1, asked.to(device)[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, maps)
            weights = gradient.mean(dim=(2, 3), keepdim=True)  # (N, channels, 1, 1)
            heat.append((weights * maps).sum(dim=1).relu().detach().cpu())
    return torch.cat(heat)


def _checked_classes(classes: Any, count: int) -> torch.Tensor:
    """Return the classes as int64 (count,)."""
    try:
        wanted = torch.as_tensor(classes)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"classes must be an int or a list of ints, got {classes!r}") from error
    if wanted.is_floating_point() or wanted.is_complex() or wanted.dtype == torch.bool:
        raise TypeError(f"classes must be integers, got {wanted.dtype}")
    if wanted.dim() > 0 and wanted.shape != (count,):
        got = tuple(wanted.shape)
        raise ValueError(f"{count} images want {count} classes, or one int for all, got {got}")
    return wanted.long().expand(count)
