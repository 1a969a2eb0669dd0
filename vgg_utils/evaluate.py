"""Top-k error, the paper's measure, and the predictions it is taken from.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 4: top-1 error is the share of images whose
class is not the highest score; top-5 error, of those whose class is not among the five highest.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def predict(model: nn.Module, images: torch.Tensor, *, batch_size: int = 256) -> torch.Tensor:
    """Return the logits (N, classes), on the CPU, of images (N, channels, height, width).

    Works batch by batch on the model's own device, with dropout off and batch normalisation fixed;
    every part of the model is left in the mode it was found in.
    """
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        logits = [model(batch.to(device)).float().cpu() for batch in images.split(batch_size)]
    finally:
        for module, training in modes.items():
            module.training = training
    return torch.cat(logits)


def top_k_error(logits: torch.Tensor, labels: torch.Tensor, k: int = 1) -> float:
    """Return the percentage of images whose label is not among the k highest scores.

    logits (N, classes), labels (N,). Raises ValueError for shapes that do not fit together, no
    images at all, a k beyond the number of classes, a label that is no class, or a NaN.
    """
    if logits.dim() != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            "expected logits (N, classes) and labels (N,) with N of at least 1, got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"k must lie between 1 and {logits.shape[1]} classes, got {k}")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"labels must lie between 0 and {logits.shape[1] - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
    if logits.isnan().any():
        raise ValueError("the logits hold NaN, so no class is highest: did the training diverge?")
    hit = (logits.topk(k, dim=1).indices == labels[:, None]).any(dim=1)
    return 100 * int((~hit).sum()) / len(hit)
