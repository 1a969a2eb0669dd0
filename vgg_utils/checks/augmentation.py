"""The exercise on mirroring (lesson 7)."""

from vgg_utils.checks.base import Values, call, exercise


@exercise("7.1")
def _mirror(answer: object) -> Values:
    import torch

    batch = torch.rand(200, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    runs = [call(answer, batch.clone(), shape=batch.shape) for _ in range(4)]

    def like(expected: torch.Tensor) -> torch.Tensor:
        return (runs[0] == expected).flatten(1).all(dim=1)  # (N,)

    kept, mirrored = like(batch), like(batch.flip(3))
    return {
        "drawn": not all(torch.equal(run, runs[0]) for run in runs),
        "upside_down": like(batch.flip(2)).any(),
        "colours_turned": like(batch.flip(1)).any(),
        "shuffled": like(batch.flip(0)).any(),
        "turned": like(batch.flip(2, 3)).any(),
        "known": (kept | mirrored).all(),
        "alike": kept.all() or mirrored.all(),
        "share": mirrored.float().mean().item(),
    }
