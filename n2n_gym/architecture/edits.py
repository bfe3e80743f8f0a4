"""What an episode may do to an architecture: remove layers (section 3.2.1), shrink them (section 3.2.2).

Both stages list their decisions first, then turn one action per decision into a new architecture. A student is
therefore always `teacher + actions`, and editing twice with the same actions gives the same student.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from n2n_gym.architecture.graph import IMAGE, Architecture, Node
from n2n_gym.layers import JOINS, POOLS, LayerKind

KEEP, REMOVE = 0, 1
"""The two actions of layer removal."""

FACTORS = tuple(tenths / 10 for tenths in range(1, 11))
"""Layer shrinkage: action `i` multiplies a configuration variable by `FACTORS[i]`."""

MIN_FILTERS = 10
"""Shrinking leaves a layer at least this many filters, or as many as it had (the authors' code's limit)."""


@dataclass(frozen=True, slots=True)
class RemovalDecision:
    """One layer of the main path; a protected layer stays whatever the action says."""

    layer: int
    protected: bool


def removal_decisions(architecture: Architecture) -> tuple[RemovalDecision, ...]:
    """Stage 1's decisions in order: every layer on the main path but the frames of blocks.

    Sums, concatenations and the activation behind a sum frame a block and are no decisions; neither are shortcuts.
    Protected are the first layer, strided convolutions, the last pool and the last linear layer, which tie the
    student to its images, its resolutions and its classes. ResNet-18 has 45 decisions, ResNet-34 has 85.
    """
    layers = [architecture.nodes[i].layer for i in architecture.main_path]
    pools = [i for i, layer in zip(architecture.main_path, layers, strict=True) if layer.kind in POOLS]
    linears = [i for i, layer in zip(architecture.main_path, layers, strict=True) if layer.kind is LayerKind.LINEAR]
    protected = {architecture.main_path[0], *pools[-1:], *linears[-1:]}
    return tuple(
        RemovalDecision(i, i in protected or (layer.kind is LayerKind.CONV and layer.stride > 1))
        for i, layer in zip(architecture.main_path, layers, strict=True)
        if layer.kind not in JOINS and not architecture.is_block_activation(i)
    )


def remove(architecture: Architecture, layers: Collection[int]) -> Architecture:
    """The architecture without these layers; what followed each reads what came before it.

    Two things that compute nothing go with them: a sum of which only the shortcut is left, and a rectifier directly
    behind a rectifier. So students that compute the same are more often equal, and equal ones are trained once.
    """
    nodes: list[Node] = []
    renumbered = {IMAGE: IMAGE}
    for index, node in enumerate(architecture.nodes):
        inputs = tuple(renumbered[i] for i in node.inputs)
        source = inputs[0]
        repeated_relu = node.layer.kind is LayerKind.RELU and source != IMAGE and nodes[source].layer.kind is LayerKind.RELU
        empty_branch = node.layer.kind is LayerKind.ADD and len(set(inputs)) == 1
        if index in layers or repeated_relu or empty_branch:
            renumbered[index] = source
        else:
            renumbered[index] = len(nodes)
            nodes.append(Node(node.layer, inputs))
    return Architecture(tuple(nodes), architecture.input_shape, architecture.classes)


def apply_removals(architecture: Architecture, actions: Sequence[int]) -> Architecture:
    """The student that stage 1's actions make: one `KEEP` or `REMOVE` per decision; protected layers stay.

    Raises:
        ValueError: If there is not one valid action per decision.
    """
    decisions = removal_decisions(architecture)
    _check_actions(actions, len(decisions), 2)
    pairs = zip(decisions, actions, strict=True)
    return remove(architecture, {d.layer for d, action in pairs if action == REMOVE and not d.protected})


class Variable(IntEnum):
    """A layer's configuration variable that stage 2 may shrink; `LAYER` stands for the layer itself (stage 1)."""

    LAYER = 0
    KERNEL = 1
    PADDING = 2
    OUTPUTS = 3


@dataclass(frozen=True, slots=True)
class ShrinkDecision:
    """One free configuration variable, and the layers that share it, the leading one first.

    A `KERNEL` with `keeps_size` lies on a branch of a block: its kernel stays odd and its padding follows, because
    the branches must meet in the same height and width.
    """

    variable: Variable
    layers: tuple[int, ...]
    keeps_size: bool = False


def shrink_decisions(architecture: Architecture) -> tuple[ShrinkDecision, ...]:
    """Stage 2's decisions in order: the free variables of each convolution and hidden linear layer.

    Free are kernels larger than 1, paddings larger than 0 and outputs. Variables that must agree are one decision,
    led by the first layer that has it: the outputs of all layers that meet in a sum; on a branch of a block, kernel
    and padding. The number of classes is no variable.
    """
    in_block = frozenset().union(*(block.members for block in architecture.blocks))
    groups = _output_groups(architecture)
    decisions = []
    for index, node in enumerate(architecture.nodes):
        layer = node.layer
        if layer.kind is LayerKind.CONV and layer.kernel > 1:
            decisions.append(ShrinkDecision(Variable.KERNEL, (index,), keeps_size=index in in_block))
        if layer.kind is LayerKind.CONV and layer.padding > 0 and index not in in_block:
            decisions.append(ShrinkDecision(Variable.PADDING, (index,)))
        if index in groups:
            decisions.append(ShrinkDecision(Variable.OUTPUTS, groups[index]))
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
            layer = layers[index]
            match decision.variable:
                case Variable.KERNEL:
                    kernel = max(1, _scaled(layer.kernel, factor))
                    padding = layer.padding
                    if decision.keeps_size:
                        steps = min((layer.kernel - kernel + 1) // 2, layer.padding)
                        kernel, padding = layer.kernel - 2 * steps, layer.padding - steps
                    layers[index] = replace(layer, kernel=kernel, padding=padding)
                case Variable.PADDING:
                    layers[index] = replace(layer, padding=_scaled(layer.padding, factor))
                case Variable.OUTPUTS:
                    floor = min(MIN_FILTERS, layer.outputs)
                    layers[index] = replace(layer, outputs=max(floor, _scaled(layer.outputs, factor)))
    nodes = tuple(replace(node, layer=layer) for node, layer in zip(architecture.nodes, layers, strict=True))
    return Architecture(nodes, architecture.input_shape, architecture.classes)


def apply_shrinkages(architecture: Architecture, actions: Sequence[int]) -> Architecture:
    """The student that stage 2's actions make: one index into `FACTORS` per decision.

    Raises:
        ValueError: If there is not one valid action per decision.
    """
    decisions = shrink_decisions(architecture)
    _check_actions(actions, len(decisions), len(FACTORS))
    return shrink(architecture, {d: FACTORS[action] for d, action in zip(decisions, actions, strict=True)})


def _check_actions(actions: Sequence[int], decisions: int, choices: int) -> None:
    if len(actions) != decisions or not all(0 <= action < choices for action in actions):
        raise ValueError(f"expected {decisions} actions from 0 to {choices - 1}, received {list(actions)}")


def _scaled(value: int, factor: float) -> int:
    tenths = round(10 * factor)  # whole-number arithmetic: 3 * 0.5 rounds to 2 on every machine
    return (value * tenths + 5) // 10


def _output_groups(architecture: Architecture) -> dict[int, tuple[int, ...]]:
    """Each free group of layers with the same number of outputs, keyed by its first layer.

    A node's channels stem from one layer, or from several behind a concatenation. A sum ties what its branches stem
    from; where the image or a concatenation meets another branch in a sum, nothing that it stems from is free.
    """
    parent: dict[int, int] = {}
    fixed: set[int] = set()

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    def stems(i: int) -> tuple[int, ...]:
        return (IMAGE,) if i == IMAGE else channels[i]

    parent[IMAGE] = IMAGE
    fixed.add(IMAGE)
    channels: list[tuple[int, ...]] = []
    for index, node in enumerate(architecture.nodes):
        if node.layer.kind in (LayerKind.CONV, LayerKind.LINEAR):
            parent[index] = index
            channels.append((index,))
            continue
        branches = [stems(i) for i in node.inputs]
        if node.layer.kind is LayerKind.CONCAT:
            channels.append(tuple(stem for branch in branches for stem in branch))
            continue
        if len(branches) > 1 and any(len(branch) > 1 for branch in branches):
            fixed.update(stem for branch in branches for stem in branch)
        else:
            for branch in branches[1:]:
                parent[root(branch[0])] = root(branches[0][0])
        channels.append(branches[0])
    fixed.update(channels[-1] if channels else ())  # the classes
    groups: dict[int, list[int]] = defaultdict(list)
    for index in sorted(parent):
        groups[root(index)].append(index)
    bound = {root(index) for index in fixed}
    return {members[0]: tuple(members) for key, members in groups.items() if key not in bound}
