"""Between what any student of a network lies, whatever an agent does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod

from n2n_gym.architecture.blocks import IMAGE
from n2n_gym.architecture.graph import Architecture
from n2n_gym.architecture.removal import removal_decisions
from n2n_gym.architecture.shrinkage import FACTORS, shrink, shrink_decisions
from n2n_gym.layers import FLOAT_BYTES, Channels, Variable

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
        outputs = layer.output_channels([min(sources)] if layer.channels is Channels.TIED else sources)
        if removal and layer.channels is Channels.FREE and (given := _given(least, narrowest, index)) < outputs:
            layer, outputs = layer.giving(given), given
        if index in removable:
            narrowest.append(min(*sources, outputs))
            continue
        narrowest.append(outputs)
        read = [base.input_shape] if node.inputs == (IMAGE,) else [(channels, 1, 1) for channels in sources]
        parameters += layer.parameters(read)
        options = [layer]
        if node.inputs == (IMAGE,) and shrinkage and Variable.KERNEL in base.nodes[index].layer.variables:
            kernels = (base.nodes[index].layer.shrunk(Variable.KERNEL, tenths) for tenths in range(1, 11))
            options = [each.giving(outputs) for each in kernels]  # a smaller kernel without padding leaves a larger map
        maps_of = [(option, option.least_output(read, outputs)) for option in options]
        macs += min(option.macs(read, output) for option, output in maps_of)
        if node.inputs == (IMAGE,):
            maps = prod(base.input_shape) + min(prod(output) for _, output in maps_of)
    return {
        "parameters": (parameters, base.parameters),
        "macs": (macs, math.inf),
        "model_bytes": (FLOAT_BYTES * parameters, base.model_bytes),
        "activation_bytes": (FLOAT_BYTES * max(maps, base.classes), math.inf),
    }


def _given(least: Architecture, narrowest: list[int], index: int) -> int:
    """The fewest channels that a layer may have to give a sum, as the last one left in its branch."""
    given = [least.nodes[index].layer.output_channels([])]
    for block in least.blocks:
        if index in block.members and least.nodes[block.join].layer.channels is Channels.TIED:
            given.append(least.widths[block.join])
            entries = {
                i for member in block.members for i in least.nodes[member].inputs if i not in block.members and i < index
            }
            given += [least.input_shape[0] if i == IMAGE else narrowest[i] for i in entries]
    return min(given)
