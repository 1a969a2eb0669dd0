"""The exercise on giving published weights the pixels they were trained on (chapter 8)."""

from vgg_utils.checks.base import alike, call, exercise, look_up
from vgg_utils.records import load_record


@exercise("8.3")
def _from_torchvision_to_the_authors(answer: object) -> str | None:
    import torch

    # The numbers of IMAGENET1K_V1; a test compares them with torchvision's.
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    released = load_record("paper")["training"]["mean_pixel_bgr"]["value"]
    to_bgr = torch.tensor(released).view(3, 1, 1)
    rgb = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))  # pixels from 0 to 1
    image, bgr, to_rgb = (rgb - mean) / std, rgb.flip(0), to_bgr.flip(0)
    got = call(answer, image.clone(), how="with an image of shape (3, 4, 5)", shape=(3, 4, 5))

    def like(*others: torch.Tensor) -> bool:
        return any(alike(got, other) for other in others)

    inverted = ((image + mean) * std).flip(0)
    turned = [255 * rgb.flip(axis) - m for axis in (1, 2) for m in (to_bgr, to_rgb)]
    table = f"""
8.3 is {like(255 * bgr - to_bgr)}: Multiply by the deviation, add the mean, times 255, reverse the
    channels, subtract.
  {like(255 * rgb - to_rgb)}: All is right but the order of the channels, which is still RGB.
  {like(255 * rgb - to_bgr, 255 * bgr - to_rgb)}: The mean pixel is in the order BGR: subtract each
    number from its own colour.
  {like(*turned)}: flip(0) reverses the channels, the first axis; this turns the picture instead.
  {like(255 * bgr)}: The mean pixel is not subtracted yet.
  {like(bgr - to_bgr, bgr - to_bgr / 255)}: The pixels are still in the range 0 to 1: times 255.
  {like(255 * image.flip(0) - to_bgr)}: First undo torchvision's mean and standard deviation.
  {like(255 * inverted - to_bgr)}: Undo in the opposite order: multiply by the deviation, then add.
"""
    return look_up("8.3", table)
