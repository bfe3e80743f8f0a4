"""Where branches meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Channels, Layer, Shape, register
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
    torch_names: ClassVar[tuple[str, ...]] = ("aten.add.Tensor", "aten.add_.Tensor")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0] if len(set(inputs)) == 1 else Verdict.SHAPES_DO_NOT_FIT

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import Sum

        return Sum()


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


def add() -> Add:
    """The sum that ends a residual block."""
    return Add()


def concat() -> Concat:
    """Concatenation of branches along the channels."""
    return Concat()
