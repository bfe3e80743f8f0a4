"""Arithmetic with constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Layer, Shape, register
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import nn


@register
@dataclass(frozen=True, slots=True)
class Affine(Layer):
    """Each number times a constant, plus a constant.

    Attributes:
        factor: It is multiplied by this.
        offset: Then this is added.
    """

    kind: ClassVar[str] = "affine"
    code: ClassVar[int] = 25
    colour: ClassVar[str] = "#bbbbbb"
    torch_names: ClassVar[tuple[str, ...]] = (
        "aten.mul.Scalar",
        "aten.div.Tensor",
        "aten.div_.Tensor",
        "aten.div.Scalar",
        "aten.add.Scalar",
        "aten.sub.Tensor",
        "aten.sub_.Tensor",
        "aten.sub.Scalar",
    )

    factor: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        self._check_real("factor")
        self._check_real("offset")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import AffineMap

        return AffineMap(self.factor, self.offset)

    @classmethod
    def reading_of(cls, argument: str, *, factor: float = 1.0, offset: float = 0.0) -> Reading:
        """What is read where these constants are applied to an argument; no layer if they change nothing."""
        layer = cls(factor, offset)
        return Reading(None if layer == cls() else layer, (argument,))

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        call.require(alpha=1)
        other = call.arguments["other"]
        operator = call.name.split(".")[1].rstrip("_")
        if isinstance(other, Operand):
            raise Unreadable(f"{operator} of two tensors")
        match operator:
            case "mul":
                return cls.reading_of("self", factor=other)
            case "div":
                return cls.reading_of("self", factor=1 / other)
            case "add":
                return cls.reading_of("self", offset=other)
        return cls.reading_of("self", offset=-other)
