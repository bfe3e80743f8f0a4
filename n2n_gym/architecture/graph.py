"""An architecture: an immutable graph of layers, its shapes and its totals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from n2n_gym.layers import FLOAT_BYTES, JOINS, Layer, LayerKind, Shape, Verdict

IMAGE = -1
"""The input index that stands for the image."""

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Node:
    """A layer and where its inputs come from: indices of earlier nodes, or `IMAGE`.

    The first input is the main path; in a residual block the shortcut is the second.
    """

    layer: Layer
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """The layers between a fork and the sum or concatenation that joins its branches.

    Attributes:
        join: Index of the sum or concatenation.
        members: Indices of every layer on any of the branches.
        path: Those of them on the first branch (the main path), in order.
    """

    join: int
    members: frozenset[int]
    path: tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """What a network is: plain data, hashable, the state of the compression MDP (section 3.1).

    Attributes:
        nodes: The layers in topological order; the last one's output is the network's.
        input_shape: Channels, height and width of the images.
        classes: How many numbers the network puts out for one image.

    Raises:
        ValueError: If a node reads from itself, from a later node or from a missing one.
    """

    nodes: tuple[Node, ...]
    input_shape: Shape
    classes: int

    def __post_init__(self) -> None:
        if len(self.input_shape) != 3 or any(type(n) is not int or n < 1 for n in self.input_shape):
            raise ValueError(f"input shape must be three whole numbers (channels, height, width), not {self.input_shape}")
        if type(self.classes) is not int or self.classes < 1:
            raise ValueError(f"classes must be a whole number of at least 1, not {self.classes!r}")
        for index, node in enumerate(self.nodes):
            if not all(type(i) is int and IMAGE <= i < index for i in node.inputs):
                raise ValueError(
                    f"layer {index} reads from {node.inputs}; only {IMAGE} (the image) to {index - 1} come before it"
                )
            if (len(node.inputs) < 2) if node.layer.kind in JOINS else (len(node.inputs) != 1):
                raise ValueError(f"layer {index}, {node.layer.kind}, cannot have {len(node.inputs)} input(s)")

    @classmethod
    def chain(cls, layers: Sequence[Layer], input_shape: Shape, classes: int) -> Architecture:
        """An architecture in which each layer reads the one before it."""
        return cls(tuple(Node(layer, (i - 1,)) for i, layer in enumerate(layers)), input_shape, classes)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Architecture:
        """The architecture that `to_json` wrote.

        Raises:
            ValueError: If the data does not describe an architecture.
        """
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"architecture format {data['format']!r} is not {FORMAT}")
            nodes = []
            for fields in data["layers"]:
                settings = {k: v for k, v in fields.items() if k != "inputs"}
                nodes.append(Node(Layer(**settings), tuple(fields["inputs"])))
            return cls(tuple(nodes), tuple(data["input_shape"]), data["classes"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an architecture: {type(error).__name__}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The architecture as JSON data."""
        layers = [{**node.layer.to_json(), "inputs": list(node.inputs)} for node in self.nodes]
        return {"format": FORMAT, "input_shape": list(self.input_shape), "classes": self.classes, "layers": layers}

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that are equal exactly for equal architectures."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def _shapes(self) -> tuple[Shape, ...] | Verdict:
        shapes: list[Shape] = []
        for node in self.nodes:
            shape = node.layer.output_shape([self.input_shape if i == IMAGE else shapes[i] for i in node.inputs])
            if isinstance(shape, Verdict):
                return shape
            shapes.append(shape)
        if not shapes:
            return Verdict.EMPTY
        return tuple(shapes) if prod(shapes[-1]) == self.classes else Verdict.SHAPES_DO_NOT_FIT

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Each layer's output shape; empty for an architecture that cannot be built."""
        return () if isinstance(self._shapes, Verdict) else self._shapes

    def input_shapes(self, index: int) -> list[Shape]:
        """The shapes that layer `index` reads, for an architecture that can be built."""
        return [self.input_shape if i == IMAGE else self.shapes[i] for i in self.nodes[index].inputs]

    @cached_property
    def parameters(self) -> int:
        """Trainable parameters; 0 for an architecture that cannot be built."""
        return sum(self.nodes[i].layer.parameters(self.input_shapes(i)) for i in range(len(self.shapes)))

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image's forward pass; 0 for an architecture that cannot be built."""
        return sum(self.nodes[i].layer.macs(self.input_shapes(i), shape) for i, shape in enumerate(self.shapes))

    @cached_property
    def model_bytes(self) -> int:
        """Bytes of the weights and running statistics in float32; 0 for an architecture that cannot be built."""
        buffers = sum(self.nodes[i].layer.buffer_bytes(self.input_shapes(i)) for i in range(len(self.shapes)))
        return FLOAT_BYTES * self.parameters + buffers

    @cached_property
    def last_uses(self) -> tuple[tuple[int, ...], ...]:
        """For each layer, which feature maps nothing reads after it: layers' indices, or `IMAGE`."""
        last = {source: reader for reader, node in enumerate(self.nodes) for source in node.inputs}
        return tuple(tuple(i for i, reader in last.items() if reader == index) for index in range(len(self.nodes)))

    @cached_property
    def activation_bytes(self) -> int:
        """Peak of the feature maps that one image's forward pass holds at once, in float32, each layer writing a new one.

        A map, the image among them, is held until its last reader has run. 0 for an architecture that cannot be built.
        """
        held, peak = prod(self.input_shape), 0
        for index, shape in enumerate(self.shapes):
            held += prod(shape)
            peak = max(peak, held)
            held -= sum(prod(self.input_shape if i == IMAGE else self.shapes[i]) for i in self.last_uses[index])
        return FLOAT_BYTES * peak

    def verdict(self, teacher: Architecture | None = None) -> Verdict:
        """Whether this student is feasible, and if not, why: the only judge of feasibility (appendix 11.2).

        Args:
            teacher: If given, a student without fewer parameters than this is degenerate too.
        """
        if isinstance(self._shapes, Verdict):
            return self._shapes
        if self.parameters == 0:
            return Verdict.EMPTY
        if teacher is not None and self.parameters >= teacher.parameters:
            return Verdict.NOT_SMALLER
        return Verdict.FEASIBLE

    @cached_property
    def main_path(self) -> tuple[int, ...]:
        """Indices of the layers from image to output along each node's first input."""
        path = []
        index = len(self.nodes) - 1
        while index != IMAGE:
            path.append(index)
            index = self.nodes[index].inputs[0]
        return tuple(reversed(path))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Every block that a sum or a concatenation closes."""
        upstream: list[frozenset[int]] = []  # each node with everything it depends on
        for index, node in enumerate(self.nodes):
            upstream.append(frozenset({index}).union(*(upstream[i] for i in node.inputs if i != IMAGE)))
        on_main_path = frozenset(self.main_path)
        blocks = []
        for index, node in enumerate(self.nodes):
            if node.layer.kind not in JOINS:
                continue
            branches = [upstream[i] if i != IMAGE else frozenset() for i in node.inputs]
            members = frozenset().union(*branches) - frozenset.intersection(*branches)
            path = tuple(sorted(members & branches[0] & on_main_path))
            blocks.append(Block(index, members, path))
        return tuple(blocks)

    def is_block_activation(self, index: int) -> bool:
        """Whether the layer is the rectifier directly behind a sum: part of the block's frame, not of a branch."""
        source = self.nodes[index].inputs[0]
        return (
            self.nodes[index].layer.kind is LayerKind.RELU
            and source != IMAGE
            and self.nodes[source].layer.kind is LayerKind.ADD
        )

    def __str__(self) -> str:
        return f"{len(self.nodes)} layers, {self.parameters:,} parameters, {self.macs:,} MACs"
