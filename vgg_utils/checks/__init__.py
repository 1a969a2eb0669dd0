"""Answers to the book's exercises: `check("2.1", answer)` tells right from wrong, and why.

Each exercise has one function, which returns None for a right answer and otherwise a sentence that
says what is wrong with this one. Right answers are computed here, from the same arithmetic that the
chapter teaches, and common mistakes are recognised by their value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vgg_utils.configs import LayerSpec, get_layers, layer_configs, summarise, total
from vgg_utils.records import load_record

if TYPE_CHECKING:
    from vgg_utils.model import VGGNet

_checks: dict[str, Callable[[Any], str | None]] = {}


def check(exercise: str, answer: Any) -> None:
    """Print whether the answer to an exercise is right, and if it is not, why.

    An answer of `...` counts as not given yet. Raises ValueError for an unknown exercise.
    """
    if exercise not in _checks:
        raise ValueError(f"no exercise {exercise!r}: choose one of {', '.join(sorted(_checks))}")
    if answer is ...:
        print(f"{exercise}: no answer yet.\nReplace the ... and run the cell again.")
        return
    complaint = _checks[exercise](_plain(answer))
    print(f"{exercise}: right." if complaint is None else f"{exercise}: not yet. {complaint}")


def _plain(answer: Any) -> Any:
    """Turn a NumPy scalar or a tensor of one element into a plain number; leave the rest alone."""
    try:
        return answer.item()
    except (AttributeError, RuntimeError, ValueError):
        return answer


def _exercise(number: str) -> Callable[[Callable[[Any], str | None]], Callable[[Any], str | None]]:
    def register(function: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        _checks[number] = function
        return function

    return register


def _not_a_number(answer: Any) -> str | None:
    """Complain about anything but an int or a float."""
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return f"A number is asked for, and this is {type(answer).__name__}."
    try:
        finite = math.isfinite(answer)
    except OverflowError:  # an integer beyond any float
        finite = False
    return None if finite else "A number of ordinary size is asked for."


# Chapter 1


def _near(answer: Any, value: float, within: float = 0.006) -> bool:
    """Tell whether a number is close to a value; compares, so that no number is too large."""
    return bool(value - within < answer < value + within)


def _paper_row(table: str, **wanted: Any) -> dict[str, Any]:
    """Return the first row of a table of the paper whose fields have the wanted values."""
    rows: list[dict[str, Any]] = load_record("paper")[table]["rows"]
    return next(row for row in rows if all(row.get(k) == v for k, v in wanted.items()))


@_exercise("1.1")
def _greatest_gain_from_jitter(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return 'A pair is asked for: (configuration, points), such as ("A", 0.3).'
    config, points = answer
    if isinstance(points, str) and _not_a_number(config) is None:
        return "The pair is turned round: the configuration comes first, then the points."
    if not isinstance(config, str) or _not_a_number(points):
        return 'A name and a number are asked for: (configuration, points), such as ("A", 0.3).'
    if config not in ("C", "D", "E"):
        return "Choose among C, D and E: only these were trained at 384 and with jitter."

    def gain(net: str, table: str = "table3", scale: str = "384", key: str = "top5_val") -> float:
        before, after = (
            _paper_row(table, config=net, train_S=train_scale)[key]
            for train_scale in (scale, "[256;512]")
        )
        return float(before - after)

    best = max(("C", "D", "E"), key=gain)
    before = _paper_row("table3", config=config, train_S="384")["top5_val"]
    if _near(points, gain(best)):
        return None if config == best else f"These points are right, but they are not {config}'s."
    if _near(points, -gain(config)):
        return "The sign is turned: a fall in error is a gain."
    if _near(points, gain(config)):
        return f"That is what {config} gains, but another net gains more."
    if _near(points, gain(config, key="top1_val")):
        return "That is the gain in top-1 error; top-5 is asked for."
    if _near(points, gain(config, scale="256")):
        return "That starts at S = 256; compare with the net of S = 384."
    if _near(points, gain(config, table="table4")):
        return "Those rows are of Table 4, with three test scales; Table 3 has one."
    if any(_near(points, gain(config) / before * unit, 0.01 * unit) for unit in (1, 100)):
        return "That is a share of the error; points are asked for, a difference of two errors."
    return "For each net subtract the top-5 error with jitter from that at 384, both in Table 3."


@_exercise("1.2")
def _share_of_the_1x1_layers(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    top1, top5 = (
        {net: _paper_row("table3", config=net, train_S="256")[key] for net in "ABCD"}
        for key in ("top1_val", "top5_val")
    )

    def share(errors: dict[str, float], first: str = "B") -> float:
        return (errors[first] - errors["C"]) / (errors[first] - errors["D"])

    right = share(top1)
    if _near(answer, right):
        return None
    if _near(answer, right, 0.055):
        return "Close: give two decimals."
    if _near(answer, 100 * right, 0.6):
        return "That is in per cent; a fraction between 0 and 1 is asked for."
    if _near(answer, -right):
        return "The sign is turned: both errors fall, so their share is positive."
    if _near(answer, 1 - right):
        return "That is the share of the second half, from C to D; from B to C is asked for."
    if _near(answer, 1 / right):
        return "That is upside down: divide the part, B to C, by the whole, B to D."
    if _near(answer, share(top5)):
        return "That is so for top-5 error; top-1 is asked for."
    if _near(answer, share(top1, "A")):
        return "That starts at A; the step from B to D is asked for."
    if _near(answer, right / (1 - right)):
        return "That compares the two parts; divide by the whole, from B to D."
    if _near(answer, top1["B"] - top1["C"]) or _near(answer, top1["B"] - top1["D"]):
        return "That is a fall in points; divide that from B to C by that from B to D."
    return "Divide the fall in top-1 error from B to C by that from B to D, at S = 256."


@_exercise("1.3")
def _single_nets_better_than_seven(answer: Any) -> str | None:
    if not isinstance(answer, list | tuple | set) or not all(
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        for pair in answer
    ):
        return 'A list of pairs is asked for: [("D", "dense"), ...], written as in the record.'
    rows = load_record("paper")["table5"]["rows"]
    seven = _paper_row("table6", stage="ILSVRC submission")

    def below(bound: float, key: str = "top5_val") -> set[tuple[str, str]]:
        return {(row["config"], row["evaluation"]) for row in rows if row[key] < bound}

    right, nets = below(seven["top5_val"]), below(math.inf)
    given = {(first, second) for first, second in answer}
    if given == right:
        return None
    if given and given <= {(evaluation, config) for config, evaluation in nets}:
        return "The pairs are turned round: the configuration comes first, then the evaluation."
    if not given <= nets:
        return f"Choose among the rows of Table 5, such as {min(given & nets or nets)}."
    if given == below(math.nextafter(seven["top5_val"], math.inf)):
        return "Some of these are equal to the seven; lower means strictly lower."
    if given == below(seven["top5_test"]):
        return f"{seven['top5_test']} is the test error of the seven; compare on validation."
    if given == below(seven["top1_val"], "top1_val"):
        return "That is so for top-1 error; compare the top-5 error."
    if given == nets - right:
        return "Those are the ones that do not beat the seven; the others are asked for."
    if given and given < right:
        return "These do beat the seven, but some are missing: all of them are asked for."
    return "Compare top5_val of each row of Table 5 with that of the submission in Table 6."


@_exercise("1.4")
def _more_images_right(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    sizes = load_record("paper")["training"]["dataset"]["value"]
    images, tested = (1000 * int(sizes[part].removesuffix("K")) for part in ("val", "test"))
    pair = _paper_row("table6", stage="post-submission", evaluation="multi-crop & dense")
    jitter = {"train_S": "[256;512]"}
    single = _paper_row("table3", config="E", **jitter)
    points = single["top1_val"] - pair["top1_val"]
    right = round(points / 100 * images)
    if _near(answer, right, 0.01):
        return None
    if _near(answer, right - 1, 0.01):
        return "One too few: round to the nearest whole number, and do not cut."
    if _near(answer, -right, 1.01):
        return "The sign is turned: the pair makes fewer errors, so it gets more right."
    if _near(answer, points / 100, 1e-4) or _near(answer, points, 0.01):
        return f"That is a share of the images; the count is asked for, out of {images:,}."
    if _near(answer, points * images, 50):
        return "The errors are in per cent, so divide by 100."
    if _near(answer, points / 100 * tested, 1.01):
        return "The test set has 100,000 images; the errors are on validation, with 50,000."
    if _near(answer, (single["top5_val"] - pair["top5_val"]) / 100 * images, 1.01):
        return "That is so for top-5 error; top-1 is asked for."
    for table, config, name in (
        ("table3", "D", "D, not E"),
        ("table4", "E", "E at three test scales; it is asked for at one"),
    ):
        other = _paper_row(table, config=config, **jitter)["top1_val"]
        if _near(answer, (other - pair["top1_val"]) / 100 * images, 1.01):
            return f"That compares the pair with {name}."
    if _near(answer, points / single["top1_val"] * images, 5):
        return "That takes the errors of E as the whole; both errors are shares of all images."
    wrong = pair["top1_val"] / 100 * images
    if _near(answer, wrong, 1.01) or _near(answer, images - wrong, 1.01):
        return "That counts the pair alone; the difference to E is asked for."
    return "Take the difference of the two errors, as a share of all validation images."


# Chapter 2


@_exercise("2.1")
def _four_against_nine(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    stack, single = 4 * 3**2, 9**2  # in units of C * C
    fewer = 100 * (1 - stack / single)
    if abs(answer - fewer) < 0.1:
        return None
    if abs(answer - fewer) < 1:
        return "Close: give one decimal."
    if abs(answer + fewer) < 0.1:
        return "The sign is turned: a stack with fewer weights saves a positive share."
    if abs(answer - 100 * (single / stack - 1)) < 0.5:
        return (
            "That is how many per cent more the 9x9 has. Asked is how many fewer the stack has, "
            "so divide by the weights of the 9x9."
        )
    if abs(answer - fewer / 100) < 0.001:
        return "That is the share; asked are per cent."
    if abs(answer - 100 * stack / single) < 0.1 or abs(answer - stack / single) < 0.001:
        return "That is the share that is left; asked is the share that the stack saves."
    if abs(answer - (single - stack)) < 0.1:
        return "That is the difference in units of C x C; divide it by the weights of the 9x9."
    if abs(answer - 100 * (1 - 3**2 / single)) < 0.1:
        return "That compares one 3x3 with the 9x9; the stack has four."
    return "Count both in units of C x C: every 3x3 layer has 9, the 9x9 layer has 81."


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
    names = ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5"]
    for count, name in enumerate(names, start=1):
        if answer == field(sizes[:count]):
            return f"That is the field after {name}; asked is the field after pool5."
    if answer == field([entry for entry in sizes if entry != (3, 2)]):
        return "The pools are missing: they widen the field and double the jump."
    if answer == receptive_field(Layer(k, stride=s) for k, s in sizes)[-1].jump:
        return "That is the jump; asked is the receptive field."
    doubled, late, jump = 1, 1, 1
    for k, s in sizes:
        doubled = 2 * doubled if (k, s) == (3, 2) else doubled + k - 1
        jump *= s
        late += (k - 1) * jump
    if answer == doubled:
        return (
            "That is the rule behind 308: a pool doubles the jump, not the field, "
            "and each layer adds (k - 1) jumps."
        )
    if answer == late:
        return "A layer's own stride does not count for itself: add (k - 1) jumps, then multiply."
    return "Write each row of the table as Layer(kernel, stride=...), in order, and read the last."


@_exercise("2.3")
def _layers_for_thirty_one(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    side = 31
    layers = (side - 1) // (3 - 1)  # each 3x3 adds 2 to the field of 1
    if answer == layers:
        return None
    if answer in (layers + 1, side / 2):
        return f"A unit sees 1 pixel before any layer, so there are {side - 1} left to add."
    if answer == side - 1:
        return "Each 3x3 layer adds two pixels, one on either side."
    if abs(answer - side / 3) < 0.05 or answer in (side // 3, side // 3 + 1):
        return f"Windows of neighbouring units overlap: {side} is not shared out by threes."
    if answer < 1 or answer != answer // 1:
        return "The number of layers is a positive whole number."
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
    if abs(answer * 1e6 - right) <= 5e5:
        return "That is in millions; give the full count."
    if answer == total(summarise("D", pool_size=1)).parameters:
        return "That is D with averages; E is asked for."
    return "The convolutions, fc7 and fc8 keep their counts; fc6 now has one input a channel."


# Chapter 4


@_exercise("4.1")
def _scale_preserving_deviation(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    fan_in, fan_out = 3 * 3 * 256, 3 * 3 * 512  # conv4_1 of D
    right = math.sqrt(2 / fan_in)

    def near(value: float) -> bool:
        return math.isclose(answer, value, rel_tol=0.02)  # 0.029 will do

    if near(right):
        return None
    if near(right**2):
        return "That is the variance of the weights; take its square root."
    if near(math.sqrt(1 / fan_in)):
        return "That would do without the ReLU, which drops half of the mean square."
    if near(math.sqrt(1 / 2 / fan_in)):
        return "The 2 stands on the wrong side: the weights make up for what the ReLU drops."
    if near(math.sqrt(2 / fan_out)):
        return "That counts the 512 channels that go out; a value adds up what comes in."
    if near(math.sqrt(2 / (fan_in + fan_out))):
        return "That is Xavier's compromise between fan-in and fan-out; the scale falls with it."
    if near(math.sqrt(2 / 256)):
        return "A 3x3 window reads nine values of each channel that comes in."
    return "Set the gain, std * sqrt(fan-in / 2), to 1, with conv4_1's fan-in of 3 * 3 * 256."


@_exercise("4.2")
def _factor_on_the_weights_of_e(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    convolutions = sum(not isinstance(layer, str) for layer in layer_configs["E"])
    layers, pools = convolutions + 3, layer_configs["E"].count("M")

    def over(count: int) -> bool:
        """Say whether the answer is the factor for this many layers."""
        return math.isclose(answer, 10 ** (9 / count), rel_tol=0.01)

    if over(layers):
        return None
    if over(1):
        return "Every layer has the factor, and each passes on what the layers before it made."
    if math.isclose(answer, 1e9 / layers, rel_tol=0.01):
        return "The factors of the layers multiply; they do not add up."
    if math.isclose(answer, 10 ** (-9 / layers), rel_tol=0.01):
        return "That makes the logits smaller still: turn the fraction over."
    if over(convolutions):
        return (
            f"That counts {convolutions} layers: D's, or the convolutions of E without its three "
            "fully connected layers."
        )
    if over(layers + pools):
        return "The pools have no weights, and pass on the factor that they are given."
    if over(11) or over(13):
        return "That is another network of Table 1; E has 19 layers with weights."
    if over(layers - 1) or over(layers + 1):
        return "That is one layer off: count the layers with weights again."
    return "Every layer with weights brings the factor once. How many such layers has E?"


@_exercise("4.3")
def _measured_start(answer: Any) -> str | None:
    if not callable(answer):
        return f"A function is asked for, and this is {type(answer).__name__}."
    import torch

    from vgg_utils.model import VGGNet

    small = {"width": 1 / 16, "pool_size": 1, "hidden_features": 32, "init": 0.05}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = VGGNet(1, 10, "D", **small).eval()  # type: ignore[arg-type]
        images = torch.randn(8, 1, 32, 32)
    before, _, _ = _output_sizes(net, images)
    try:
        answer(net, images)
    except Exception as error:
        return f"Calling it as answer(net, images) fails: {type(error).__name__}: {error}."
    after, behind_relu, deviations = _output_sizes(net, images)

    def close(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=0.02)

    wrong = [name for name, size in after.items() if not close(size, 1)]
    if not wrong:
        return None
    if all(close(after[name], before[name]) for name in after):
        return "The network is as it was: change layer.weight in place, under torch.no_grad()."
    first = next(iter(after))
    if all(close(behind_relu[name], 1) for name in list(after)[:-1]):
        return (
            "The size is 1 behind the ReLU; asked is what the layer itself puts out. "
            "Measure inside the hook: the network's ReLUs work in place and overwrite the output "
            "afterwards."
        )
    if all(close(deviation, 1) for deviation in deviations.values()):
        return (
            f"{wrong[0]} puts out a size of {after[wrong[0]]:.3g}, and 1 is asked for: "
            "divide by the root mean square, not by the standard deviation."
        )
    if close(after[first] * before[first], 1):
        return f"{first} now has size {after[first]:.2g}: divide by the size, not by its square."
    if close(after[first], before[first] ** 2):
        return f"{first} now has size {after[first]:.2g}: divide by the size, do not multiply."
    if wrong[0] == first:
        reason = "Measure it on these images; a formula does not do."
    elif all(name.startswith("fc") for name in wrong):
        reason = "The three fully connected layers count too."
    else:
        reason = (
            "A layer's size depends on all the layers before it: measure it after those are set."
        )
    return f"{wrong[0]} puts out a size of {after[wrong[0]]:.3g}, and 1 is asked for. {reason}"


def _output_sizes(
    net: Any, images: Any
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return the size of what each layer puts out, of what its ReLU leaves, and its deviation.

    Sizes are root mean squares; the deviation is the standard deviation of the layer's output.
    """
    import torch

    from vgg_utils.model import weight_layers

    sizes: dict[str, float] = {}
    behind_relu: dict[str, float] = {}
    deviations: dict[str, float] = {}

    def record(name: str) -> Any:
        def hook(layer: Any, inputs: Any, output: torch.Tensor) -> None:
            sizes[name] = output.square().mean().sqrt().item()
            behind_relu[name] = output.relu().square().mean().sqrt().item()
            deviations[name] = output.std().item()

        return hook

    hooks = [layer.register_forward_hook(record(n)) for n, layer in weight_layers(net).items()]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    return sizes, behind_relu, deviations


# What ails the networks of exercise 4.4, and how it shows.
_AILMENTS = {
    "P": "weights too small",
    "Q": "dead layer",
    "R": "softmax inside",
    "S": "weights too large",
}
_SYMPTOMS = {
    "P": "no value is exactly zero throughout, but they shrink from layer to layer",
    "Q": "all its logits are the same, and some gradients are exactly zero",
    "R": "its outputs are never negative and sum to 1 for each image",
    "S": "its first loss is far above ln 10",
}


def broken_network(name: str) -> VGGNet:
    """Return one of the four broken networks of exercise 4.4: "P", "Q", "R" or "S".

    Each is A at an eighth of its width, for images (N, 1, 32, 32), with logits (N, 10).

    Raises ValueError for another name.
    """
    if name not in _AILMENTS:
        raise ValueError(f"no network {name!r}: choose one of {', '.join(_AILMENTS)}")
    import torch

    from vgg_utils.model import VGGNet, weight_layers

    init = {"weights too small": 0.01, "weights too large": 0.3}.get(_AILMENTS[name], "he")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = VGGNet(1, 10, "A", width=1 / 8, pool_size=1, hidden_features=512, init=init)
    if _AILMENTS[name] == "dead layer":
        bias = weight_layers(net)["conv4_1"].bias
        assert bias is not None
        torch.nn.init.constant_(bias, -100.0)
    if _AILMENTS[name] == "softmax inside":
        net.classifier.append(torch.nn.Softmax(dim=1))
    return net.eval()


@_exercise("4.4")
def _diagnoses(answer: Any) -> str | None:
    names = ", ".join(_AILMENTS)
    if not isinstance(answer, dict):
        return f"A dict such as {{'P': 'dead layer'}} is asked for, not {type(answer).__name__}."
    if missing := [name for name in _AILMENTS if name not in answer]:
        return f"Each of {names} needs a diagnosis; {missing[0]} has none."
    for name, ailment in _AILMENTS.items():
        if answer[name] == ailment:
            continue
        if answer[name] not in _AILMENTS.values():
            known = ", ".join(repr(known) for known in sorted(_AILMENTS.values()))
            return f"{name}: {answer[name]!r} is not on the list. Choose among {known}."
        return f"{name} has another ailment than {answer[name]!r}: {_SYMPTOMS[name]}."
    return None


# Chapter 5


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
def _mirror(answer: Any) -> str | None:
    if not callable(answer):
        return f"A function is asked for, and this is {type(answer).__name__}."
    import torch

    batch = torch.rand(200, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    given = batch.clone()
    try:
        found = answer(batch)
    except (TypeError, RuntimeError, IndexError, ValueError) as error:
        return f"Calling it with a batch of shape {tuple(batch.shape)} fails: {error}."
    if found is None:
        return "The function returns None: end it with a return."
    if not isinstance(found, torch.Tensor) or found.shape != batch.shape:
        shape = getattr(found, "shape", type(found).__name__)
        shape = tuple(shape) if isinstance(shape, torch.Size) else shape
        return f"A batch of shape {tuple(batch.shape)} should come back, and this is {shape}."

    def like(expected: torch.Tensor) -> torch.Tensor:
        return (found == expected).flatten(1).all(dim=1)  # (N,)

    kept, mirrored = like(given), like(given.flip(3))
    if like(given.flip(2)).any():
        return "Some images are upside down: the last axis is the width."
    if like(given.flip(1)).any():
        return "In some images red and blue have changed places: the last axis is the width."
    if not (kept | mirrored).all():
        return "Some images are neither as they were nor mirrored left to right."
    if kept.all() or mirrored.all():
        return "All images of the batch came back alike: draw anew for each of them."
    if not 0.3 < mirrored.float().mean() < 0.7:
        share = mirrored.float().mean().item()
        return f"Half of the images should be mirrored, and this was {share:.0%} of 200."
    if all(torch.equal(answer(given.clone()), found) for _ in range(3)):
        return "It mirrors the same images every time: draw them at random."
    return None


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
        except (TypeError, RuntimeError) as error:
            return f"Calling it as answer(scores, labels, {k}) fails: {error}."
        if got is None:
            return "The function returns None: end it with a return."
        if isinstance(got, torch.Tensor):
            shape = tuple(got.shape)
            return f"The result has shape {shape}, and one number is asked for: take the mean."
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
    if math.isclose(answer, 100 * math.sqrt((p * (1 - p) + 0.01 * 0.99) / n), rel_tol=0.05):
        return "That is the standard error of the gap; first take that of the 2% alone."
    if math.isclose(answer, 100 * p * (1 - p) / n, rel_tol=0.05):
        return "That is the variance; take its square root before you multiply by 100."
    if math.isclose(answer, 100 * math.sqrt(p * (1 - p)) / n, rel_tol=0.05):
        return "The 500 stands under the square root too."
    if math.isclose(answer, 100 * math.sqrt(p * (1 - p)), rel_tol=0.05):
        return "That is the spread of a single digit; divide by the square root of 500."
    return "Put p = 0.02 and n = 500 into the formula, then multiply by 100."


# Chapter 6


@_exercise("6.1")
def _dense_places(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    rows, columns = 480 // 32, 640 // 32
    if answer == (rows - 6) * (columns - 6):
        return None
    if answer == rows * columns:
        return "That is the last map; the 7x7 window of fc6 must fit on it at each place."
    if answer == (rows - 7) * (columns - 7):
        return "One too few along each side: a window of 7 fits on a row of 7 once."
    if answer == (rows // 7) * (columns // 7):
        return "The windows overlap: they move by one unit of the last map, not by seven."
    if answer == (480 - 223) * (640 - 223):
        return "The windows move by 32 pixels, the stride of the five pools, not by one."
    if answer in (rows - 6, columns - 6):
        return "That is one side of the map; multiply by the other."
    if answer == 2 * (rows - 6) * (columns - 6):
        return "That counts the mirror image too; the map of one image is asked for."
    return "Divide each side by 32, and count where a window of 7 fits along it."


@_exercise("6.2")
def _crop_overlap(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    side, size = 512, 224
    step = (side - size) // 4
    if answer == size - step:
        return None
    if answer == step:
        return "That is the step from one crop to the next; asked is what both hold."
    if answer == side - size:
        return "That is the way from the first crop to the last; there are four steps in it."
    if _near(answer, size - (side - size) / 5, 0.7):
        return "Five crops have four steps between them, not five."
    if _near(answer, size - side / 5, 0.7) or _near(answer, size - side / 4, 0.7):
        return "The last crop begins 224 pixels before the edge, so the steps share 512 - 224."
    if answer == size - (384 - size) // 4:
        return "That is so at Q = 384; here it is 512."
    if answer == (size - step) * size:
        return "That is the area they share; the width is asked for."
    return "Find the step between two starts, and take it from the width of a crop."


@_exercise("6.3")
def _neither_first(answer: Any) -> str | None:
    form = "A pair of posteriors is asked for, such as ([0.2, 0.5, 0.3], [0.1, 0.8, 0.1])."
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        return form
    pair: list[list[float]] = []
    for entry in answer:
        values = entry.tolist() if hasattr(entry, "tolist") else entry
        if not isinstance(values, list | tuple) or len(values) != 3:
            return form + " Each has three numbers."
        if any(_not_a_number(value) for value in values):
            return form
        if min(values) < 0 or not math.isclose(sum(values), 1, abs_tol=1e-3):
            return "A posterior's numbers are at least 0 and sum to 1."
        pair.append(list(values))
    mean = [(a + b) / 2 for a, b in zip(*pair, strict=True)]

    def first(values: list[float]) -> int | None:
        ranked = sorted(values)
        return values.index(ranked[-1]) if ranked[-1] - ranked[-2] > 1e-6 else None

    both, winner = [first(values) for values in pair], first(mean)
    if winner is None:
        return "The average has two highest classes; let one of them win."
    if None in both:
        return "One of the networks has two first choices; let it decide."
    if winner not in both:
        return None
    if both[0] == both[1]:
        return "Both networks have the same first choice, so it wins. Give them different ones."
    return "The average follows one of the two: raise the class that both have second."


@_exercise("6.4")
def _price_of_a_dense_look(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    crop = total(summarise("D")).macs
    dense = total(summarise("D", 384, dense=True)).macs
    if _near(answer, dense / crop, 0.051):
        return None
    if _near(answer, crop / dense):
        return "That is upside down: the whole image over the crop."
    if _near(answer, (384 / 224) ** 2, 0.051):
        return "That is the area, which the convolutions follow; fc6 to fc8 work at 36 places."
    if _near(answer, total(summarise("D", 384)).macs / crop, 0.051):
        return "That applies fc6 to fc8 once; `dense=True` applies them at every place."
    if _near(answer, 36, 0.1):
        return "That would be 36 crops; the dense form shares the convolutions between windows."
    if _near(answer, 2 * dense / crop, 0.11):
        return "That includes the mirror image; without it is asked for."
    if answer in (dense, crop):
        return "Divide the whole image's multiply-accumulates by the crop's."
    return "Divide the sum for D at 384 with `dense=True` by the sum for D at 224."


# Chapter 7


@_exercise("7.1")
def _verdict(answer: Any) -> str | None:
    if not callable(answer):
        return f"A function is asked for, and this is {type(answer).__name__}."
    from scipy import stats

    cases = [
        ([-2.0, -1.5, -0.9, -1.2, -1.4], -1.0),
        ([2.0, 1.5, 0.9, 1.2, 1.4], -1.0),
        ([-2.0, 1.5, -0.5, 0.4, 0.2], -1.0),
        ([0.1, 1.9, 0.2, 1.8, 0.9], 0.6),  # holds zero; with 1.96, or s over n, it would not
        ([-0.2, 2.2, -0.1, 2.1, 0.9], 0.6),  # holds zero; one standard error would not reach it
        ([-1.0, -2.0], -1.0),  # with two, t is 12.7
        ([-0.8, -1.2, -0.7, 0.2, -0.9, -1.3, -0.6, -1.1, -0.2, -0.9], 0.3),
    ]
    for changes, paper in cases:
        low, high = stats.t.interval(
            0.95, len(changes) - 1, loc=sum(changes) / len(changes), scale=stats.sem(changes)
        )
        right = "cannot tell"
        if not low <= 0 <= high:
            right = "agrees" if (low > 0) == (paper > 0) else "disagrees"
        try:
            got = answer(changes, paper)
        except (TypeError, ValueError, AttributeError, IndexError, NameError) as error:
            return f"Calling it with the changes {changes} and the paper's {paper} fails: {error}."
        if got != right:
            return (
                f"For the changes {changes} and the paper's {paper} it says {got!r}. Their mean "
                f"lies between {low:.2f} and {high:.2f} at 95%, so it should say {right!r}."
            )
    return None


@_exercise("7.2")
def _seeds_needed(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    from scipy import stats

    effect, spread = 0.8, 1.5

    def enough(quantile: Callable[[int], float]) -> int:
        return next(n for n in range(2, 1000) if quantile(n) * spread / math.sqrt(n) < effect)

    right = enough(lambda n: float(stats.t.ppf(0.975, n - 1)))
    if answer == right:
        return None
    if answer == enough(lambda n: 1.96):
        return "That is with 1.96 for every n. Student's t is larger, and depends on n."
    if answer == enough(lambda n: 2.78):
        return "2.78 is t for five seeds; with more seeds t is smaller."
    if answer == right - 1:
        return "With one more seed the margin falls below 0.8 for the first time."
    if 2 <= answer < 1000 and int(answer) == answer:
        now = float(stats.t.ppf(0.975, answer - 1)) * spread / math.sqrt(answer)
        return f"With {answer:.0f} seeds the margin is {now:.2f} points."
    return "A whole number of seeds is asked for, at least 2."


@_exercise("7.3")
def _luck_of_the_best_epoch(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    runs = load_record("initialisation")["results"]["D, Xavier, pixels x57"]["runs"]
    errors = [[row["test_error"] for row in run["history"]] for run in runs]  # by seed and epoch
    gains = [each[-1] - min(each) for each in errors]
    right = sum(gains) / len(gains)
    if _near(answer, right):
        return None
    if _near(answer, -right):
        return "The size is right; the best epoch is lower, so last less best is not negative."
    if _near(answer, max(gains)):
        return "That is the largest of the five gains; take their mean."
    if _near(answer, sum(each[-1] for each in errors) / len(errors)):
        return "That is the mean error of the last epoch; subtract that of each seed's best epoch."
    if _near(answer, sum(map(min, errors)) / len(errors)):
        return "That is the mean error of the best epochs; subtract it from that of the last ones."
    return "For each seed: its last epoch's error less its lowest one. Then the mean of the five."


# Chapter 8


@_exercise("8.1")
def _greatest_shift(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    if math.isclose(answer, 1 / 3, rel_tol=0.02):
        return None
    if math.isclose(answer, 100 / 3, rel_tol=0.02):
        return "As a percentage that is right; give the share, between 0 and 1."
    if math.isclose(answer, 1 / 2, rel_tol=0.02):
        return (
            "Then they share half of a box, but together they cover one and a half: the IoU is 1/3."
        )
    if math.isclose(answer, 1 - 1 / math.sqrt(2), rel_tol=0.02):
        return "The box moves to the right only; this looks like a shift in both directions."
    if math.isclose(answer, 2 / 3, rel_tol=0.02):
        return "That is the share of a box that both cover; how far has it moved?"
    if 0 < answer < 1:
        value = (1 - answer) / (1 + answer)
        return f"At a shift of {answer:.3g} the IoU is {value:.2f}, and 0.50 is asked for."
    return "Set (shared area) / (area covered together) equal to 1/2, with a box of width 1."


@_exercise("8.2")
def _cost_of_per_class_regression(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    fc8 = summarise("D")[-1]  # 1,000 outputs, each with its weights and its bias
    each = fc8.parameters // fc8.output_shape[0]
    classes = fc8.output_shape[0]
    right = 4 * (classes - 1) * each
    if answer == right:
        return None
    if answer == 4 * (classes - 1) * (each - 1):
        return "Those are the weights; add the biases, one for each output."
    if answer == 4 * classes * each:
        return "That is the whole layer of PCR; subtract SCR's."
    if answer == -right:
        return "The size is right; PCR has more, so the difference is positive."
    if answer == (classes - 1) * each:
        return "A box is four numbers, so there are four outputs for each class."
    if answer == 4 * classes * each - fc8.parameters:
        return "That is compared with the classifier's last layer; compare with SCR's."
    if abs(answer * 1e6 - right) <= 5e4:
        return "That is in millions; give the full count."
    return "Count (outputs of PCR - outputs of SCR) times (weights + bias of one output)."


@_exercise("8.3")
def _from_torchvision_to_the_authors(answer: Any) -> str | None:
    if not callable(answer):
        return f"A function is asked for, and this is {type(answer).__name__}."
    import torch

    # The numbers of IMAGENET1K_V1; a test holds them against torchvision's.
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    released = load_record("paper")["training"]["mean_pixel_bgr"]["value"]
    bgr = torch.tensor(released).view(3, 1, 1)
    pixels = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))  # RGB, 0 to 1
    try:
        got = answer((pixels - mean) / std)
    except (TypeError, RuntimeError, ValueError, AttributeError, IndexError) as error:
        return f"Calling it with an image of shape (3, 4, 5) fails: {error}."
    if not isinstance(got, torch.Tensor):
        return f"The function should return a tensor; it returns {type(got).__name__}."
    if got.shape != pixels.shape:
        return f"The result should keep the shape (3, 4, 5); it has {tuple(got.shape)}."
    right = pixels.flip(0) * 255 - bgr

    def is_like(other: torch.Tensor) -> bool:
        return torch.allclose(got.to(other), other, atol=0.01 * float(other.abs().max()))

    if is_like(right):
        return None
    if is_like(pixels * 255 - bgr.flip(0)):
        return "All is right but the order of the channels, which is still RGB."
    if is_like(pixels * 255 - bgr) or is_like(pixels.flip(0) * 255 - bgr.flip(0)):
        return "The mean pixel is in the order BGR: subtract each number from its own colour."
    if is_like(pixels.flip(0) * 255):
        return "The mean pixel is not subtracted yet."
    if is_like(pixels.flip(0) - bgr) or is_like(pixels.flip(0) - bgr / 255):
        return "The pixels are still in the range 0 to 1: multiply them by 255."
    if is_like(((pixels - mean) / std).flip(0) * 255 - bgr):
        return "First undo torchvision's mean and standard deviation."
    if is_like(((pixels - mean) / std + mean).mul(std).flip(0) * 255 - bgr):
        return "Undo in the opposite order: multiply by the deviation, then add the mean."
    return "Multiply by the deviation, add the mean, times 255, reverse the channels, subtract."


# Chapter 9


@_exercise("9.1")
def _batch_that_fills_fc7(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    fc7 = next(row for row in summarise("D") if row.name == "fc7")
    balance, size, values = 989e12 / 3.35e12, 2, 2 * fc7.activations  # in and out, an image

    def least(parameters: int, values: int, size: int = size) -> int:
        """Images for which 2 MACs N / (size (values N + parameters)) reaches the balance point."""
        return math.ceil(balance * size * parameters / (2 * fc7.macs - balance * size * values))

    if answer in (least(fc7.parameters, values), least(fc7.macs, values)):  # with or without biases
        return None
    if answer in (least(fc7.parameters, 0), least(fc7.macs, 0)):
        return "That counts the weights alone; inputs and outputs cross memory too."
    if answer == least(fc7.macs, values) - 1:
        return "One short: there it just still waits for memory."
    if answer in (least(fc7.parameters, fc7.activations), least(fc7.macs, fc7.activations)):
        return "That counts inputs or outputs; both cross memory."
    if answer in (least(fc7.parameters, values, 4), least(fc7.macs, values, 4)):
        return "That is with numbers of 4 bytes; the H100's peak here is for 2."
    return "Find the batch at which the operations of fc7 over its bytes reach 295."


@_exercise("9.2")
def _gradient_of_unequal_shares(answer: Any) -> str | None:
    if not callable(answer):
        return f"A function is asked for, and this is {type(answer).__name__}."
    import torch

    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(2, 3, generator=generator) for _ in range(3)]
    sizes = [128, 96, 32]
    kept = [gradient.clone() for gradient in gradients]
    try:
        got = answer(gradients, sizes)
    except (TypeError, RuntimeError, ValueError, AttributeError, IndexError) as error:
        return f"Calling it with three gradients and three sizes fails: {error}."
    if not all(map(torch.equal, gradients, kept)):
        return "The function changes the gradients that it is given; make new tensors."
    if not isinstance(got, torch.Tensor):
        return f"The function should return a tensor; it returns {type(got).__name__}."
    if got.shape != gradients[0].shape:
        return f"The result should have the gradients' shape (2, 3); it has {tuple(got.shape)}."
    sums = [size * gradient for size, gradient in zip(sizes, gradients, strict=True)]
    right = torch.stack(sums).sum(0) / sum(sizes)
    if torch.allclose(got.to(right), right, rtol=1e-4, atol=1e-6):
        return None
    for wrong, says in (
        (torch.stack(gradients).mean(0), "That is the plain average, right for equal shares."),
        (torch.stack(gradients).sum(0), "Those are means: weigh each by its number of images."),
        (right * sum(sizes), "That is the gradient of the summed loss; the mean is asked for."),
        (right * sum(sizes) / 3, "Divide by the number of images, not by that of devices."),
    ):
        if torch.allclose(got.to(wrong), wrong, rtol=1e-4, atol=1e-6):
            return says
    return "Multiply each gradient by its share's size, add up, and divide by all images."


@_exercise("9.3")
def _images_for_fewer_bytes(answer: Any) -> str | None:
    if complaint := _not_a_number(answer):
        return complaint
    rate, link = 0.40 * 989e12, 25e9
    full, pooled = total(summarise("D")), total(summarise("D", pool_size=1))

    def meet(parameters: int, macs: int, factor: float = 1.0) -> float:
        return factor * 8 * parameters * rate / (6 * macs * link)

    right = meet(pooled.parameters, pooled.macs)
    if _near(answer, right, 0.51):  # in whole images too
        return None
    if _near(answer, meet(full.parameters, full.macs), 0.51):
        return "That is the full D; its fc6 has seven times seven times as many weights."
    if _near(answer, right / 0.40, 0.6) or _near(answer, right * 0.40, 0.26):
        return "The H100 reaches 40% of its peak here."
    if _near(answer, right / 2, 0.26):
        return "Each byte is sent twice in the ring, and a parameter has 4 bytes: 8 in all."
    if _near(answer, right * 3, 0.6) or _near(answer, right * 6, 1.1) or _near(answer, right * 2):
        return "A step takes 6 operations for each MAC of an image: three passes of two."
    if _near(answer, right * 25 / 450, 0.06):
        return "That is over NVLink; the network moves 25 GB/s."
    return "Put the parameters and MACs of the network with pool_size=1 into the formula for b*."
