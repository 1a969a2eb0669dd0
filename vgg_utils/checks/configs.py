"""Exercises on the six configurations and what they cost (lesson 4)."""

from vgg_utils.checks.base import Values, exercise
from vgg_utils.configs import get_layers, layer_configs, summarise


@exercise("4.1")
def _five_by_five_twin(answer: object) -> Values:
    if not isinstance(answer, list):
        return {"no_list": True}
    try:
        layers = get_layers(answer)
    except ValueError as error:
        return {"error": error}
    firsts = layer_configs["B"][::3]  # of each block: two convolutions and a pool
    twin = [entry for layer in firsts for entry in ((5, layer[1]), "M")]
    kernels = [layer[0] for layer in layers if layer != "M"]
    return {
        "right": answer == twin,
        "in_lists": layers == twin,
        "pools": layers.count("M"),
        "small": 3 in kernels,
        "convolutions": len(kernels),
    }


@exercise("4.3")
def _dominant_layer_at_32(answer: object) -> Values:
    if not isinstance(answer, str):
        return {"no_name": True}
    small, large = ({row.name: row.macs for row in summarise("D", size)} for size in (32, 224))
    if answer not in small:
        return {"unknown": True}
    return {"macs": small[answer], "most": max(small.values()), "at_224": large[answer]}
