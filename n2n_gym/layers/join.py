"""Where branches meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Channels, Layer, Shape, register
from n2n_gym.layers.constant import Affine
from n2n_gym.layers.norm import Scale
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import nn


@register
@dataclass(frozen=True, slots=True)
class Add(Layer):
    """The sum that ends a residual block."""

    kind: ClassVar[str] = "add"
    code: ClassVar[int] = 7
    colour: ClassVar[str] = "#aa3377"
    channels: ClassVar[Channels] = Channels.TIED
    joins: ClassVar[bool] = True
    sums: ClassVar[bool] = True
    torch_names: ClassVar[tuple[str, ...]] = ("aten.add.Tensor", "aten.add_.Tensor")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0] if len(set(inputs)) == 1 else Verdict.SHAPES_DO_NOT_FIT

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import Sum

        return Sum()

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.require(alpha=1)
        other = call.arguments["other"]
        if not isinstance(other, Operand):
            return Affine.reading_of("self", offset=other)
        if call.value("self").shape != call.value("other").shape:
            raise Unreadable(f"the sum of maps of different shapes, {call.value('self').shape} and {other.shape}")
        return Reading(cls(), ("self", "other"))


@register
@dataclass(frozen=True, slots=True)
class Multiply(Layer):
    """A feature map times a gate: one number for each channel, as in squeeze-and-excitation, or one for each number.

    Its first input is the map, its second the gate.
    """

    kind: ClassVar[str] = "multiply"
    code: ClassVar[int] = 24
    colour: ClassVar[str] = "#aa3377"
    channels: ClassVar[Channels] = Channels.TIED
    joins: ClassVar[bool] = True
    gates: ClassVar[bool] = True
    torch_names: ClassVar[tuple[str, ...]] = ("aten.mul.Tensor", "aten.mul_.Tensor")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        features, *gates = inputs
        fits = len(gates) == 1 and gates[0] in (features, (features[0], 1, 1))
        return features if fits else Verdict.SHAPES_DO_NOT_FIT

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import Product

        return Product()

    @classmethod
    def read(cls, call: Call) -> Reading:
        operands = {name: call.arguments[name] for name in ("self", "other")}
        for name, other in (("other", "self"), ("self", "other")):
            factor = operands[name]
            if not isinstance(factor, Operand):
                return Affine.reading_of(other, factor=factor)
            if factor.weights is not None:
                return Scale.read_product(call.value(other), factor, other)
        for name, other in (("other", "self"), ("self", "other")):
            features, gate = call.value(other), call.value(name)
            gates = tuple(1 if axis in features.pixels else size for axis, size in enumerate(features.shape))
            if gate.shape in (features.shape, gates):
                return Reading(cls(), (other, name))
        shapes = " and ".join(str(call.value(name).shape) for name in operands)
        raise Unreadable(f"the product of maps of shapes {shapes}; a gate has one number for each channel, or for each number")


@register
@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """Concatenation of branches along the channels."""

    kind: ClassVar[str] = "concat"
    code: ClassVar[int] = 8
    colour: ClassVar[str] = "#aa3377"
    channels: ClassVar[Channels] = Channels.STACKED
    joins: ClassVar[bool] = True
    torch_names: ClassVar[tuple[str, ...]] = ("aten.cat.default",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        if len({shape[1:] for shape in inputs}) > 1:
            return Verdict.SHAPES_DO_NOT_FIT
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import Concatenation

        return Concatenation()

    @classmethod
    def read(cls, call: Call) -> Reading:
        parts = call.arguments["tensors"]
        if any(part.weights is not None for part in parts):
            raise Unreadable("a concatenation with something that is not computed from the image")
        if call.arguments["dim"] % len(parts[0].shape) != parts[0].axis:
            raise Unreadable("a concatenation along another axis than the channels")
        if len({part.each for part in parts}) > 1:
            raise Unreadable("a concatenation of flattened maps of different sizes; pool them to one size before flatten")
        return Reading(cls() if len(parts) > 1 else None, ("tensors",))


def add() -> Add:
    """The sum that ends a residual block."""
    return Add()


def multiply() -> Multiply:
    """A feature map, its first input, times a gate."""
    return Multiply()


def concat() -> Concat:
    """Concatenation of branches along the channels."""
    return Concat()
