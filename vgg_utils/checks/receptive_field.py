"""The exercise on how many 3x3 layers see as far as one large window (chapter 2)."""

from vgg_utils.checks.base import Values, a_number, exercise


<<<<<<< HEAD
def field(*layers: tuple[int, int]) -> int:
    """Return the field after layers, each given by its kernel and stride."""
    return receptive_field(Layer(k, stride=s) for k, s in layers)[-1].receptive_field


def dilated(count: int) -> int:
    """Return the field after layers of 3x3 whose dilation doubles from 1."""
    return receptive_field(Layer(3, dilation=2**i) for i in range(count))[-1].receptive_field


@numbers("2.1", "2.2", "2.3", "2.4")
def _tables() -> str:
    stack, single = 4 * 3**2, 9**2  # in units of C * C
    left, fewer = stack / single, 100 * (1 - stack / single)

    alexnet = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]
    names = ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5"]
    earlier = "\n".join(
        f"  {field(*alexnet[:n])}: That is the field after {name}; take that after pool5."
        for n, name in enumerate(names, start=1)
    )
    unstrided, tight = [(k, 1) for k, _ in alexnet], [(2 if s == 2 else k, s) for k, s in alexnet]
    poolless = [(k, s) for k, s in alexnet if s != 2]
    doubled = late = jump = 1
    for k, s in alexnet:
        doubled, jump = 2 * doubled if s == 2 else doubled + k - 1, jump * s
        late += (k - 1) * jump

    side = 31
    counts = range(1, 1000)
    others = "\n".join(f"  {n}: {n} layers of 3x3 see {1 + 2 * n} pixels." for n in counts)
    target = receptive_field(layer_configs["D"])[-1].receptive_field
    layers = next(n for n in counts if dilated(n) >= target)
    return f"""
2.1 is {fewer} +- 0.1: Count both in units of C x C: each 3x3 layer has 9, the 9x9 layer 81.
  {fewer} +- 1: Close: give one decimal.
  {100 / left - 100}: That is how many more the 9x9 has. To see how many fewer the stack has,
    divide by the weights of the 9x9.
  {single - stack}: That is the difference in units of C x C; divide it by the weights of the 9x9.
  {100 * left} or {left}: That is the share that is left; the question is what the stack saves.
  {100 * (1 - 3**2 / single)}: That compares one 3x3 with the 9x9; the stack has four.
2.2 is {field(*alexnet)}: Write the table's rows as Layer(kernel, stride=...), and read the last.
  {field(*tight)}: That is with pools of 2x2. AlexNet's are 3x3 with stride 2: they overlap.
  {field(*unstrided)}: The strides are missing: each multiplies the jump of the layers after it.
  {field((11, 1), *alexnet[1:])}: The first convolution's stride of 4 is missing.
  {field(*poolless)}: That is the field after conv2, or without pools: these double the jump.
{earlier}
  {jump}: That is the jump; the question is about the receptive field.
  {doubled}: That is the rule behind 308: a pool doubles the jump, not the field;
    and each layer adds (k - 1) jumps.
  {late}: A layer's own stride does not count for itself: add (k - 1) jumps, then multiply.
  {field(*alexnet, (6, 1))}: That is one window too many, the 6x6 of fc6: stop after pool5.
2.3 is {(side - 1) // 2}: The number of layers is a positive whole number.
  {side // 2 + 1} or {side / 2}: A unit sees 1 pixel before any layer; there are {side - 1} to add.
  {side - 1}: Each 3x3 layer adds two pixels, one on either side.
  {side // 3} or {side // 3 + 1} or {side / 3}: Windows of neighbours overlap: thirds do not do.
{others}
2.4 is {layers}: A 3x3 layer of dilation d adds 2d, and d doubles: 2 + 4 + 8 + ...
  {target // 2}: That is the number without dilation, where every layer adds 2.
  {layers + 1}: One too many: {layers} layers see {dilated(layers)} already.
  {layers - 1}: One too few: {layers - 1} layers see {dilated(layers - 1)}, short of {target}.
"""
=======
@exercise("2.3")
def _layers_for_31_pixels(answer: object) -> Values:
    values = a_number(answer)
    layers = round(values["number"])
    return {**values, "layers": layers, "seen": 1 + 2 * layers}
>>>>>>> checks
