"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, ClassVar, Self

from n2n_gym.layers.base import Channels, Layer, Shape, Variable, register, scaled
from n2n_gym.layers.verdict import Verdict
from n2n_gym.layers.window import window_output

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_FILTERS = 10
"""Shrinking leaves a layer at least this many filters, or as many as it had (the authors' code's limit)."""


@register
@dataclass(frozen=True, slots=True)
class Conv(Layer):
    """A convolution over a square window.

    Attributes:
        kernel: Side of the window, in pixels.
        stride: Step of the window, in pixels.
        outputs: Filters.
        padding: Zeros around the feature map, in pixels.
        bias: Whether it adds a bias.
    """

    kind: ClassVar[str] = "conv"
    code: ClassVar[int] = 1
    colour: ClassVar[str] = "#4477aa"
    channels: ClassVar[Channels] = Channels.FREE
    torch_names: ClassVar[tuple[str, ...]] = ("aten.conv2d.default", "aten.conv2d.padding")

    kernel: int
    stride: int
    outputs: int
    padding: int = 0
    bias: bool = False

    def __post_init__(self) -> None:
        self._check_whole(kernel=1, stride=1, padding=0, outputs=1)
        self._check_flag("bias")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return window_output(inputs[0], self.outputs, kernel=self.kernel, stride=self.stride, padding=self.padding)

    def output_channels(self, inputs: Sequence[int]) -> int:
        return self.outputs

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return self.outputs * (inputs[0][0] * self.kernel**2 + self.bias)

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return prod(output) * inputs[0][0] * self.kernel**2

    def least_output(self, inputs: Sequence[Shape], channels: int) -> Shape:
        height, width = (max((side - self.kernel) // self.stride + 1, 1) for side in inputs[0][1:])
        return (channels, height, width)

    @property
    def strided(self) -> bool:
        return self.stride > 1

    @property
    def variables(self) -> tuple[Variable, ...]:
        kernel = (Variable.KERNEL,) if self.kernel > 1 else ()
        return (*kernel, *((Variable.PADDING,) if self.padding else ()), Variable.OUTPUTS)

    def value(self, variable: Variable) -> int | None:
        return {Variable.KERNEL: self.kernel, Variable.PADDING: self.padding, Variable.OUTPUTS: self.outputs}.get(variable)

    def shrunk(self, variable: Variable, tenths: int, *, keeps_size: bool = False) -> Self:
        if variable is Variable.OUTPUTS:
            return replace(self, outputs=max(min(MIN_FILTERS, self.outputs), scaled(self.outputs, tenths)))
        if variable is Variable.PADDING:
            return replace(self, padding=scaled(self.padding, tenths))
        kernel = max(1, scaled(self.kernel, tenths))
        if not keeps_size:
            return replace(self, kernel=kernel)
        steps = min((self.kernel - kernel + 1) // 2, self.padding)  # the kernel stays odd, its padding follows
        return replace(self, kernel=self.kernel - 2 * steps, padding=self.padding - steps)

    def giving(self, channels: int) -> Self:
        return replace(self, outputs=channels)

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (self.kernel, self.stride, self.padding, self.outputs)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        from n2n_gym.layers.modules import PointwiseConv

        pointwise = self.kernel == 1 and self.stride > 1 and not self.padding
        made = PointwiseConv if pointwise else nn.Conv2d
        return made(inputs[0][0], self.outputs, self.kernel, self.stride, self.padding, bias=self.bias)

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        whole = weights["weight"]
        margin = (whole.shape[2] - self.kernel) // 2
        window = slice(margin, margin + self.kernel)  # of an even difference, the middle
        taken = {"weight": whole[outputs][:, inputs][:, :, window, window]}
        return taken | ({"bias": weights["bias"][outputs]} if self.bias else {})


def conv(outputs: int, kernel: int = 3, *, stride: int = 1, padding: int | None = None, bias: bool = False) -> Conv:
    """A convolution; without `padding`, one that keeps the feature map's size at stride 1."""
    return Conv(kernel, stride, outputs, kernel // 2 if padding is None else padding, bias)
