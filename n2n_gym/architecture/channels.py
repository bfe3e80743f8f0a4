"""Which layers give a feature map its channels, and which of them must agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import NamedTuple

from n2n_gym.architecture.blocks import IMAGE
from n2n_gym.architecture.graph import Architecture
from n2n_gym.layers import Channels

OWN_SPACE = (Channels.FREE, Channels.STACKED, Channels.SHUFFLED, Channels.PART)
"""Where a layer puts out channels in an order of its own."""

Width = dict[int, Fraction]
"""A number of channels, as so many times the outputs of layers with channels of their own, or of the image."""


def channel_spaces(architecture: Architecture) -> dict[int, int]:
    """For each layer, and for `IMAGE`, the space of its output's channels: in one space, channel 3 of all layers is the same.

    A space is known by one of the layers that give its channels; those that meet in a sum are one.
    """
    roots = _Roots()
    found: dict[int, int] = {IMAGE: IMAGE}
    for index, node in enumerate(architecture.nodes):
        if node.layer.channels in OWN_SPACE:
            found[index] = index
            continue
        first, *others = (found[i] for i in node.inputs)
        for other in others:
            roots.unite(first, other)
        found[index] = first
    return {index: roots.of(space) for index, space in found.items()}


class Outputs(NamedTuple):
    """Layers that have the same number of outputs whatever it is.

    Attributes:
        layers: Their indices.
        multiple: Of what that number must be a multiple, where channels are divided into groups.
    """

    layers: tuple[int, ...]
    multiple: int


def output_groups(architecture: Architecture) -> dict[int, Outputs]:
    """Each free group of layers with the same number of outputs, keyed by its first layer.

    A sum or a gate ties what its branches stem from; so does a division into parts, as behind it nobody can tell the channels
    of one layer from another's. Where such ties cannot hold, nothing that is tied there is free. Nor are the classes, nor
    what must be divided into groups and is not divisible by itself.
    """
    ties = _Ties(architecture)
    members: dict[int, list[int]] = defaultdict(list)
    for index, node in enumerate(architecture.nodes):
        if node.layer.channels is Channels.FREE:
            members[ties.roots.of(index)].append(index)
    groups = (Outputs(tuple(layers), ties.multiples[root]) for root, layers in members.items() if root not in ties.fixed)
    return {group.layers[0]: group for group in groups if not architecture.widths[group.layers[0]] % group.multiple}


def output_multiples(architecture: Architecture) -> dict[int, int]:
    """Of what the outputs of each layer with channels of its own are multiples, as channels are divided into groups."""
    ties = _Ties(architecture)
    free = [index for index, node in enumerate(architecture.nodes) if node.layer.channels is Channels.FREE]
    return {index: ties.multiples[ties.roots.of(index)] for index in free}


def makers_of_classes(architecture: Architecture) -> frozenset[int]:
    """The layers whose output channels are the network's, and so the classes."""
    return _makers(architecture, [len(architecture.nodes) - 1])


def makers_of_parts(architecture: Architecture) -> frozenset[int]:
    """The layers that must stay so that what is divided into parts has as many channels as before.

    On the branch of a concatenation on which every layer gives as many channels as it reads, none must.
    """
    divided = [i for node in architecture.nodes if node.layer.channels is Channels.PART for i in node.inputs]
    even = _even_branches(architecture) if divided else frozenset()
    return _makers(architecture, divided, passing=even) - even


def _even_branches(architecture: Architecture) -> frozenset[int]:
    """The layers on branches of concatenations on which the number of channels is the same all along."""
    widths = {IMAGE: architecture.input_shape[0]} | dict(enumerate(architecture.widths))
    nodes = architecture.nodes
    found: set[int] = set()
    for block in architecture.blocks:
        if nodes[block.join].layer.channels is not Channels.STACKED:
            continue
        for end, branch in zip(nodes[block.join].inputs, block.branches, strict=True):
            read = {i for member in branch if nodes[member].layer.channels is not Channels.PART for i in nodes[member].inputs}
            if {widths[i] for i in branch | read} == {widths[end]}:
                found |= branch
    return frozenset(found)


def _makers(architecture: Architecture, ends: Sequence[int], passing: frozenset[int] = frozenset()) -> frozenset[int]:
    """The layers with channels of their own that come first on each way back from some layers; some let ways pass."""
    found: set[int] = set()
    seen = {IMAGE}
    waiting = list(ends)
    while waiting:
        index = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        free = architecture.nodes[index].layer.channels is Channels.FREE
        if free:
            found.add(index)
        if not free or index in passing:
            waiting += architecture.nodes[index].inputs
    return frozenset(found)


class _Roots:
    """Which numbers belong together."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def of(self, i: int) -> int:
        while (parent := self._parents.get(i, i)) != i:
            i = parent
        return i

    def unite(self, first: int, second: int) -> bool:
        """Whether they did not belong together before."""
        first, second = self.of(first), self.of(second)
        self._parents[second] = first
        return first != second


class _Ties:
    """What the numbers of channels of an architecture have to do with each other.

    Attributes:
        roots: Which layers have the same number of outputs.
        fixed: Those, by their root, whose number cannot change.
        multiples: Of what it is a multiple, by their root.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self.roots = _Roots()
        while self._tied(self._widths()):  # what is tied late may make others equal
            pass
        widths = self._widths()
        self.fixed = {self.roots.of(i) for i in (IMAGE, *(widths[len(architecture.nodes) - 1] if architecture.nodes else ()))}
        self.multiples: dict[int, int] = defaultdict(lambda: 1)
        for index, node in enumerate(architecture.nodes):
            read = [widths[i] for i in node.inputs]
            if node.layer.channels is Channels.TIED and any(width != read[0] for width in read):
                self.fixed.update(*read)
            if node.layer.channels is Channels.PART and len(read[0]) > 1:
                self.fixed.update(read[0])
            for width in read:
                self._divide(width, node.layer.input_parts)
            self._divide(widths[index], node.layer.output_parts)

    def _widths(self) -> Mapping[int, Width]:
        found: dict[int, Width] = {IMAGE: {self.roots.of(IMAGE): Fraction(1)}}
        for index, node in enumerate(self._architecture.nodes):
            match node.layer.channels:
                case Channels.FREE:
                    found[index] = {self.roots.of(index): Fraction(1)}
                case Channels.STACKED:
                    found[index] = {}
                    for i in node.inputs:
                        for root, share in found[i].items():
                            found[index][root] = found[index].get(root, Fraction(0)) + share
                case Channels.PART:
                    parts = node.layer.input_parts
                    share = Fraction(node.layer.output_channels([parts]), parts)
                    found[index] = {root: share * times for root, times in found[node.inputs[0]].items()}
                case _:
                    found[index] = found[node.inputs[0]]
        return found

    def _tied(self, widths: Mapping[int, Width]) -> bool:
        """Whether anything was found that must be equal, and was not known to be."""
        changed = False
        for node in self._architecture.nodes:
            if node.layer.channels is Channels.TIED:
                alike = [widths[i] for i in node.inputs if len(widths[i]) == 1]
                shares = {share for width in alike for share in width.values()}
                together = [root for width in alike for root in width] if len(shares) == 1 else []
            elif node.layer.channels is Channels.PART:
                together = list(widths[node.inputs[0]])
            else:
                continue
            if len({self._outputs(root) for root in together}) == 1:
                for root in together[1:]:
                    changed |= self.roots.unite(together[0], root)
        return changed

    def _outputs(self, root: int) -> int:
        return self._architecture.input_shape[0] if root == IMAGE else self._architecture.widths[root]

    def _divide(self, width: Width, parts: int) -> None:
        """Let a number of channels be divisible into so many parts, whatever the layers that give them put out."""
        if parts == 1:
            return
        for root, share in width.items():
            whole = parts * share.denominator
            self.multiples[root] = lcm(self.multiples[root], whole // gcd(share.numerator, whole))
