"""Normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import FLOAT_BYTES, Layer, Shape, register
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor, nn

COUNTER_BYTES = 8
"""Batch normalisation counts its batches in 64 bits."""


@register
@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """Batch normalisation over the channels, with its learned scale and shift."""

    kind: ClassVar[str] = "batch_norm"
    code: ClassVar[int] = 2
    colour: ClassVar[str] = "#66ccee"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.batch_norm.default",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return 2 * inputs[0][0]

    def buffer_bytes(self, inputs: Sequence[Shape]) -> int:
        return 2 * inputs[0][0] * FLOAT_BYTES + COUNTER_BYTES

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.BatchNorm2d(inputs[0][0])

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        return {name: value[outputs] if value.dim() else value for name, value in weights.items()}


def batch_norm() -> BatchNorm:
    """Batch normalisation over the channels, with its learned scale and shift."""
    return BatchNorm()
