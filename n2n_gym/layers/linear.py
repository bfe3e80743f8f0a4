"""Linear layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, ClassVar, Self

from n2n_gym.layers.base import Channels, Layer, Shape, Variable, fewer, register
from n2n_gym.layers.conv import Conv
from n2n_gym.layers.reading import Call, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class Linear(Layer):
    """A linear layer over the flattened feature map.

    Attributes:
        outputs: Connections.
        bias: Whether it adds a bias.
    """

    kind: ClassVar[str] = "linear"
    code: ClassVar[int] = 6
    colour: ClassVar[str] = "#228833"
    channels: ClassVar[Channels] = Channels.FREE
    flattens: ClassVar[bool] = True
    torch_names: ClassVar[tuple[str, ...]] = ("aten.linear.default",)

    outputs: int
    bias: bool = False

    def __post_init__(self) -> None:
        self._check_whole(outputs=1)
        self._check_flag("bias")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return (self.outputs, 1, 1)

    def output_channels(self, inputs: Sequence[int]) -> int:
        return self.outputs

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return self.outputs * (prod(inputs[0]) + self.bias)

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return prod(output) * prod(inputs[0])

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (Variable.OUTPUTS,)

    def value(self, variable: Variable) -> int | None:
        return self.outputs if variable is Variable.OUTPUTS else None

    def shrunk(self, variable: Variable, tenths: int, *, keeps_size: bool = False, multiple: int = 1) -> Self:
        return replace(self, outputs=fewer(self.outputs, tenths, multiple))

    def giving(self, channels: int) -> Self:
        return replace(self, outputs=channels)

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (0, 0, 0, self.outputs)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        dense = nn.Linear(prod(inputs[0]), self.outputs, bias=self.bias)
        return nn.Sequential(nn.Flatten(), dense, nn.Unflatten(1, (self.outputs, 1, 1)))

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        taken = {"1.bias": weights["1.bias"][outputs]} if self.bias else {}
        if there[1:] == here[1:]:  # a pixel's weights are of use at its own place alone
            by_channel = weights["1.weight"][outputs].unflatten(1, (there[0], -1))
            taken["1.weight"] = by_channel[:, inputs].flatten(1)
        return taken

    @classmethod
    def read(cls, call: Call) -> Reading:
        """Over the last axis of what has its channels there, it is a 1 x 1 convolution."""
        source, bias = call.value("input"), call.arguments["bias"] is not None
        outputs = call.arguments["weight"].shape[0]
        if source.channels_last:
            weights = call.weights(weight="weight", bias="bias")
            return Reading(Conv(1, 1, bias=bias, outputs=outputs), ("input",), weights)
        if len(source.shape) != 2:
            raise Unreadable("a linear layer over the last axis of something that is no row of numbers")
        return Reading(cls(outputs, bias), ("input",), call.weights(weight="1.weight", bias="1.bias"))


def linear(outputs: int) -> Linear:
    """A linear layer with a bias, over the flattened input."""
    return Linear(outputs, bias=True)
