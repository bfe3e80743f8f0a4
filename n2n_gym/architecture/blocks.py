"""The structure of a graph of layers: its main path, and the blocks that sums and concatenations close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from n2n_gym.layers import Layer

IMAGE = -1
"""The input index that stands for the image."""


@dataclass(frozen=True, slots=True)
class Node:
    """A layer and where its inputs come from: indices of earlier nodes, or `IMAGE`."""

    layer: Layer
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """The layers between a fork and the sum or concatenation that joins its branches.

    Attributes:
        join: Index of the sum or concatenation.
        branches: For each of its inputs, the indices of the layers that lie on the way to it, but not to all others.
        path: Those of them that lie on the main path, in order.
    """

    join: int
    branches: tuple[frozenset[int], ...]
    path: tuple[int, ...]

    @property
    def members(self) -> frozenset[int]:
        """Indices of every layer on any of the branches."""
        return frozenset().union(*self.branches)


def longest_path(nodes: Sequence[Node]) -> tuple[int, ...]:
    """Indices of the layers on the longest way from image to output; it leads through what is gated, not through its gate.

    Of ways with as many layers, the one with larger windows and more filters, then the one whose layers are written last in
    the alphabet: whichever operand of a sum was written first makes no difference.
    """
    lengths: list[tuple[int, int]] = []  # layers, and a measure of their size
    before: list[int] = []

    def way(index: int) -> list[str]:
        layers = []
        while index != IMAGE:
            layers.append(repr(nodes[index].layer))
            index = before[index]
        return layers

    for node in nodes:
        ways = node.inputs[:1] if node.layer.gates else node.inputs
        ends = [(0, 0) if i == IMAGE else lengths[i] for i in ways]
        longest = max(ends)
        rivals = list(dict.fromkeys(i for i, end in zip(ways, ends, strict=True) if end == longest))
        before.append(rivals[0] if len(rivals) == 1 else max(rivals, key=way))
        kernel, _, _, outputs = node.layer.observed
        lengths.append((longest[0] + 1, longest[1] + max(kernel, 1) ** 2 * outputs))
    path = []
    index = len(nodes) - 1
    while index != IMAGE:
        path.append(index)
        index = before[index]
    return tuple(reversed(path))


def blocks_of(nodes: Sequence[Node], main_path: Sequence[int]) -> tuple[Block, ...]:
    """Every block that a sum or a concatenation closes, in order."""
    upstream: list[int] = []  # each node with everything that it depends on, as the bits of a number
    for index, node in enumerate(nodes):
        bits = 1 << index
        for i in node.inputs:
            bits |= upstream[i] if i != IMAGE else 0
        upstream.append(bits)
    blocks = []
    for index, node in enumerate(nodes):
        if not node.layer.joins:
            continue
        ways = [upstream[i] if i != IMAGE else 0 for i in node.inputs]
        common = ways[0]
        for bits in ways[1:]:
            common &= bits
        branches = tuple(frozenset(_indices(bits & ~common)) for bits in ways)
        members = frozenset().union(*branches)
        blocks.append(Block(index, branches, tuple(i for i in main_path if i in members)))
    return tuple(blocks)


def _indices(bits: int) -> list[int]:
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found
