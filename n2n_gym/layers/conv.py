"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd, prod
from typing import TYPE_CHECKING, ClassVar, Self

from n2n_gym.layers.base import Channels, Layer, Shape, Variable, fewer, register, scaled
from n2n_gym.layers.reading import Call, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict
from n2n_gym.layers.window import Pair, as_pair, sides, window_output

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Filters(Layer):
    """A window of weights that steps over a feature map.

    Attributes:
        kernel: Side of the window, in pixels; two numbers are height and width, here and below.
        stride: Its step, in pixels.
        padding: Zeros around the feature map, in pixels.
        bias: Whether it adds a bias.
        dilation: Distance between the pixels that the window reads.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = 0
    bias: bool = False
    dilation: Pair = 1

    def __post_init__(self) -> None:
        self._check_pair(kernel=1, stride=1, padding=0, dilation=1)
        self._check_flag("bias")

    def _pixels(self, source: Shape) -> tuple[int, int] | None:
        return window_output(source[1:], kernel=self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation)

    def least_output(self, inputs: Sequence[Shape], channels: int) -> Shape:
        pairs = zip(inputs[0][1:], sides(self.kernel), sides(self.stride), sides(self.dilation), strict=True)
        height, width = (max((side - d * (k - 1) - 1) // s + 1, 1) for side, k, s, d in pairs)
        return (channels, height, width)

    @property
    def strided(self) -> bool:
        return self.stride != 1

    @property
    def variables(self) -> tuple[Variable, ...]:
        kernel = (Variable.KERNEL,) if self.kernel != 1 else ()
        outputs = (Variable.OUTPUTS,) if self.channels is Channels.FREE else ()
        return (*kernel, *((Variable.PADDING,) if self.padding else ()), *outputs)

    def value(self, variable: Variable) -> int | None:
        number = {Variable.KERNEL: self.kernel, Variable.PADDING: self.padding}.get(variable)
        return None if number is None else max(sides(number))

    def shrunk(self, variable: Variable, tenths: int, *, keeps_size: bool = False, multiple: int = 1) -> Self:
        paddings = sides(self.padding)
        if variable is Variable.PADDING:
            return replace(self, padding=as_pair([scaled(pixels, tenths) for pixels in paddings]))
        kernels = [max(1, scaled(kernel, tenths)) for kernel in sides(self.kernel)]
        if not keeps_size:
            return replace(self, kernel=as_pair(kernels))
        # the kernel stays odd, its padding follows
        sizes = zip(sides(self.kernel), kernels, paddings, sides(self.dilation), strict=True)
        steps = [min((k - fewer + 1) // 2, (k - 1) // 2, p // dilation) for k, fewer, p, dilation in sizes]
        return replace(
            self,
            kernel=as_pair([kernel - 2 * step for kernel, step in zip(sides(self.kernel), steps, strict=True)]),
            padding=as_pair([p - d * n for p, d, n in zip(paddings, sides(self.dilation), steps, strict=True)]),
        )

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (max(sides(self.kernel)), max(sides(self.stride)), max(sides(self.padding)), self.value(Variable.OUTPUTS) or 0)

    def _cropped(self, weight: Tensor) -> Tensor:
        """The middle of a larger kernel."""
        down, across = ((there - here) // 2 for there, here in zip(weight.shape[2:], sides(self.kernel), strict=True))
        height, width = sides(self.kernel)
        return weight[:, :, down : down + height, across : across + width]


@register
@dataclass(frozen=True, slots=True)
class Conv(Filters):
    """A convolution over a window.

    Attributes:
        outputs: Filters.
        groups: Into how many parts the channels that it reads are divided, and its filters with them: each filter reads one.
    """

    kind: ClassVar[str] = "conv"
    code: ClassVar[int] = 1
    colour: ClassVar[str] = "#4477aa"
    channels: ClassVar[Channels] = Channels.FREE
    torch_names: ClassVar[tuple[str, ...]] = ("aten.conv2d.default", "aten.conv2d.padding")

    outputs: int = field(kw_only=True)
    groups: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        Filters.__post_init__(self)
        self._check_whole(outputs=1, groups=1)
        if self.outputs % self.groups:
            raise ValueError(f"conv layer: {self.outputs} outputs cannot be divided into {self.groups} groups")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        if inputs[0][0] % self.groups:
            return Verdict.SHAPES_DO_NOT_FIT
        pixels = self._pixels(inputs[0])
        return Verdict.SPATIAL_COLLAPSE if pixels is None else (self.outputs, *pixels)

    def output_channels(self, inputs: Sequence[int]) -> int:
        return self.outputs

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return self.outputs * (inputs[0][0] // self.groups * prod(sides(self.kernel)) + self.bias)

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return prod(output) * (inputs[0][0] // self.groups) * prod(sides(self.kernel))

    @property
    def input_parts(self) -> int:
        return self.groups

    @property
    def output_parts(self) -> int:
        return self.groups

    @property
    def divided(self) -> bool:
        return self.groups > 1

    def value(self, variable: Variable) -> int | None:
        return self.outputs if variable is Variable.OUTPUTS else Filters.value(self, variable)

    def shrunk(self, variable: Variable, tenths: int, *, keeps_size: bool = False, multiple: int = 1) -> Self:
        if variable is Variable.OUTPUTS:
            return replace(self, outputs=fewer(self.outputs, tenths, multiple))
        return Filters.shrunk(self, variable, tenths, keeps_size=keeps_size)

    def giving(self, channels: int) -> Self:
        return replace(self, outputs=channels, groups=gcd(self.groups, channels))

    def reading(self, channels: int) -> Self:
        return replace(self, groups=gcd(self.groups, channels)) if channels % self.groups else self

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        from n2n_gym.layers.modules import PointwiseConv

        pointwise = self.kernel == 1 and self.strided and not self.padding and self.groups == 1
        made = PointwiseConv if pointwise else nn.Conv2d
        return made(
            inputs[0][0],
            self.outputs,
            self.kernel,
            self.stride,
            self.padding,
            dilation=self.dilation,
            groups=self.groups,
            bias=self.bias,
        )

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        import torch

        whole = self._cropped(weights["weight"])
        filters, reads = whole.shape[:2]
        groups = there[0] // reads
        own = torch.arange(self.outputs) * self.groups // self.outputs  # each filter's group
        wanted = inputs.reshape(self.groups, -1)[own]  # (filters, channels): what each one reads, by the teacher's numbers
        places = wanted - (outputs * groups // filters * reads)[:, None]
        known = (places >= 0) & (places < reads)  # what the teacher's filter does not read has no weight in it
        taken = whole[outputs[:, None], places.clamp(0, reads - 1)]
        taken = taken.masked_fill(~known[:, :, None, None].to(taken.device), 0)
        return {"weight": taken} | ({"bias": weights["bias"][outputs]} if self.bias else {})

    @classmethod
    def read(cls, call: Call) -> Reading:
        images, weight = call.value("input"), call.arguments["weight"]
        if len(images.shape) != 4 or images.channels_last:
            raise Unreadable("a convolution of something else than feature maps with their channels first")
        weights = call.weights(weight="weight", bias="bias")
        outputs, reads, *kernel = weight.shape
        stride, dilation, groups = call.pair("stride"), call.pair("dilation"), call.arguments["groups"]
        size = (kernel[0], kernel[1])
        padding, bias = _padding(call, size, dilation), "bias" in weights
        if reads == 1 and groups == outputs > 1:
            return Reading(Depthwise(size, stride, padding, bias, dilation), ("input",), weights)
        return Reading(Conv(size, stride, padding, bias, dilation, outputs=outputs, groups=groups), ("input",), weights)


def _padding(call: Call, kernel: tuple[int, int], dilation: Pair) -> Pair:
    if not isinstance(call.arguments["padding"], str):
        return call.pair("padding")
    if call.arguments["padding"] == "valid":
        return 0
    margins = [d * (k - 1) for k, d in zip(kernel, sides(dilation), strict=True)]
    if any(margin % 2 for margin in margins):
        raise Unreadable("padding='same' around a window with an even side, which is wider at one end")
    return (margins[0] // 2, margins[1] // 2)


@register
@dataclass(frozen=True, slots=True)
class Depthwise(Filters):
    """A convolution with one filter for each channel, which reads that channel alone."""

    kind: ClassVar[str] = "depthwise"
    code: ClassVar[int] = 9
    colour: ClassVar[str] = "#77aadd"

    @property
    def divided(self) -> bool:
        return True

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        pixels = self._pixels(inputs[0])
        return Verdict.SPATIAL_COLLAPSE if pixels is None else (inputs[0][0], *pixels)

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return inputs[0][0] * (prod(sides(self.kernel)) + self.bias)

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return prod(output) * prod(sides(self.kernel))

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        channels = inputs[0][0]
        return nn.Conv2d(
            channels,
            channels,
            self.kernel,
            self.stride,
            self.padding,
            dilation=self.dilation,
            groups=channels,
            bias=self.bias,
        )

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        taken = {"weight": self._cropped(weights["weight"])[outputs]}
        return taken | ({"bias": weights["bias"][outputs]} if self.bias else {})


def conv(
    outputs: int,
    kernel: Pair = 3,
    *,
    stride: Pair = 1,
    padding: Pair | None = None,
    bias: bool = False,
    dilation: Pair = 1,
    groups: int = 1,
) -> Conv:
    """A convolution; without `padding`, one that keeps the feature map's size at stride 1."""
    around = _around(kernel, dilation) if padding is None else padding
    return Conv(kernel, stride, around, bias, dilation, outputs=outputs, groups=groups)


def depthwise(
    kernel: Pair = 3, *, stride: Pair = 1, padding: Pair | None = None, bias: bool = False, dilation: Pair = 1
) -> Depthwise:
    """A depthwise convolution; without `padding`, one that keeps the feature map's size at stride 1."""
    return Depthwise(kernel, stride, _around(kernel, dilation) if padding is None else padding, bias, dilation)


def _around(kernel: Pair, dilation: Pair) -> Pair:
    down, across = (d * (k // 2) for k, d in zip(sides(kernel), sides(dilation), strict=True))
    return (down, across)
