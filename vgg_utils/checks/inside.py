"""The exercises on a unit's patch and on what speaks against a class (lesson 12)."""

from typing import Any

from vgg_utils.checks.base import Values, a_number, alike, call, exercise


@exercise("12.1")
def _corner(answer: Any) -> Values:
    pair = answer.tolist() if hasattr(answer, "tolist") else answer
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return {"no_pair": True, "top": None, "left": None}
    top, left = (a_number(value)["number"] for value in pair)
    return {"top": top, "left": left}


@exercise("12.2")
def _against(answer: Any) -> Values:
    import torch

    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 4, 5, 6, generator=generator)
    gradient = torch.randn(maps.shape, generator=generator)
    gradient -= gradient.mean((1, 2, 3), keepdim=True)  # neither for nor against on the whole
    found = call(answer, maps.clone(), gradient.clone(), shape=(3, 5, 6))
    weighed = gradient.mean((2, 3), keepdim=True) * maps
    whole = weighed.sum(1)
    usual = {
        "right": (-whole).relu(),
        "for_it": whole.relu(),
        "turned_late": -whole.relu(),
        "both": whole.abs(),
        "by_place": (-(gradient * maps).sum(1)).relu(),
        "relu_first": (-weighed).relu().sum(1),
        "averaged": (-weighed.mean(1)).relu(),
    }
    values: Values = {name: alike(found, expected) for name, expected in usual.items()}
    return values | {"below_zero": alike(found, -whole) or alike(found, whole)}
