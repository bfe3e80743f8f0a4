"""What one layer is, and the arithmetic of its shape, parameters and multiply-accumulates.

A feature map's shape is `(channels, height, width)`; the output of a linear layer is `(outputs, 1, 1)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any

Shape = tuple[int, int, int]

MAX_FC_INPUTS = 50_000
"""A linear layer with more inputs than this is degenerate (appendix 11.2, case 2; the limit is the authors' code's)."""

FLOAT_BYTES = 4
COUNTER_BYTES = 8
"""Batch normalisation counts its batches in 64 bits."""


class LayerKind(StrEnum):
    """The kinds of layer an architecture is made of."""

    CONV = "conv"
    BATCH_NORM = "batch_norm"
    RELU = "relu"
    MAX_POOL = "max_pool"
    AVG_POOL = "avg_pool"
    """Global: the mean over the whole feature map."""
    LINEAR = "linear"
    """Flattens its input first."""
    ADD = "add"
    """The sum that ends a residual block."""
    CONCAT = "concat"
    """Concatenation along the channels."""


JOINS = frozenset({LayerKind.ADD, LayerKind.CONCAT})
POOLS = frozenset({LayerKind.MAX_POOL, LayerKind.AVG_POOL})


_USED = {
    LayerKind.CONV: ("kernel", "stride", "padding", "outputs", "bias"),
    LayerKind.MAX_POOL: ("kernel", "stride", "padding"),
    LayerKind.LINEAR: ("outputs", "bias"),
}


class Verdict(StrEnum):
    """Whether a student can be trained at all, and if not, why (appendix 11.2). The value is the reason in words."""

    FEASIBLE = "feasible"
    EMPTY = "empty: no trainable layer is left"
    SHAPES_DO_NOT_FIT = "shapes do not fit: the branches that meet in a block have different shapes"
    SPATIAL_COLLAPSE = "spatial collapse: a feature map is smaller than the kernel that reads it"
    FC_TOO_LARGE = f"FC too large: a linear layer has more than {MAX_FC_INPUTS:,} inputs"
    NOT_SMALLER = "not smaller than the teacher"

    @property
    def feasible(self) -> bool:
        """True for a student that can be built and is worth training."""
        return self is Verdict.FEASIBLE


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's configuration; numbers that its kind does not use are 0.

    Attributes:
        kind: What the layer computes.
        kernel: Side of the square window, in pixels (convolution, max pool).
        stride: Step of the window, in pixels (convolution, max pool).
        padding: Zeros around the feature map, in pixels (convolution, max pool).
        outputs: Filters of a convolution, connections of a linear layer.
        bias: Whether a convolution or linear layer adds a bias.
    """

    kind: LayerKind
    kernel: int = 0
    stride: int = 0
    padding: int = 0
    outputs: int = 0
    bias: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", LayerKind(self.kind))
        numbers = {"kernel": self.kernel, "stride": self.stride, "padding": self.padding, "outputs": self.outputs}
        for name, value in numbers.items():
            if type(value) is not int or value < 0:
                raise ValueError(f"{self.kind} layer: {name} must be a whole number of at least 0, not {value!r}")
        if type(self.bias) is not bool:
            raise ValueError(f"{self.kind} layer: bias must be true or false, not {self.bias!r}")
        for name in ("kernel", "stride", "padding", "outputs", "bias"):
            if getattr(self, name) and name not in _USED.get(self.kind, ()):
                raise ValueError(f"{self.kind} layer: it has no {name}")
        windowed = self.kind in (LayerKind.CONV, LayerKind.MAX_POOL)
        if windowed and (self.kernel < 1 or self.stride < 1):
            raise ValueError(f"{self.kind} layer: kernel and stride must be at least 1, not {self.kernel}, {self.stride}")
        if self.kind is LayerKind.MAX_POOL and self.padding > self.kernel // 2:
            raise ValueError(f"max_pool layer: padding must be at most half the kernel, not {self.padding}")
        if self.kind in (LayerKind.CONV, LayerKind.LINEAR) and self.outputs < 1:
            raise ValueError(f"{self.kind} layer: outputs must be at least 1, not {self.outputs}")

    def output_shape(self, inputs: list[Shape]) -> Shape | Verdict:
        """The shape of this layer's output, or the reason why it has none.

        Args:
            inputs: One shape for most kinds; one per branch for a sum or a concatenation.
        """
        channels, height, width = inputs[0]
        match self.kind:
            case LayerKind.CONV | LayerKind.MAX_POOL:
                padded = (height + 2 * self.padding, width + 2 * self.padding)
                if min(padded) < self.kernel:
                    return Verdict.SPATIAL_COLLAPSE
                rows, columns = ((side - self.kernel) // self.stride + 1 for side in padded)
                return (self.outputs or channels, rows, columns)
            case LayerKind.AVG_POOL:
                return (channels, 1, 1)
            case LayerKind.LINEAR:
                return Verdict.FC_TOO_LARGE if prod(inputs[0]) > MAX_FC_INPUTS else (self.outputs, 1, 1)
            case LayerKind.ADD:
                return inputs[0] if len(set(inputs)) == 1 else Verdict.SHAPES_DO_NOT_FIT
            case LayerKind.CONCAT:
                if len({shape[1:] for shape in inputs}) > 1:
                    return Verdict.SHAPES_DO_NOT_FIT
                return (sum(shape[0] for shape in inputs), height, width)
            case _:
                return inputs[0]

    def parameters(self, inputs: list[Shape]) -> int:
        """Trainable parameters, given the input's shape."""
        match self.kind:
            case LayerKind.CONV:
                return self.outputs * (inputs[0][0] * self.kernel**2 + self.bias)
            case LayerKind.LINEAR:
                return self.outputs * (prod(inputs[0]) + self.bias)
            case LayerKind.BATCH_NORM:
                return 2 * inputs[0][0]
            case _:
                return 0

    def buffer_bytes(self, inputs: list[Shape]) -> int:
        """Bytes that the weights' file holds besides the parameters: batch normalisation's running statistics."""
        return 2 * inputs[0][0] * FLOAT_BYTES + COUNTER_BYTES if self.kind is LayerKind.BATCH_NORM else 0

    def macs(self, inputs: list[Shape], output: Shape) -> int:
        """Multiply-accumulates of one image's forward pass: convolutions and linear layers, as torch's flop counter counts."""
        match self.kind:
            case LayerKind.CONV:
                return prod(output) * inputs[0][0] * self.kernel**2
            case LayerKind.LINEAR:
                return prod(output) * prod(inputs[0])
            case _:
                return 0

    def to_json(self) -> dict[str, Any]:
        """The layer as JSON data, without the numbers its kind does not use."""
        fields: dict[str, Any] = {"kind": str(self.kind)}
        for name in ("kernel", "stride", "padding", "outputs", "bias"):
            if value := getattr(self, name):
                fields[name] = value
        return fields


def conv(outputs: int, kernel: int = 3, *, stride: int = 1, padding: int | None = None, bias: bool = False) -> Layer:
    """A convolution; without `padding`, one that keeps the feature map's size at stride 1."""
    return Layer(LayerKind.CONV, kernel, stride, kernel // 2 if padding is None else padding, outputs, bias)


def batch_norm() -> Layer:
    """Batch normalisation over the channels, with its learned scale and shift."""
    return Layer(LayerKind.BATCH_NORM)


def relu() -> Layer:
    """The rectifier."""
    return Layer(LayerKind.RELU)


def max_pool(kernel: int = 2, stride: int = 2, padding: int = 0) -> Layer:
    """The largest value in each window."""
    return Layer(LayerKind.MAX_POOL, kernel, stride, padding)


def avg_pool() -> Layer:
    """The mean over the whole feature map."""
    return Layer(LayerKind.AVG_POOL)


def linear(outputs: int) -> Layer:
    """A linear layer with a bias, over the flattened input."""
    return Layer(LayerKind.LINEAR, outputs=outputs, bias=True)


def add() -> Layer:
    """The sum that ends a residual block."""
    return Layer(LayerKind.ADD)


def concat() -> Layer:
    """Concatenation of branches along the channels."""
    return Layer(LayerKind.CONCAT)
