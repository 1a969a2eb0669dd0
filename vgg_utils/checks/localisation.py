"""The exercise on bringing a predicted box back to the scene (lesson 10)."""

from vgg_utils.checks.base import Values, alike, call, exercise

SCENE, SIDE, Q = 40, 32, 48  # pixels: the scene, the network's square, the rescaled scene


@exercise("10.2")
def _box_in_the_scene(answer: object) -> Values:
    import torch

    predicted, corner = torch.tensor([0.25, -0.125, 0.5, 0.75]), torch.tensor([16, 8])
    got = call(answer, predicted.clone(), corner.clone(), Q, shape=(4,))
    none, middle, sizes = torch.zeros(2), torch.full((2,), SIDE / 2), torch.tensor([0.0, 0, 1, 1])

    def moved(by: torch.Tensor, sides: torch.Tensor = none, unit: float = SIDE) -> torch.Tensor:
        return predicted * unit + torch.cat([by, sides])

    def like(*boxes: torch.Tensor) -> bool:
        return any(alike(got, box) for box in boxes)

    place, back = corner + middle, SCENE / Q
    square = moved(place)  # in pixels of the rescaled scene
    return {
        "right": like(square * back),
        "no_half": like(moved(corner) * back, moved(corner)),
        "no_corner": like(moved(middle) * back, predicted * SIDE * back),
        "not_scaled": like(square),
        "upside_down": like(square / back),
        "scaled_too_early": like(moved(none) * back + torch.cat([place, none])),
        "sizes_left": like(torch.where(sizes > 0, square, square * back)),
        "sizes_moved": like(moved(place, place) * back, moved(place, place)),
        "turned": like(moved(place.flip(0)) * back),
        "units": like(*((predicted + torch.cat([p, none])) * SIDE * back for p in (corner, place))),
        "times_40": like(moved(place, unit=SCENE) * back, moved(place, unit=SCENE)),
    }
