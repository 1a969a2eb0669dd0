"""The exercise on whitening (lesson 15)."""

from vgg_utils.checks.base import Values, alike, call, exercise


@exercise("15.1")
def _whiten(answer: object) -> Values:
    import torch

    mix = torch.tensor([[3.0, 2.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 1.5]])
    points = torch.randn(600, 3, generator=torch.Generator().manual_seed(0)) @ mix
    points -= points.mean(0)
    got = call(answer, points.clone(), shape=points.shape).detach().to(points)
    variances, directions = torch.linalg.eigh(torch.cov(points.T))
    found, one = torch.cov(got.T), torch.eye(3)
    spreads, loose = found.diagonal(), (found - found.diagonal().diag()).abs().max()
    uncorrelated = bool(loose < 0.01 * spreads.max())

    def has(wanted: torch.Tensor) -> bool:
        return uncorrelated and alike(spreads.sort().values, wanted.sort().values)

    return {
        "white": bool((found - one).abs().max() < 0.02),
        "untouched": alike(got, points),
        "standardised": bool((spreads - 1).abs().max() < 0.02),
        "turned": has(variances),
        "by_variance": has(1 / variances),
        "times_root": has(variances**2),
        "by_rows": alike(got, points @ directions.T / variances.sqrt()),
        "centred_only": uncorrelated,
    }
