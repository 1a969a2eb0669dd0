"""The exercises on the pixels of published weights, and on a new last layer (lesson 11)."""

from vgg_utils.checks.base import Values, alike, call, exercise
from vgg_utils.records import load_record


@exercise("11.1")
def _from_torchvision_to_the_authors(answer: object) -> Values:
    import torch

    # The numbers of IMAGENET1K_V1; a test compares them with torchvision's.
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    released = load_record("paper")["training"]["mean_pixel_bgr"]["value"]
    to_bgr = torch.tensor(released).view(3, 1, 1)
    rgb = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))  # pixels from 0 to 1
    image, bgr, to_rgb = (rgb - mean) / std, rgb.flip(0), to_bgr.flip(0)
    got = call(answer, image.clone(), shape=(3, 4, 5))

    def like(*others: torch.Tensor) -> bool:
        return any(alike(got, other) for other in others)

    turned = [255 * rgb.flip(axis) - m for axis in (1, 2) for m in (to_bgr, to_rgb)]
    return {
        "right": like(255 * bgr - to_bgr),
        "in_rgb": like(255 * rgb - to_rgb),
        "other_colours": like(255 * rgb - to_bgr, 255 * bgr - to_rgb),
        "picture_turned": like(*turned),
        "mean_left": like(255 * bgr),
        "up_to_1": like(bgr - to_bgr, bgr - to_bgr / 255),
        "not_undone": like(255 * image.flip(0) - to_bgr),
        "undone_backwards": like(255 * ((image + mean) * std).flip(0) - to_bgr),
    }


@exercise("11.2")
def _a_new_last_layer(answer: object) -> Values:
    import torch
    from torch import nn

    from vgg_utils.model import VGGNet

    net = VGGNet(3, 10, [(3, 8), "M"], pool_size=1, hidden_features=16)
    old = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    kept = {name for name in old if not name.startswith("classifier.6")}
    got = call(answer, net, 3)
    if not isinstance(got, nn.Module):
        return {"gives": type(got).__name__}
    weights = dict(got.named_parameters())
    if not kept <= set(weights):
        return {"lost": True}
    try:
        outputs = got(torch.zeros(1, 3, 8, 8)).shape[1]
    except RuntimeError:
        return {"unfit": True}
    learning = {name for name, weight in weights.items() if weight.requires_grad}
    moved = not all(torch.equal(weights[name], old[name]) for name in kept)
    return {
        "right": outputs == 3 and learning == set(weights) - kept and not moved,
        "outputs": outputs,
        "moved": moved,
        "nothing": not learning,
        "everything": learning == set(weights),
        "more": bool(learning & kept),
    }
