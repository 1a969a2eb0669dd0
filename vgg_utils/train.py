"""Training with the paper's recipe: SGD with momentum, weight decay, a rate divided by ten.

Source: Simonyan and Zisserman, arXiv:1409.1556, Sect. 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from vgg_utils.configs import positive
from vgg_utils.data import ImageData
from vgg_utils.evaluate import predict, top_k_error


def fit(
    model: nn.Module,
    data: ImageData,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    drop_at: Sequence[int] = (),
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> list[dict[str, float]]:
    """Train a classifier in place and return its history, one row per epoch.

    Arguments:
        model: maps images (N, channels, H, W) to logits (N, classes).
        data: the training set, and the test set on which each epoch's error is reported.
        batch_size: images per step. The paper's is 256, of 1.3 million images.
        learning_rate, momentum, weight_decay: the paper's values by default.
        drop_at: epochs after which the learning rate is divided by ten. The paper drops it when
            the validation accuracy stops improving; fixed epochs need no third data set.
        augment: changes a batch of training images, such as a random shift.
        seed: fixes the order of the images, the augmentation and dropout.
        device: where to train; by default where the model is.
        progress: show a bar.

    Each row has `epoch` (from 1), `learning_rate`, `train_loss` (mean cross-entropy over the epoch,
    with dropout and augmentation on), `test_loss` and `test_error` (top-1, percent).

    Raises ValueError for a setting out of range, and RuntimeError as soon as the loss is not
    finite, with the step it happened at.
    """
    epochs, batch_size = positive("epochs", epochs), positive("batch_size", batch_size)
    drop_at = [positive("each epoch in drop_at", epoch) for epoch in drop_at]
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate!r}")

    torch.manual_seed(seed)
    device = torch.device(device) if device else next(model.parameters()).device
    model.to(device)
    images, labels = (tensor.to(device) for tensor in data.train.tensors)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drop_at, gamma=0.1)

    history: list[dict[str, float]] = []
    with tqdm(total=epochs, unit="epoch", disable=not progress, leave=False) as bar:
        for epoch in range(1, epochs + 1):
            rate = optimizer.param_groups[0]["lr"]
            train_loss = _train_epoch(model, images, labels, optimizer, batch_size, augment, epoch)
            schedule.step()
            test_images, test_labels = data.test.tensors
            logits = predict(model, test_images)
            history.append(
                {
                    "epoch": epoch,
                    "learning_rate": rate,
                    "train_loss": train_loss,
                    "test_loss": F.cross_entropy(logits, test_labels).item(),
                    "test_error": top_k_error(logits, test_labels),
                }
            )
            bar.update()
            bar.set_postfix(loss=f"{train_loss:.3f}", error=f"{history[-1]['test_error']:.1f}%")
    return history


def _train_epoch(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    augment: Callable[[torch.Tensor], torch.Tensor] | None,
    epoch: int,
) -> float:
    """Go once through the training set in a random order; return the mean loss."""
    model.train()
    total = 0.0
    for step, index in enumerate(_batches(len(images), batch_size), start=1):
        index = index.to(images.device)
        batch = augment(images[index]) if augment else images[index]
        loss = F.cross_entropy(model(batch), labels[index])
        if not math.isfinite(loss.item()):
            rate = optimizer.param_groups[0]["lr"]
            raise RuntimeError(
                f"the loss is {loss.item()} at epoch {epoch}, step {step}, with a learning rate of "
                f"{rate:g}: try a tenth of that rate, and check that the images are finite"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(index)
    return total / len(images)


def _batches(count: int, batch_size: int) -> list[torch.Tensor]:
    """Split a random order of `count` images; a last batch of one joins its neighbour.

    On a 1x1 map one image leaves batch normalisation nothing to take a variance of.
    """
    batches = list(torch.randperm(count).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
