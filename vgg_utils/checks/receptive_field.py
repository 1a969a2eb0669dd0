"""Exercise on a detector of every edge (lesson 2)."""

from typing import Any

from vgg_utils.checks.base import Values, alike, call, exercise


@exercise("2.3")
def _every_edge(answer: Any) -> Values:
    import torch
    from torch.nn.functional import conv2d

    picture = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    edge = torch.tensor([[-1.0, 0.0, 1.0]] * 3)
    sums = conv2d(picture, torch.stack([edge, edge.T])[:, None])[..., 1:-1, 1:-1]
    sides = sums[:, :1], sums[:, 1:]  # upright and level
    every = sides[0].abs() + sides[1].abs()
    got = call(answer, picture.clone(), shape=every.shape).detach()
    return {
        "right": alike(got, every),
        "silent": got.abs().max() < 1e-3,
        "scaled": alike(got * every.sum() / got.sum(), every),
        "one_sided": any(
            alike(got, (a * sides[0]).relu() + (b * sides[1]).relu())
            for a in (-1, 0, 1)
            for b in (-1, 0, 1)
        ),
        "upright": alike(got, sides[0].abs()),
        "level": alike(got, sides[1].abs()),
        "signed": got.min() < 0,
    }
