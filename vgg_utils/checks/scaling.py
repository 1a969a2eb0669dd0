"""The exercise on gradients of unequal shares (lesson 14)."""

from vgg_utils.checks.base import Values, alike, call, exercise


@exercise("14.2")
def _gradient_of_unequal_shares(answer: object) -> Values:
    import torch

    gradients = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    given, sizes = list(gradients.clone()), [128, 96, 32]
    got = call(answer, given, list(sizes), shape=(2, 3))
    changed = not torch.equal(torch.stack(given), gradients)
    summed = (torch.tensor(sizes).view(3, 1, 1) * gradients).sum(0)
    return {
        "right": alike(got, summed / sum(sizes)) and not changed,
        "changed": changed,
        "plain_mean": alike(got, gradients.mean(0)),
        "plain_sum": alike(got, gradients.sum(0)),
        "summed": alike(got, summed),
        "by_devices": alike(got, summed / 3),
    }
