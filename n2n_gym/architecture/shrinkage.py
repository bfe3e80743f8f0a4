"""What stage 2 may do to an architecture: shrink its layers (section 3.2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from n2n_gym.architecture.channels import output_groups
from n2n_gym.architecture.graph import Architecture
from n2n_gym.architecture.removal import check_actions
from n2n_gym.layers import Variable

FACTORS = tuple(tenths / 10 for tenths in range(1, 11))
"""Layer shrinkage: action `i` multiplies a configuration variable by `FACTORS[i]`."""


@dataclass(frozen=True, slots=True)
class ShrinkDecision:
    """One free configuration variable, and the layers that share it, the leading one first.

    A `KERNEL` with `keeps_size` lies on a branch of a block: its kernel stays odd and its padding follows, because
    the branches must meet in the same height and width. Outputs stay a `multiple`, where channels are divided into groups.
    """

    variable: Variable
    layers: tuple[int, ...]
    keeps_size: bool = False
    multiple: int = 1


@lru_cache(maxsize=64)
def shrink_decisions(architecture: Architecture) -> tuple[ShrinkDecision, ...]:
    """Stage 2's decisions in order: the free variables of each convolution and hidden linear layer.

    Free are kernels larger than 1, paddings larger than 0 and outputs. Variables that must agree are one decision,
    led by the first layer that has it: the outputs of all layers that meet in a sum or a gate; on a branch of a block, kernel
    and padding. The number of classes is no variable.
    """
    in_block = frozenset().union(*(block.members for block in architecture.blocks))
    groups = output_groups(architecture)
    decisions = []
    for index, node in enumerate(architecture.nodes):
        for variable in node.layer.variables:
            if variable is Variable.OUTPUTS:
                if index in groups:
                    group = groups[index]
                    decisions.append(ShrinkDecision(variable, group.layers, multiple=group.multiple))
            elif index not in in_block or variable is Variable.KERNEL:
                decisions.append(ShrinkDecision(variable, (index,), keeps_size=index in in_block))
    return tuple(decisions)


def shrink(architecture: Architecture, factors: Mapping[ShrinkDecision, float]) -> Architecture:
    """The architecture with each decision's variable multiplied by its factor, rounded half up.

    A kernel stays at least 1, filters at least `MIN_FILTERS` (or what they were).

    Args:
        architecture: What to shrink.
        factors: A number from `FACTORS` for each decision to apply.
    """
    layers = [node.layer for node in architecture.nodes]
    for decision, factor in factors.items():
        for index in decision.layers:
            layers[index] = layers[index].shrunk(
                decision.variable, round(10 * factor), keeps_size=decision.keeps_size, multiple=decision.multiple
            )
    nodes = tuple(replace(node, layer=layer) for node, layer in zip(architecture.nodes, layers, strict=True))
    return Architecture(nodes, architecture.input_shape, architecture.classes)


def size_of(architecture: Architecture, layer: int, variable: Variable) -> int:
    """A variable of a layer, its channels for `OUTPUTS`; 0 for what the layer does not have (any more)."""
    if variable is Variable.OUTPUTS:
        return architecture.widths[layer]
    return architecture.nodes[layer].layer.value(variable) or 0


def scaled_in_width(architecture: Architecture, parameters: int) -> Architecture:
    """The architecture with all of its free outputs multiplied by one factor: the narrowest with at least so many parameters.

    What a network of that size is without any search. One that has fewer parameters is left as it is.
    """
    narrow, wide = 0.0, 1.0
    if architecture.parameters <= parameters:
        return architecture
    while wide - narrow > NARROWEST_STEP:
        between = (narrow + wide) / 2
        if _times(architecture, between).parameters < parameters:
            narrow = between
        else:
            wide = between
    return _times(architecture, wide)


NARROWEST_STEP = 1e-4
"""Widths that differ by a smaller factor are one."""


def _times(architecture: Architecture, width: float) -> Architecture:
    nodes = list(architecture.nodes)
    for group in output_groups(architecture).values():
        outputs = architecture.widths[group.layers[0]]
        scaled = min(outputs, max(1, round(width * outputs / group.multiple)) * group.multiple)
        for index in group.layers:
            nodes[index] = replace(nodes[index], layer=nodes[index].layer.giving(scaled))
    return Architecture(tuple(nodes), architecture.input_shape, architecture.classes)


def apply_shrinkages(architecture: Architecture, actions: Sequence[int]) -> Architecture:
    """The student that stage 2's actions make: one index into `FACTORS` per decision.

    Raises:
        ValueError: If there is not one valid action per decision.
    """
    decisions = shrink_decisions(architecture)
    check_actions(actions, len(decisions), len(FACTORS))
    return shrink(architecture, {d: FACTORS[action] for d, action in zip(decisions, actions, strict=True)})
