"""Activations: what is done to each number by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Layer, Shape, register
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Activation(Layer):
    """A function of each number by itself."""

    frames: ClassVar[bool] = True

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]


@register
@dataclass(frozen=True, slots=True)
class Relu(Activation):
    """The rectifier."""

    kind: ClassVar[str] = "relu"
    code: ClassVar[int] = 3
    colour: ClassVar[str] = "#ccbb44"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.relu.default", "aten.relu_.default")

    def absorbed_by(self, before: Layer) -> bool:
        return isinstance(before, Relu)  # a rectified number is rectified already

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.ReLU()


def relu() -> Relu:
    """The rectifier."""
    return Relu()
