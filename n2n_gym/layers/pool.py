"""Pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Layer, Shape, register
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict
from n2n_gym.layers.window import Pair, sides, window_output

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class WindowPool(Layer):
    """One number for each place of a window, channel by channel.

    Attributes:
        kernel: Side of the window, in pixels; two numbers are height and width, here and below.
        stride: Its step, in pixels.
        padding: Border of pixels around the feature map, at most half the kernel.
        ceil_mode: Whether a last window may stick out of the map.
    """

    pools: ClassVar[bool] = True

    kernel: Pair
    stride: Pair
    padding: Pair = 0
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        self._check_pair(kernel=1, stride=1, padding=0)
        self._check_flag("ceil_mode")
        if any(padding > kernel // 2 for padding, kernel in zip(sides(self.padding), sides(self.kernel), strict=True)):
            raise ValueError(f"{self.kind} layer: padding must be at most half the kernel, not {self.padding}")

    def _output(self, source: Shape, dilation: Pair = 1) -> Shape | Verdict:
        pixels = window_output(
            source[1:],
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=dilation,
            ceil_mode=self.ceil_mode,
        )
        return Verdict.SPATIAL_COLLAPSE if pixels is None else (source[0], *pixels)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return self._output(inputs[0])

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (max(sides(self.kernel)), max(sides(self.stride)), max(sides(self.padding)), 0)


@register
@dataclass(frozen=True, slots=True)
class MaxPool(WindowPool):
    """The largest value in each window; what lies around the feature map never is.

    Attributes:
        dilation: Distance between the pixels that the window reads.
    """

    kind: ClassVar[str] = "max_pool"
    code: ClassVar[int] = 4
    colour: ClassVar[str] = "#ee6677"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.max_pool2d.default", "aten.max_pool2d_with_indices.default")

    dilation: Pair = 1

    def __post_init__(self) -> None:
        WindowPool.__post_init__(self)
        self._check_pair(dilation=1)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return self._output(inputs[0], self.dilation)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.MaxPool2d(self.kernel, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode)

    @classmethod
    def read(cls, call: Call) -> Reading:
        _check_map(call)
        kernel = call.pair("kernel_size")
        stride, padding = call.pair("stride", kernel), call.pair("padding")
        return Reading(cls(kernel, stride, padding, call.arguments["ceil_mode"], call.pair("dilation")))


@register
@dataclass(frozen=True, slots=True)
class WindowMean(WindowPool):
    """The mean of each window.

    Attributes:
        count_padding: Whether the padding's zeros count where it is divided.
    """

    kind: ClassVar[str] = "window_mean"
    code: ClassVar[int] = 22
    colour: ClassVar[str] = "#994455"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.avg_pool2d.default",)

    count_padding: bool = True

    def __post_init__(self) -> None:
        WindowPool.__post_init__(self)
        self._check_flag("count_padding")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.AvgPool2d(self.kernel, self.stride, self.padding, self.ceil_mode, self.count_padding)

    @classmethod
    def read(cls, call: Call) -> Reading:
        _check_map(call)
        call.require(divisor_override=None)
        kernel = call.pair("kernel_size")
        stride, padding = call.pair("stride", kernel), call.pair("padding")
        return Reading(cls(kernel, stride, padding, call.arguments["ceil_mode"], call.arguments["count_include_pad"]))


@dataclass(frozen=True, slots=True)
class AdaptivePool(Layer):
    """As many windows as it takes, whatever the feature map's size.

    Attributes:
        size: Height and width of what it puts out; 1 is the whole map at once.
    """

    pools: ClassVar[bool] = True

    size: Pair = 1

    def __post_init__(self) -> None:
        self._check_pair(size=1)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return (inputs[0][0], *sides(self.size))

    def least_output(self, inputs: Sequence[Shape], channels: int) -> Shape:
        return (channels, *sides(self.size))

    @classmethod
    def read(cls, call: Call) -> Reading:
        if "output_size" in call.arguments:
            source = _check_map(call)
            height, width = (
                source.shape[axis] if size is None else size
                for axis, size in zip(source.pixels, call.arguments["output_size"], strict=True)
            )
            return Reading(cls((height, width)))
        source = call.value("self")
        axes = sorted(axis % len(source.shape) for axis in call.arguments["dim"] or range(len(source.shape)))
        if not source.pixels or axes != list(source.pixels):
            raise Unreadable("it is over other axes than height and width together")
        call.require(dtype=None)
        return Reading(cls())


@register
@dataclass(frozen=True, slots=True)
class AvgPool(AdaptivePool):
    """The mean over the whole feature map, or over so many parts of it."""

    kind: ClassVar[str] = "avg_pool"
    code: ClassVar[int] = 5
    colour: ClassVar[str] = "#994455"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.adaptive_avg_pool2d.default", "aten.mean.dim")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.AdaptiveAvgPool2d(self.size)


@register
@dataclass(frozen=True, slots=True)
class AdaptiveMaxPool(AdaptivePool):
    """The largest value of the whole feature map, or of so many parts of it."""

    kind: ClassVar[str] = "adaptive_max_pool"
    code: ClassVar[int] = 23
    colour: ClassVar[str] = "#ee6677"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.adaptive_max_pool2d.default", "aten.amax.default")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.AdaptiveMaxPool2d(self.size)


def _check_map(call: Call) -> Operand:
    """The feature map that a pool reads.

    Raises:
        Unreadable: If it is none, or what is asked for is not what the pool finds but where.
    """
    source = call.value("self")
    if len(source.shape) != 4 or source.channels_last:
        raise Unreadable("a pool of something else than feature maps with their channels first")
    if call.part:
        raise Unreadable("the places of the largest values")
    return source


def max_pool(kernel: Pair = 2, stride: Pair = 2, padding: Pair = 0) -> MaxPool:
    """The largest value in each window."""
    return MaxPool(kernel, stride, padding)


def avg_pool(size: Pair = 1) -> AvgPool:
    """The mean over the whole feature map, or over so many parts of it."""
    return AvgPool(size)
