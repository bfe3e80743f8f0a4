"""Between what any student of a network lies, whatever an agent does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod

from n2n_gym.architecture.blocks import IMAGE
from n2n_gym.architecture.graph import Architecture
from n2n_gym.architecture.removal import givers, removal_decisions
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
    may_go = _may_go(base, removable)
    with_them = {
        member
        for block in base.blocks
        for branch, goes in zip(block.branches, may_go[block.join], strict=True)
        for member in branch
        if goes
    }
    narrowest: list[int] = []  # the fewest channels that each layer's output may have
    for index, node in enumerate(least.nodes):
        layer, variants = node.layer, [node.layer]
        sources = [base.input_shape[0] if i == IMAGE else narrowest[i] for i in node.inputs]
        outputs = layer.output_channels([min(sources)] if layer.channels is Channels.TIED else sources)
        if layer.channels is Channels.STACKED:
            staying = [source for source, goes in zip(sources, may_go.get(index, ()), strict=False) if not goes]
            outputs = min(outputs, sum(staying) or min(sources))
        if removal and layer.channels is Channels.FREE and (given := _given(least, narrowest, index)) < outputs:
            variants, outputs = [layer, layer.giving(given)], given  # of fewer groups, it may have more parameters
        if index in removable:
            narrowest.append(min(*sources, outputs))
            continue
        narrowest.append(outputs)
        if index in with_them:
            continue
        read = [base.input_shape] if node.inputs == (IMAGE,) else [(channels, 1, 1) for channels in sources]
        parameters += min(variant.parameters(read) for variant in variants)
        if node.inputs == (IMAGE,) and shrinkage and Variable.KERNEL in base.nodes[index].layer.variables:
            # a smaller kernel without padding leaves a larger map
            variants = [base.nodes[index].layer.shrunk(Variable.KERNEL, tenths) for tenths in range(1, 11)]
            if layer.channels is Channels.FREE:
                variants = [variant.giving(outputs) for variant in variants]
        maps_of = [(variant, variant.least_output(read, outputs)) for variant in variants]
        macs += min(variant.macs(read, output) for variant, output in maps_of)
        if node.inputs == (IMAGE,):
            maps = prod(base.input_shape) + min(prod(output) for _, output in maps_of)
    return {
        "parameters": (parameters, base.parameters),
        "macs": (macs, math.inf),
        "model_bytes": (FLOAT_BYTES * parameters, base.model_bytes),
        "activation_bytes": (FLOAT_BYTES * max(maps, base.classes), math.inf),
    }


def _may_go(base: Architecture, removable: set[int]) -> dict[int, tuple[bool, ...]]:
    """For each sum, gate and concatenation, which of its branches may go as a whole."""
    found: dict[int, tuple[bool, ...]] = {}
    for block in base.blocks:
        node = base.nodes[block.join]
        if node.layer.gates:
            found[block.join] = (False, block.join in removable)
            continue
        giving = [givers(base.nodes, i, branch) for i, branch in zip(node.inputs, block.branches, strict=True)]
        found[block.join] = tuple(bool(layers) and removable.issuperset(layers) for layers in giving)
    return found


def _given(least: Architecture, narrowest: list[int], index: int) -> int:
    """The fewest channels that a layer may have to give a sum or a concatenation, as the last one left in its branch."""
    given = [least.nodes[index].layer.output_channels([])]
    for block in least.blocks:
        if index not in block.members:
            continue
        if least.nodes[block.join].layer.channels is Channels.STACKED:
            ends = zip(least.nodes[block.join].inputs, block.branches, strict=True)
            given += [least.widths[end] for end, branch in ends if index in branch]
            continue
        given.append(least.widths[block.join])
        entries = {i for member in block.members for i in least.nodes[member].inputs if i not in block.members and i < index}
        given += [least.input_shape[0] if i == IMAGE else narrowest[i] for i in entries]
    return min(given)
