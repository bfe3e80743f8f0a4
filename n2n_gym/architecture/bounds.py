"""Between what any student of a network lies, whatever an agent does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import prod

from n2n_gym.architecture.blocks import IMAGE
from n2n_gym.architecture.channels import makers_of_classes
from n2n_gym.architecture.graph import Architecture
from n2n_gym.architecture.removal import givers, removal_decisions
from n2n_gym.architecture.shrinkage import FACTORS, shrink, shrink_decisions
from n2n_gym.layers import FLOAT_BYTES, Channels, Layer, Shape, Variable
from n2n_gym.layers.base import fewer

Range = tuple[float, float]

LEAST = round(10 * FACTORS[0])
"""Tenths that the strongest shrinking leaves."""


def student_ranges(base: Architecture, *, removal: bool = True, shrinkage: bool = True) -> Mapping[str, Range]:
    """Bounds on a student's parameters, MACs and bytes; students come close to the lower one on parameters.

    Args:
        base: What episodes start from.
        removal: Whether layers may be removed.
        shrinkage: Whether layers may be shrunk.

    Every layer that cannot be removed stays, with its least outputs and kernel, reading as few channels as any layer
    before it may put out, from a feature map of one pixel; those that read the image read all of it. Where layers may be
    removed before others shrink, what ties outputs and kernels to one another may be gone by then: they count as untied.
    """
    decisions = shrink_decisions(base) if shrinkage else ()
    least = shrink(base, dict.fromkeys((d for d in decisions if d.variable is not Variable.PADDING), FACTORS[0]))
    removable = {decision.layer for decision in removal_decisions(base) if removal and not decision.protected}
    parameters = macs = maps = 0
    may_go, makers = _may_go(base, removable), makers_of_classes(base)
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
        if removal and shrinkage and Variable.KERNEL in layer.variables:  # where its block is gone, it need not keep the size
            variants.append(base.nodes[index].layer.shrunk(Variable.KERNEL, LEAST))
        if removal and layer.channels is Channels.FREE:
            outputs = _given(base, narrowest, index, shrinks=shrinkage and index not in makers)
            variants = [each for variant in variants for each in _giving(variant, outputs)]
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
                variants = [each for variant in variants for each in _giving(variant, outputs)]
        maps_of = [_least_map(variant, read, outputs) for variant in variants]
        macs += min(variant.macs(read, output) for variant, output in zip(variants, maps_of, strict=True))
        if node.inputs == (IMAGE,):
            maps = prod(base.input_shape) + min(map(prod, maps_of))
    return {
        "parameters": (parameters, base.parameters),
        "macs": (macs, math.inf),
        # of fewer parameters, statistics of wider maps may still take more room
        "model_bytes": (FLOAT_BYTES * parameters, math.inf if removal else base.model_bytes),
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


def _given(base: Architecture, narrowest: list[int], index: int, *, shrinks: bool) -> int:
    """The fewest channels that a layer may have: its own, or a sum's or a concatenation's, as the last one left in its branch.

    Args:
        base: What episodes start from.
        narrowest: The fewest channels of what layers before it put out.
        index: The layer.
        shrinks: Whether its outputs may shrink afterwards.
    """
    given = [base.widths[index]]
    entries: set[int] = set()
    for block in base.blocks:
        if index not in block.members:
            continue
        if base.nodes[block.join].layer.channels is Channels.STACKED:
            ends = zip(base.nodes[block.join].inputs, block.branches, strict=True)
            given += [base.widths[end] for end, branch in ends if index in branch]
            continue
        given.append(base.widths[block.join])
        entries |= {i for member in block.members for i in base.nodes[member].inputs if i not in block.members and i < index}
    least = fewer(min(given), LEAST) if shrinks else min(given)
    return min([least, *(base.input_shape[0] if i == IMAGE else narrowest[i] for i in entries)])


def _giving(layer: Layer, outputs: int) -> list[Layer]:
    """A layer with at least so many outputs, divided into any of the numbers of groups that removals may leave it.

    Of fewer groups it may have fewer outputs, and yet more parameters.
    """
    groups = [number for number in range(1, layer.output_parts + 1) if layer.output_parts % number == 0]
    return [layer.giving(-(-outputs // number) * number) for number in groups]


def _least_map(layer: Layer, read: Sequence[Shape], outputs: int) -> Shape:
    """The smallest feature map that a layer may put out; one whose channels are not its own puts out so many."""
    return layer.least_output(read, layer.output_channels([]) if layer.channels is Channels.FREE else outputs)
