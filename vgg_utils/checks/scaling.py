"""Exercises on fast machines and many of them (chapter 9)."""

import math

from vgg_utils.checks.base import alike, call, exercise, look_up, numbers
from vgg_utils.configs import summarise, total

PEAK, MEMORY, LINK = 989e12, 3.35e12, 25e9  # of the H100, in operations/s, bytes/s and bytes/s


@numbers("9.1", "9.3")
def _tables() -> str:
    fc7 = next(row for row in summarise("D") if row.name == "fc7")
    balance, side = PEAK / MEMORY, fc7.activations  # values in, and as many out, for an image

    def least(parameters: int, values: int, size: int = 2) -> int:
        """Images for which 2 MACs N / (size (values N + parameters)) reaches the balance point."""
        return math.ceil(balance * size * parameters / (2 * fc7.macs - balance * size * values))

    def either(values: int, size: int = 2) -> str:  # with the biases or without
        return f"{least(fc7.parameters, values, size)} or {least(fc7.macs, values, size)}"

    fewest, most = least(fc7.macs, 2 * side) - 1, least(fc7.parameters, 2 * side) + 1

    def meet(pool_size: int) -> float:
        """Return the images with which a device computes for as long as it waits for messages."""
        net = total(summarise("D", pool_size=pool_size))
        return 8 * net.parameters * 0.40 * PEAK / (6 * net.macs * LINK)

    right, full = meet(1), meet(7)
    return f"""
9.1 is {either(2 * side)}: Find the batch for which fc7's operations over bytes reach 295.
  {either(0)}: That counts the weights alone; inputs and outputs cross memory too.
  {int(balance)}: That is the balance point, as if the weights alone crossed memory.
  {2 * int(balance)}: A multiply-accumulate is two operations; and not only weights cross memory.
  {fewest}: One short: there it just still waits for memory.
  {most}: One too many: with one image fewer it no longer waits for memory.
  {either(side)}: That counts inputs or outputs; both cross memory.
  {either(2 * side, 4)}: That is with numbers of 4 bytes; the H100's peak here is for 2.
9.3 is {right} +- 0.51: Put parameters and MACs of D with pool_size=1 into the formula for b*.
  {full}: That is the full D; its fc6 has seven times seven times as many weights.
  {full / 49}: Only fc6 has a 49th of its weights; the other layers keep theirs.
  {right / 0.40} or {right * 0.40}: The H100 reaches 40% of its peak here.
  {right / 2}: Each byte is sent twice in the ring, and a parameter has 4 bytes: 8 in all.
  {2 * right} or {3 * right} or {6 * right}: A step takes 6 operations a MAC: three passes of two.
  {right * 25 / 450}: That is over NVLink; the network moves 25 GB/s.
"""


@exercise("9.2")
def _gradient_of_unequal_shares(answer: object) -> str | None:
    import torch

    gradients = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    given, sizes = list(gradients.clone()), [128, 96, 32]
    how = "with three gradients and three sizes"
    got = call(answer, given, list(sizes), how=how, shape=(2, 3))
    changed = not torch.equal(torch.stack(given), gradients)
    summed = (torch.tensor(sizes).view(3, 1, 1) * gradients).sum(0)
    right = alike(got, summed / sum(sizes)) and not changed
    table = f"""
9.2 is {right}: Multiply each gradient by its share's size, add up, and divide by all images.
  {changed}: The function changes the gradients that it is given; make new tensors.
  {alike(got, gradients.mean(0))}: That is the plain average, right for equal shares.
  {alike(got, gradients.sum(0))}: Those are means: weigh each by its number of images.
  {alike(got, summed)}: That is the gradient of the summed loss; give that of the mean.
  {alike(got, summed / 3)}: Divide by the number of images, not by that of devices.
"""
    return look_up("9.2", table)
