"""An architecture: an immutable graph of layers, its shapes and its totals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from n2n_gym.architecture.blocks import IMAGE, Block, Node, blocks_of, longest_path
from n2n_gym.layers import FLOAT_BYTES, Layer, Shape, Verdict, layer_from_json

FORMAT = 1

MOST_LAYERS = 2_000
"""Four times as many as ResNet-152 has; what is known of a student takes longer with the square of their number."""

MOST_NUMBERS = 1 << 26
"""In an image: a batch of larger ones fits no memory."""

SIZES = ("parameters", "macs", "model_bytes", "activation_bytes")
"""What a network costs whatever its weights are; `Architecture` has an attribute for each."""

FC_INPUTS, FC_GROWTH = 50_000, 4
"""What a neuron may read: so many numbers (the authors' code's limit), or so many times what any of the teacher's reads."""


@dataclass(frozen=True)
class Architecture:
    """What a network is: plain data, hashable, the state of the compression MDP (section 3.1).

    Attributes:
        nodes: The layers in topological order; the last one's output is the network's.
        input_shape: Channels, height and width of the images.
        classes: How many numbers the network puts out for one image.

    Raises:
        ValueError: If a node reads from itself, from a later node or from a missing one, or nothing reads it; if there are
            more than `MOST_LAYERS` layers, or more than `MOST_NUMBERS` numbers in an image.
    """

    nodes: tuple[Node, ...]
    input_shape: Shape
    classes: int

    def __post_init__(self) -> None:
        if len(self.input_shape) != 3 or any(type(n) is not int or n < 1 for n in self.input_shape):
            raise ValueError(f"input shape must be three whole numbers (channels, height, width), not {self.input_shape}")
        if type(self.classes) is not int or self.classes < 1:
            raise ValueError(f"classes must be a whole number of at least 1, not {self.classes!r}")
        if prod(self.input_shape) > MOST_NUMBERS:
            raise ValueError(f"images of shape {self.input_shape} hold more than {MOST_NUMBERS:,} numbers; make them smaller")
        if len(self.nodes) > MOST_LAYERS:
            raise ValueError(f"there are {len(self.nodes):,} layers; an architecture has at most {MOST_LAYERS:,}")
        unread = set(range(len(self.nodes) - 1))
        for index, node in enumerate(self.nodes):
            if not all(type(i) is int and IMAGE <= i < index for i in node.inputs):
                raise ValueError(
                    f"layer {index} reads from {node.inputs}; only {IMAGE} (the image) to {index - 1} come before it"
                )
            if (len(node.inputs) < 2) if node.layer.joins else (len(node.inputs) != 1):
                raise ValueError(f"layer {index}, {node.layer.kind}, cannot have {len(node.inputs)} input(s)")
            unread.difference_update(node.inputs)
        if unread:
            raise ValueError(f"nothing reads layer {min(unread)}, {self.nodes[min(unread)].layer.kind}; leave it out")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # of the same architecture, again and again
        return hash((self.nodes, self.input_shape, self.classes))

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
            nodes = tuple(_node_from_json(index, fields) for index, fields in enumerate(data["layers"]))
            return cls(nodes, tuple(data["input_shape"]), data["classes"])
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
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

    # Shapes and totals

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
        return tuple(shapes) if prod(shapes[-1]) == self.classes else Verdict.CLASSES_DO_NOT_FIT

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
        done: list[list[int]] = [[] for _ in self.nodes]
        for source, reader in last.items():
            done[reader].append(source)
        return tuple(map(tuple, done))

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

    @cached_property
    def fc_inputs(self) -> int:
        """Numbers that a neuron of the largest linear layer reads; 0 without one, or where nothing can be built."""
        sizes = (prod(self.input_shapes(i)[0]) for i in range(len(self.shapes)) if self.nodes[i].layer.flattens)
        return max(sizes, default=0)

    def verdict(self, teacher: Architecture | None = None) -> Verdict:
        """Whether this student is feasible, and if not, why: the only judge of feasibility (appendix 11.2).

        Args:
            teacher: If given, two more students are degenerate: one without fewer parameters than this, and one with a
                linear layer that reads more than `FC_INPUTS` numbers and more than `FC_GROWTH` times as many as any of the
                teacher's: a pool of the teacher's may be missing before it, not several. The teacher is the measure because a
                limit for all would refuse most students of a network for large images, whose own flattened feature maps come
                near it.
        """
        if isinstance(self._shapes, Verdict):
            return self._shapes
        if self.parameters == 0:
            return Verdict.EMPTY
        if teacher is not None:
            if self.fc_inputs > max(FC_INPUTS, FC_GROWTH * teacher.fc_inputs):
                return Verdict.FC_TOO_LARGE
            if self.parameters >= teacher.parameters:
                return Verdict.NOT_SMALLER
        return Verdict.FEASIBLE

    # Structure

    @cached_property
    def main_path(self) -> tuple[int, ...]:
        """Indices of the layers on the longest way from image to output; it does not depend on the order of operands."""
        return longest_path(self.nodes)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Every block that a sum or a concatenation closes, in order."""
        return blocks_of(self.nodes, self.main_path)

    def is_block_activation(self, index: int) -> bool:
        """Whether the layer is the activation directly behind a sum: part of the block's frame, not of a branch."""
        node = self.nodes[index]
        source = node.inputs[0]
        return node.layer.frames and source != IMAGE and self.nodes[source].layer.sums

    @cached_property
    def readers(self) -> tuple[frozenset[int], ...]:
        """For each layer, which layers read its output."""
        found: list[set[int]] = [set() for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for i in node.inputs:
                if i != IMAGE:
                    found[i].add(index)
        return tuple(map(frozenset, found))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels of each layer's output, also of an architecture that cannot be built."""
        widths: list[int] = []
        for node in self.nodes:
            inputs = [self.input_shape[0] if i == IMAGE else widths[i] for i in node.inputs]
            widths.append(node.layer.output_channels(inputs))
        return tuple(widths)

    def __str__(self) -> str:
        return f"{len(self.nodes)} layers, {self.parameters:,} parameters, {self.macs:,} MACs"


def _node_from_json(index: int, fields: dict[str, Any]) -> Node:
    try:
        return Node(layer_from_json({k: v for k, v in fields.items() if k != "inputs"}), tuple(fields["inputs"]))
    except ValueError as error:
        raise ValueError(f"layer {index}: {error}") from None
