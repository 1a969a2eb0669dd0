"""The exercise on mirroring a batch (chapter 5)."""

from vgg_utils.checks.base import call, exercise, look_up


@exercise("5.2")
def _mirror(answer: object) -> str | None:
    import torch

    batch = torch.rand(200, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    how = "with a batch of shape (200, 3, 5, 5)"
    runs = [call(answer, batch.clone(), how=how, shape=tuple(batch.shape)) for _ in range(4)]

    def like(expected: torch.Tensor) -> torch.Tensor:
        return (runs[0] == expected).flatten(1).all(dim=1)  # (N,)

    kept, mirrored = like(batch), like(batch.flip(3))
    known, alike = (kept | mirrored).all(), kept.all() or mirrored.all()
    share = mirrored.float().mean().item()
    drawn = not all(torch.equal(run, runs[0]) for run in runs)
    table = f"""
5.2 is {known and 0.3 < share < 0.7 and drawn}: It mirrors the same images every time: draw them.
  {like(batch.flip(2)).any()}: Some images are upside down: the last axis is the width.
  {like(batch.flip(1)).any()}: In some, red and blue changed places: the last axis is the width.
  {not known}: Some images are neither as they were nor mirrored left to right.
  {alike}: All images of the batch came back alike: draw anew for each of them.
  {not 0.3 < share < 0.7}: Half of the images should be mirrored, and this was {share:.0%} of 200.
"""
    return look_up("5.2", table)
