"""Seeds that follow from a place, and global generators left as they were found."""

import itertools
import random

import numpy as np
import pytest
import torch

from vgg_utils.seeds import preserve_random_state, set_seed


def draw():
    return torch.rand(1).item(), np.random.rand(), random.random()


def test_a_place_gives_the_same_numbers_again_and_no_other_place_does():
    places = [
        *itertools.product(range(3), repeat=3),
        (0,),
        (0, 0),
        (2**40, 1, 1),
        (5,),
        (5, 1),
        (5 + 2**32,),
    ]
    drawn = {}
    for place in places:
        set_seed(*place)
        drawn[place] = draw()
    for place in reversed(places):
        set_seed(*place)
        assert draw() == drawn[place]
    for numbers in zip(*drawn.values(), strict=True):  # of each generator
        assert len(set(numbers)) == len(places)


def test_seeds_below_zero_are_refused():
    with pytest.raises(ValueError, match="non-negative"):
        set_seed(1, -1)


@pytest.mark.parametrize("fails", [False, True])
def test_generators_are_put_back(fails):
    set_seed(5)
    random.gauss(0, 1), np.random.standard_normal()  # each leaves a number in store
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = draw(), random.gauss(0, 1), np.random.standard_normal()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    try:
        with preserve_random_state():
            set_seed(7), draw()
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert (draw(), random.gauss(0, 1), np.random.standard_normal()) == expected
