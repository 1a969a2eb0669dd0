"""Answers to the book's exercises: `check("2.1", answer)` tells right from wrong, and why.

Each exercise has one function, which returns None for a right answer and otherwise a sentence that
says what is wrong with this one. Right answers are computed here, from the same arithmetic that the
chapter teaches, and common mistakes are recognised by their value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vgg_utils.configs import LayerSpec, get_layers, layer_configs, summarise, total
from vgg_utils.records import load_record

_checks: dict[str, Callable[[Any], str | None]] = {}


def check(exercise: str, answer: Any) -> None:
    """Print whether the answer to an exercise is right, and if it is not, why.

    An answer of `...` counts as not given yet. Raises ValueError for an unknown exercise.
    """
    if exercise not in _checks:
        raise ValueError(f"no exercise {exercise!r}: choose one of {', '.join(sorted(_checks))}")
    if answer is ...:
        print(f"{exercise}: no answer yet. Replace the ... above and run the cell again.")
        return
    complaint = _checks[exercise](_plain(answer))
    print(f"{exercise}: right." if complaint is None else f"{exercise}: not yet. {complaint}")


def _plain(answer: Any) -> Any:
    """Turn a NumPy scalar or a tensor of one element into a plain number; leave the rest alone."""
    try:
        return answer.item()
    except (AttributeError, RuntimeError, ValueError):
        return answer


def _exercise(
    number: str,
) -> Callable[[Callable[[Any], str | None]], Callable[[Any], str | None]]:
    def register(function: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        _checks[number] = function
        return function

    return register


def _not_a_number(answer: Any) -> str | None:
    """Complain about anything but an int or a float."""
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return f"A number is asked for, and this is {type(answer).__name__}."
    return None


# Chapter 3


@_exercise("3.1")
def _fc6_parameters_at_448(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    pools = layer_configs["D"].count("M")
    side = 448 // 2**pools
    rows = {row.name: row for row in summarise("D", 448, pool_size=side)}
    (outputs,) = rows["fc6"].output_shape
    channels = rows["pool5"].output_shape[0]
    if answer == rows["fc6"].parameters:
        return None
    if answer == channels * side**2 * outputs:
        return "These are the weights; each of the outputs has a bias as well."
    if answer == channels * side**2 * (outputs + 1):
        return "There is one bias for each output, not for each input."

    def fc6(positions: int) -> tuple[int, int]:
        weights = channels * positions * outputs
        return weights, weights + outputs

    if answer in fc6((side // 2) ** 2):
        return "That is fc6 at 224 pixels; a larger image leaves a larger map."
    if answer in fc6(2 * (side // 2) ** 2):
        return "The image doubles in height and in width, so the map has four times as many values."
    if answer in fc6((2 * side) ** 2):
        return "fc6 comes after pool5, and that pool halves the map once more."
    if answer in fc6(1):
        return f"Every position of the {side}x{side} map has weights of its own."
    return "Flatten the last pool's map: each value has one weight for each output; add the biases."


@_exercise("3.2")
def _five_by_five_twin(answer: Any) -> str | None:
    if not isinstance(answer, list):
        return f"A list such as [(5, 64), 'M'] is asked for, and this is {type(answer).__name__}."
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
    if layers == twin:
        return "Write each convolution as a tuple: (5, 64)."
    if layers.count("M") != twin.count("M"):
        return f"B has {twin.count('M')} pools, and this has {layers.count('M')}."
    if 3 in kernels:
        return "There is still a 3x3 in it: each pair makes room for one 5x5."
    if len(kernels) > twin.count("M"):
        return "One 5x5 stands for a pair of 3x3, so each block has one convolution."
    return "Keep B's channels and the order of its pools; only the pairs change."


@_exercise("3.3")
def _dominant_layer_at_32(answer: Any) -> str | None:
    if not isinstance(answer, str):
        return f"A layer's name, such as 'conv1_1', is asked for; this is {type(answer).__name__}."
    rows = summarise("D", 32)
    if answer not in [row.name for row in rows]:
        return f"D has no layer {answer!r}; its rows run from 'conv1_1' to 'fc8'."
    most = max(row.macs for row in rows)
    if {row.name: row.macs for row in rows}[answer] == most:
        return None
    if answer in [row.name for row in summarise("D") if row.macs > most]:
        return (
            "At 224 pixels it does more than the right one; "
            "its work shrinks with the area of the map."
        )
    return "Another layer does more. Compare the macs of all the rows."


@_exercise("3.4")
def _global_average_pooling(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    rows = {row.name: row for row in summarise("E", pool_size=1)}
    right = total(list(rows.values())).parameters
    before = total(summarise("E")).parameters
    biases = rows["fc6"].output_shape[0]
    if answer == right:
        return None
    if answer == right - biases:
        return "fc6 keeps its biases: only its weights depend on the inputs."
    if answer == rows["fc6"].parameters:
        return "That is fc6 alone; the whole network's count is asked for."
    if abs(answer) == before - right:
        return "That is the difference from E; the count that remains is asked for."
    if answer == before:
        return "That is E with its 7x7 map. After the average, fc6 has one input a channel."
    if answer == right - rows["fc6"].parameters:
        return "fc6 is still there, with fewer inputs."
    if answer == total(summarise("D", pool_size=1)).parameters:
        return "That is D with averages; E is asked for."
    return "The convolutions, fc7 and fc8 keep their counts; fc6 now has one input a channel."


# Chapter 2


@_exercise("2.1")
def _two_against_five(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    stack, single = 2 * 3**2, 5**2  # in units of C * C
    fewer = 100 * (1 - stack / single)
    if abs(answer - fewer) < 0.05:
        return None
    if abs(answer - 100 * (single / stack - 1)) < 0.5:
        return (
            "That is how many per cent more the 5x5 has. Asked is how many fewer the stack has, "
            "so divide by the weights of the 5x5."
        )
    if abs(answer - fewer / 100) < 0.0005:
        return "That is the share; asked are per cent."
    if abs(answer - 100 * stack / single) < 0.05:
        return "That is what the stack still has, as per cent of the 5x5; asked is what it saves."
    if abs(answer - 100 * (1 - 3**2 / single)) < 0.05:
        return "That compares one 3x3 with the 5x5; the stack has two."
    return "Count both in units of C x C: every 3x3 layer has 9, the 5x5 layer has 25."


@_exercise("2.2")
def _alexnet_field(answer: Any) -> str | None:
    from vgg_utils.receptive_field import Layer, receptive_field

    if complaint := _not_a_number(answer):
        return complaint
    sizes = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]

    def field(chain: list[tuple[int, int]]) -> int:
        return receptive_field(Layer(k, stride=s) for k, s in chain)[-1].receptive_field

    if answer == field(sizes):
        return None
    if answer == field([(2 if s == 2 else k, s) for k, s in sizes]):
        return "That is with pools of 2x2. AlexNet's pools are 3x3 with stride 2: they overlap."
    if answer == field([(k, 1) for k, _ in sizes]):
        return "All strides are missing: each stride multiplies the jump of the layers after it."
    if answer == field([(k, 1 if k == 11 else s) for k, s in sizes]):
        return "The first convolution's stride of 4 is missing."
    if answer == field(sizes[:-1]):
        return "That is the field before the last pool; asked is the field after it."
    if answer == field([entry for entry in sizes if entry != (3, 2)]):
        return "The pools are missing: they widen the field and double the jump."
    if answer == receptive_field(Layer(k, stride=s) for k, s in sizes)[-1].jump:
        return "That is the jump; asked is the receptive field."
    return "Write each row of the table as Layer(kernel, stride=...), in order, and read the last."


@_exercise("2.3")
def _layers_for_eleven(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    layers = (11 - 1) // (3 - 1)  # each 3x3 adds 2 to the field of 1
    if answer == layers:
        return None
    if answer == layers + 1:
        return "One too many: a unit sees 1 pixel before any layer, so there are 10 left to add."
    if answer == 11 - 1:
        return "Each 3x3 layer adds two pixels, one on either side."
    if abs(answer - 11 / 3) < 0.05 or answer == 4:
        return "Windows of neighbouring units overlap: 11 is not shared out by threes."
    return f"A stack of {answer:g} layers of 3x3 sees {1 + 2 * answer:g} pixels."


@_exercise("2.4")
def _dilated_layers(answer: Any) -> str | None:
    from vgg_utils.configs import layer_configs
    from vgg_utils.receptive_field import Layer, receptive_field

    if complaint := _not_a_number(answer):
        return complaint
    target = receptive_field(layer_configs["D"])[-1].receptive_field

    def field(count: int) -> int:
        return receptive_field(Layer(3, dilation=2**i) for i in range(count))[-1].receptive_field

    layers = next(count for count in range(1, 99) if field(count) >= target)
    if answer == layers:
        return None
    if answer == next(count for count in range(1, 999) if 1 + 2 * count >= target):
        return "That is the number without dilation, where every layer adds 2."
    if answer == layers + 1:
        return f"One too many: {layers} layers see {field(layers)} already."
    if answer == layers - 1:
        return f"One too few: {layers - 1} layers see {field(layers - 1)}, short of {target}."
    return "A 3x3 layer of dilation d adds 2d, and d doubles from layer to layer: 2 + 4 + 8 + ..."


# Chapter 1


@_exercise("1.1")
def _weight_layers_of_c(answer: Any) -> str | None:
    if (
        not isinstance(answer, tuple | list)
        or len(answer) != 2
        or not all(type(value) is int for value in answer)
    ):
        return "Two whole numbers are asked for: (weight layers, 1x1 convolutions among them)."
    kernels = [entry[0] for entry in layer_configs["C"] if not isinstance(entry, str)]
    fully_connected = len(load_record("paper")["table1"]["fully_connected"])
    right = (len(kernels) + fully_connected, kernels.count(1))
    if tuple(answer) == right:
        return None
    if answer[0] in (len(kernels), kernels.count(3) + fully_connected):
        return "1x1 convolutions have weights and so do fully connected layers: count both."
    if answer[0] == len(layer_configs["C"]) + fully_connected:
        return "A max-pool has no weights, so it is no weight layer."
    if answer[0] != right[0]:
        return "The first number is off: count C's convolutions and the fully connected layers."
    return "The second number is off: count the entries of C whose kernel size is 1."


@_exercise("1.2")
def _gain_from_jitter(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    rows = {
        (table, row["config"], row["train_S"]): row
        for table in ("table3", "table4")
        for row in load_record("paper")[table]["rows"]
    }

    def is_gain(table: str, config: str, scale: str = "384", key: str = "top1_val") -> bool:
        before, after = rows[table, config, scale], rows[table, config, "[256;512]"]
        return abs(answer - (before[key] - after[key])) < 0.01

    if is_gain("table3", "D"):
        return None
    if answer < 0:
        return "The sign is turned: a fall in error is a gain."
    if is_gain("table3", "D", key="top5_val"):
        return "That is the gain in top-5 error; top-1 is asked for."
    if is_gain("table4", "D"):
        return "Those rows are of Table 4, with three test scales; Table 3 has one."
    if is_gain("table3", "D", scale="256") or is_gain("table3", "E"):
        return "Compare D with D, and with the net of S = 384, from which it was fine-tuned."
    return "Subtract the top-1 error of D at [256;512] from that at 384, both in Table 3."


@_exercise("1.3")
def _deeper_is_not_better(answer: Any) -> str | None:
    if not isinstance(answer, list | tuple | set) or not all(isinstance(s, str) for s in answer):
        return 'A list of training scales is asked for, written as in the record: ["256", ...].'
    rows = load_record("paper")["table3"]["rows"]
    top1, top5 = (
        {(row["config"], row["train_S"]): row[key] for row in rows}
        for key in ("top1_val", "top5_val")
    )
    scales = {scale for config, scale in top1 if config == "E"}
    right = {scale for scale in scales if top1["E", scale] > top1["D", scale]}
    given = set(answer)
    if given == right:
        return None
    if not given <= scales:
        return f"Choose among the scales E was trained at: {', '.join(sorted(scales))}."
    if given == scales - right:
        return "There E is better. The scales at which it is worse are asked for."
    if given == {scale for scale in scales if top5["E", scale] > top5["D", scale]}:
        return "That is so for top-5 error; compare the top-1 error."
    return "Compare the top-1 errors of D and E in Table 3, scale by scale."


@_exercise("1.4")
def _epochs_of_training(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    training = load_record("paper")["training"]
    iterations, batch_size = training["iterations"]["value"], training["batch_size"]["value"]
    images = training["dataset"]["value"]["exact_train"]
    right = iterations * batch_size / images
    if abs(answer - right) < 0.1 or answer == round(right):
        return None
    if abs(answer - iterations * batch_size / 1.3e6) < 0.1:
        return "1.3 million is rounded; the record also has the exact number of training images."
    if abs(answer - iterations / batch_size) < 1:
        return "Each iteration sees a whole batch, so multiply by its size."
    if abs(answer - images / batch_size) < 1:
        return "That is the number of iterations in one epoch; 370,000 were made."
    if abs(answer - iterations / images) < 0.01:
        return "Each iteration sees not one image but a batch of them."
    return "Images seen in all, divided by the images in the training set."


# Chapter 5: training


@_exercise("5.1")
def _first_loss(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    if math.isclose(answer, math.log(1000), rel_tol=2e-3):
        return None
    if math.isclose(answer, math.log10(1000), rel_tol=1e-3):
        return "The cross-entropy uses the natural logarithm, and this is the decimal one."
    if math.isclose(answer, math.log2(1000), rel_tol=1e-2):
        return "The cross-entropy uses the natural logarithm, and this is the binary one."
    if math.isclose(answer, -math.log(1000), rel_tol=1e-3):
        return "The size is right and the sign is not: a loss is minus the logarithm."
    if math.isclose(answer, math.log(10), rel_tol=1e-3):
        return "That is the loss for ten classes."
    return "Each of 1,000 classes gets the same probability; take minus its natural logarithm."


@_exercise("5.2")
def _steps(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    images, batch_size, epochs = 1297, 32, 10
    a_step = math.ceil(images / batch_size)
    if answer == epochs * a_step:
        return None
    if answer in (a_step, images // batch_size):
        return "Those are the steps of one epoch, as whole batches or with the small last one."
    if answer == epochs * (images // batch_size):
        return "Round up: the images that are left over at the end of an epoch make a batch too."
    if math.isclose(answer, epochs * images / batch_size, rel_tol=1e-3):
        return "There is no part of a step. Round up in each epoch, before you multiply."
    if answer == math.ceil(epochs * images / batch_size):
        return (
            "Round up in each epoch, before you multiply: a batch does not reach over two epochs."
        )
    return "Count the batches of one epoch, the small last one included; then multiply by 10."


@_exercise("5.3")
def _top_k(answer: Any) -> str | None:
    if not callable(answer):
        return f"A function is asked for, and this is {type(answer).__name__}."
    import torch
    from sklearn.metrics import top_k_accuracy_score

    scores = torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 10
    for k in (1, 5):
        try:
            got = _plain(answer(scores, labels, k))
        except TypeError as error:
            return f"Calling it as answer(scores, labels, {k}) fails: {error}."
        if got is None:
            return "The function returns None: end it with a return."
        if complaint := _not_a_number(got):
            return f"The function's result: {complaint}"
        share = float(top_k_accuracy_score(labels, scores, k=k, labels=range(10)))
        if math.isclose(got, 100 * (1 - share), abs_tol=0.01):
            continue
        if math.isclose(got, 100 * share, abs_tol=0.01):
            return "That is the accuracy; the error is what is left to 100."
        if math.isclose(got, 1 - share, abs_tol=1e-4):
            return "The share is right; multiply it by 100 for a percentage."
        top1 = float(top_k_accuracy_score(labels, scores, k=1, labels=range(10)))
        if k > 1 and math.isclose(got, 100 * (1 - top1), abs_tol=0.01):
            return "It is right for k = 1, and k = 5 gives the same: use the k highest scores."
        return (
            f"For k = {k} it gives {got:.2f} on a test case where {100 * (1 - share):.2f} is right."
        )
    return None


@_exercise("5.4")
def _standard_error(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    p, n = 0.02, 500
    points = 100 * math.sqrt(p * (1 - p) / n)
    if math.isclose(answer, points, rel_tol=0.05):
        return None
    if math.isclose(answer, points / 100, rel_tol=0.05):
        return "As a share that is right; in percentage points it is 100 times as much."
    if math.isclose(answer, 100 * p * (1 - p) / n, rel_tol=0.05):
        return "That is the variance; take its square root before you multiply by 100."
    if math.isclose(answer, 100 * math.sqrt(p * (1 - p)) / n, rel_tol=0.05):
        return "The 500 stands under the square root too."
    if math.isclose(answer, 100 * math.sqrt(p * (1 - p)), rel_tol=0.05):
        return "That is the spread of a single digit; divide by the square root of 500."
    return "Put p = 0.02 and n = 500 into the formula, then multiply by 100."
