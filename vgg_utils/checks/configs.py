"""Exercises on the six configurations and what they cost (chapter 3)."""

from vgg_utils.checks.base import exercise, look_up, numbers
from vgg_utils.configs import LayerSpec, get_layers, layer_configs, summarise, total


@numbers("3.1", "3.4")
def _tables() -> str:
    side = 448 // 2 ** layer_configs["D"].count("M")
    fc6 = next(row for row in summarise("D", 448, pool_size=side) if row.name == "fc6")
    (out,) = fc6.output_shape
    inputs = fc6.parameters // out - 1  # a bias for each output

    def either(inputs: int) -> str:  # with the biases or without
        return f"{(inputs + 1) * out} or {inputs * out} or {inputs * out + out}"

    rows = summarise("E", pool_size=1)
    right, before = total(rows).parameters, total(summarise("E")).parameters
    small = next(row for row in rows if row.name == "fc6")
    of_d = total(summarise("D", pool_size=1)).parameters
    return f"""
3.1 is {fc6.parameters}: Flatten the map: a weight for each value and output; add the biases.
  {inputs * out}: These are the weights; each of the outputs has a bias as well.
  {inputs * out + inputs}: There is one bias for each output, not for each input.
  {either(inputs // 4)}: That is fc6 at 224 pixels; a larger image leaves a larger map.
  {either(inputs // 2)}: The image doubles in height and width: the map has four times the values.
  {either(4 * inputs)}: fc6 comes after pool5, and that pool halves the map once more.
  {either(inputs // side**2)}: Every position of the {side}x{side} map has weights of its own.
3.4 is {right}: The convolutions, fc7 and fc8 keep their counts; fc6 now has one input a channel.
  {right - out}: fc6 keeps its biases: only its weights depend on the inputs.
  {small.parameters}: That is fc6 alone; count the whole network.
  {before - right} or {right - before}: That is the difference from E; count what remains.
  {before}: That is E with its 7x7 map. After the average, fc6 has one input a channel.
  {right - small.parameters}: fc6 is still there, with fewer inputs.
  {of_d}: That is D with averages; the question is about E.
"""


@exercise("3.2")
def _five_by_five_twin(answer: object) -> str | None:
    if not isinstance(answer, list):
        return f"Give a list such as [(5, 64), 'M']; this is {type(answer).__name__}."
    twin: list[LayerSpec] = []
    for layer in layer_configs["B"]:
        if isinstance(layer, str):
            twin.append(layer)
        elif not twin or twin[-1] == "M":  # the first of a pair
            twin.append((5, layer[1]))
    if answer == twin:
        return None
    try:
        layers = get_layers(answer)
    except ValueError as error:
        return f"It cannot be read as a configuration: {error}."
    kernels = [layer[0] for layer in layers if not isinstance(layer, str)]
    pools, wanted = layers.count("M"), twin.count("M")
    table = f"""
3.2 is False: Keep B's channels and the order of its pools; only the pairs change.
  {layers == twin}: Write each convolution as a tuple: (5, 64).
  {pools != wanted}: B has {wanted} pools, and this has {pools}.
  {3 in kernels}: There is still a 3x3 in it: each pair makes room for one 5x5.
  {len(kernels) > wanted}: One 5x5 stands for a pair of 3x3, so each block has one convolution.
"""
    return look_up("3.2", table)


@exercise("3.3")
def _dominant_layer_at_32(answer: object) -> str | None:
    if not isinstance(answer, str):
        return f"Give a layer's name, such as 'conv1_1'; this is {type(answer).__name__}."
    small, large = ({row.name: row.macs for row in summarise("D", size)} for size in (32, 224))
    if answer not in small:
        return f"D has no layer {answer!r}; its rows run from 'conv1_1' to 'fc8'."
    most = max(small.values())
    table = f"""
3.3 is {small[answer] == most}: Another layer does more. Compare the macs of all the rows.
  {large[answer] > most}: At 224 pixels it does more; its work shrinks with the area of the map.
"""
    return look_up("3.3", table)
