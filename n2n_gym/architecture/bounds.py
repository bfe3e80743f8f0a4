"""Between what any student of a network lies, whatever an agent does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from math import prod

from n2n_gym.architecture.edits import FACTORS, Variable, removal_decisions, shrink, shrink_decisions
from n2n_gym.architecture.graph import IMAGE, Architecture
from n2n_gym.layers import FLOAT_BYTES, Layer, LayerKind, Shape

Range = tuple[float, float]

SIZES = ("parameters", "macs", "model_bytes", "activation_bytes")
"""What a network costs whatever its weights are; `Architecture` has an attribute for each."""


def student_ranges(base: Architecture, *, removal: bool = True, shrinkage: bool = True) -> Mapping[str, Range]:
    """Bounds on a student's parameters, MACs and bytes; students come close to the lower one on parameters.

    Args:
        base: What episodes start from.
        removal: Whether layers may be removed.
        shrinkage: Whether layers may be shrunk.

    Every layer that cannot be removed stays, with its least outputs and kernel, reading as few channels as any layer
    before it may put out, from a feature map of one pixel; those that read the image read all of it.
    """
    decisions = shrink_decisions(base) if shrinkage else ()
    least = shrink(base, dict.fromkeys((d for d in decisions if d.variable is not Variable.PADDING), FACTORS[0]))
    removable = {decision.layer for decision in removal_decisions(base) if removal and not decision.protected}
    parameters = macs = maps = 0
    narrowest: list[int] = []  # the fewest channels that each layer's output may have
    for index, node in enumerate(least.nodes):
        layer = node.layer
        sources = [base.input_shape[0] if i == IMAGE else narrowest[i] for i in node.inputs]
        channels = sum(sources) if layer.kind is LayerKind.CONCAT else min(sources)
        outputs = layer.outputs or channels
        if index in removable:
            narrowest.append(min(channels, outputs))
            continue
        narrowest.append(outputs)
        source = base.input_shape if node.inputs == (IMAGE,) and layer.kind is LayerKind.CONV else (channels, 1, 1)
        parameters += layer.parameters([source])
        kernels = range(layer.kernel, base.nodes[index].layer.kernel + 1)
        options = [(replace(layer, kernel=kernel), (outputs, *_least_side(layer, kernel, source))) for kernel in kernels]
        macs += min(option.macs([source], output) for option, output in options)
        if node.inputs == (IMAGE,):
            maps = prod(base.input_shape) + min(prod(output) for _, output in options)
    return {
        "parameters": (parameters, base.parameters),
        "macs": (macs, math.inf),
        "model_bytes": (FLOAT_BYTES * parameters, base.model_bytes),
        "activation_bytes": (FLOAT_BYTES * max(maps, base.classes), math.inf),
    }


def _least_side(layer: Layer, kernel: int, source: Shape) -> tuple[int, int]:
    """Height and width that a layer's output has at least with this kernel: without padding."""
    if layer.kind is not LayerKind.CONV:
        return 1, 1
    height, width = (max((side - kernel) // layer.stride + 1, 1) for side in source[1:])
    return height, width
