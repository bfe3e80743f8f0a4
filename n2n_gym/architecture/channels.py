"""Which layers give a feature map its channels, and which of them must agree."""

from __future__ import annotations

from collections import defaultdict

from n2n_gym.architecture.blocks import IMAGE
from n2n_gym.architecture.graph import Architecture
from n2n_gym.layers import Channels


def stems(architecture: Architecture) -> list[tuple[int, ...]]:
    """For each layer, whose channels it puts out: indices of layers with channels of their own, or `IMAGE`.

    Several of them behind a concatenation, one after the other. Behind a sum, those of its first branch stand for all.
    """
    found: list[tuple[int, ...]] = []
    for index, node in enumerate(architecture.nodes):
        branches = [(IMAGE,) if i == IMAGE else found[i] for i in node.inputs]
        match node.layer.channels:
            case Channels.FREE:
                found.append((index,))
            case Channels.STACKED:
                found.append(tuple(stem for branch in branches for stem in branch))
            case _:
                found.append(branches[0])
    return found


def channel_spaces(architecture: Architecture) -> dict[int, int]:
    """For each layer, and for `IMAGE`, the space of its output's channels: in one space, channel 3 of all layers is the same.

    A space is known by one of the layers that give its channels; those that meet in a sum are one.
    """
    parent = {IMAGE: IMAGE}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            i = parent[i]
        return i

    found: dict[int, int] = {IMAGE: IMAGE}
    for index, node in enumerate(architecture.nodes):
        if node.layer.channels in (Channels.FREE, Channels.STACKED):
            found[index] = index
            continue
        first, *others = (found[i] for i in node.inputs)
        for other in others:
            parent[root(other)] = root(first)
        found[index] = first
    return {index: root(space) for index, space in found.items()}


def output_groups(architecture: Architecture) -> dict[int, tuple[int, ...]]:
    """Each free group of layers with the same number of outputs, keyed by its first layer.

    A sum ties what its branches stem from; where the image or a concatenation meets another branch in a sum, nothing that
    it stems from is free. Nor are the classes.
    """
    spaces = channel_spaces(architecture)
    whose = stems(architecture)
    fixed = {IMAGE, *(whose[-1] if whose else ())}
    for node in architecture.nodes:
        branches = [(IMAGE,) if i == IMAGE else whose[i] for i in node.inputs]
        if node.layer.channels is Channels.TIED and any(len(branch) > 1 for branch in branches):
            fixed.update(stem for branch in branches for stem in branch)
    bound = {spaces[stem] for stem in fixed}
    groups: dict[int, list[int]] = defaultdict(list)
    for index, node in enumerate(architecture.nodes):
        if node.layer.channels is Channels.FREE and spaces[index] not in bound:
            groups[spaces[index]].append(index)
    return {members[0]: tuple(members) for members in groups.values()}


def makers_of_classes(architecture: Architecture) -> frozenset[int]:
    """The layers whose output channels are the network's, and so the classes."""
    found: set[int] = set()
    waiting = [len(architecture.nodes) - 1]
    while waiting:
        index = waiting.pop()
        if index == IMAGE or index in found:
            continue
        if architecture.nodes[index].layer.channels is Channels.FREE:
            found.add(index)
        else:
            waiting += architecture.nodes[index].inputs
    return frozenset(found)
