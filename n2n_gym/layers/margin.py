"""What is cut off from a feature map, and what is put around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from n2n_gym.layers.base import Channels, Layer, Shape, Variable, fewer, register
from n2n_gym.layers.reading import Call, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import nn


@register
@dataclass(frozen=True, slots=True)
class Crop(Layer):
    """Some rows or columns of a feature map.

    Attributes:
        side: `height` picks rows, `width` columns.
        start: The first one, from 0.
        stop: Where it ends, counted from the map's end and so negative; None is the end.
        step: From one to the next.
    """

    kind: ClassVar[str] = "crop"
    code: ClassVar[int] = 28
    colour: ClassVar[str] = "#bbbbbb"

    side: str
    start: int = 0
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.side not in ("height", "width"):
            raise ValueError(f"crop layer: side must be height or width, not {self.side!r}")
        self._check_whole(start=0, step=1)
        if self.stop is not None and (type(self.stop) is not int or self.stop >= 0):
            raise ValueError(f"crop layer: stop must be a negative whole number or null, not {self.stop!r}")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        channels, height, width = inputs[0]
        picked = len(range(*slice(self.start, self.stop, self.step).indices(height if self.side == "height" else width)))
        if not picked:
            return Verdict.SPATIAL_COLLAPSE
        return (channels, picked, width) if self.side == "height" else (channels, height, picked)

    @property
    def strided(self) -> bool:
        return self.step > 1

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (1, self.step, 0, 0)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import PixelRange

        return PixelRange(self.side == "height", self.start, self.stop, self.step)


@register
@dataclass(frozen=True, slots=True)
class Pad(Layer):
    """Zeros around a feature map, or less of it where a number is negative.

    Attributes:
        top: Rows above it.
        bottom: Rows below it.
        left: Columns before it.
        right: Columns behind it.
    """

    kind: ClassVar[str] = "pad"
    code: ClassVar[int] = 29
    colour: ClassVar[str] = "#bbbbbb"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.pad.default", "aten.constant_pad_nd.default")

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        for name in ("top", "bottom", "left", "right"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"pad layer: {name} must be a whole number, not {getattr(self, name)!r}")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        channels, height, width = inputs[0]
        height, width = height + self.top + self.bottom, width + self.left + self.right
        return (channels, height, width) if min(height, width) > 0 else Verdict.SPATIAL_COLLAPSE

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (0, 0, max(self.top, self.bottom, self.left, self.right, 0), 0)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.ZeroPad2d((self.left, self.right, self.top, self.bottom))

    @classmethod
    def read(cls, call: Call) -> Reading:
        source = call.value("self")
        call.require(mode="constant")
        if call.arguments["value"] not in (None, 0):
            raise Unreadable(f"padding with {call.arguments['value']}, not with zeros")
        sizes = list(call.arguments["pad"])  # the last axis first, before and behind it
        around = {len(source.shape) - 1 - i // 2: (sizes[i], sizes[i + 1]) for i in range(0, len(sizes), 2)}
        padded = {axis: ends for axis, ends in around.items() if ends != (0, 0)}
        if not padded:
            return Reading(None)
        if padded.keys() == {source.axis}:
            front, back = padded[source.axis]
            return Reading(Widen.around(source.shape[source.axis], front, back))
        if not padded.keys() <= set(source.pixels):
            raise Unreadable("padding of channels and pixels in one, or of the batch")
        rows, columns = (padded.get(axis, (0, 0)) for axis in source.pixels)
        return Reading(cls(*rows, *columns))


@register
@dataclass(frozen=True, slots=True)
class Widen(Layer):
    """The channels that it reads, between channels of zeros; of more channels than it puts out, the first ones.

    Attributes:
        outputs: How many it puts out.
        front: How many zeros stand before what it reads; fewer if there is no room for them.
    """

    kind: ClassVar[str] = "widen"
    code: ClassVar[int] = 30
    colour: ClassVar[str] = "#bbbbbb"
    channels: ClassVar[Channels] = Channels.FREE

    outputs: int
    front: int = 0

    def __post_init__(self) -> None:
        self._check_whole(outputs=1, front=0)

    @classmethod
    def around(cls, channels: int, front: int, back: int) -> Widen:
        """So many zeros before and behind so many channels.

        Raises:
            Unreadable: If they are less than none.
        """
        if min(front, back) < 0:
            raise Unreadable("padding of the channels by less than nothing")
        return cls(front + channels + back, front)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return (self.outputs, *inputs[0][1:])

    def output_channels(self, inputs: Sequence[int]) -> int:
        return self.outputs

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (Variable.OUTPUTS,)

    def value(self, variable: Variable) -> int | None:
        return self.outputs if variable is Variable.OUTPUTS else None

    def shrunk(self, variable: Variable, tenths: int, *, keeps_size: bool = False, multiple: int = 1) -> Self:
        return self.giving(fewer(self.outputs, tenths, multiple))

    def giving(self, channels: int) -> Self:
        return replace(self, outputs=channels, front=self.front * channels // self.outputs)

    def carried(self, read: int) -> range:
        front = min(self.front, max(self.outputs - read, 0))
        return range(front, min(front + read, self.outputs))

    @property
    def observed(self) -> tuple[int, int, int, int]:
        return (0, 0, 0, self.outputs)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import ChannelPad

        places = self.carried(inputs[0][0])
        return ChannelPad(places.start, self.outputs - places.stop, self.outputs)
