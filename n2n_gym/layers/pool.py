"""Pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Layer, Shape, register
from n2n_gym.layers.verdict import Verdict
from n2n_gym.layers.window import window_output

if TYPE_CHECKING:
    from torch import nn


@register
@dataclass(frozen=True, slots=True)
class MaxPool(Layer):
    """The largest value in each window.

    Attributes:
        kernel: Side of the square window, in pixels.
        stride: Step of the window, in pixels.
        padding: Border of pixels that never are the largest, at most half the kernel.
    """

    kind: ClassVar[str] = "max_pool"
    code: ClassVar[int] = 4
    colour: ClassVar[str] = "#ee6677"
    pools: ClassVar[bool] = True
    torch_names: ClassVar[tuple[str, ...]] = ("aten.max_pool2d.default",)

    kernel: int
    stride: int
    padding: int = 0

    def __post_init__(self) -> None:
        self._check_whole(kernel=1, stride=1, padding=0)
        if self.padding > self.kernel // 2:
            raise ValueError(f"max_pool layer: padding must be at most half the kernel, not {self.padding}")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return window_output(inputs[0], inputs[0][0], kernel=self.kernel, stride=self.stride, padding=self.padding)

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (self.kernel, self.stride, self.padding, 0)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.MaxPool2d(self.kernel, self.stride, self.padding)


@register
@dataclass(frozen=True, slots=True)
class AvgPool(Layer):
    """The mean over the whole feature map."""

    kind: ClassVar[str] = "avg_pool"
    code: ClassVar[int] = 5
    colour: ClassVar[str] = "#994455"
    pools: ClassVar[bool] = True
    torch_names: ClassVar[tuple[str, ...]] = ("aten.adaptive_avg_pool2d.default", "aten.mean.dim")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return (inputs[0][0], 1, 1)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.AdaptiveAvgPool2d(1)


def max_pool(kernel: int = 2, stride: int = 2, padding: int = 0) -> MaxPool:
    """The largest value in each window."""
    return MaxPool(kernel, stride, padding)


def avg_pool() -> AvgPool:
    """The mean over the whole feature map."""
    return AvgPool()
