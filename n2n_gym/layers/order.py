"""Layers that only move channels: parts of them, and shuffles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, ClassVar, Self

from n2n_gym.layers.base import Channels, Layer, Shape, register
from n2n_gym.layers.margin import Crop
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import nn


@register
@dataclass(frozen=True, slots=True)
class Part(Layer):
    """Some of the channels that it reads, one after the other.

    Attributes:
        parts: Into how many equal parts they are divided.
        first: The first part that it puts out, from 0.
        count: How many it puts out.
    """

    kind: ClassVar[str] = "part"
    code: ClassVar[int] = 26
    colour: ClassVar[str] = "#bbbbbb"
    channels: ClassVar[Channels] = Channels.PART
    torch_names: ClassVar[tuple[str, ...]] = (
        "aten.chunk.default",
        "aten.split.Tensor",
        "aten.split.sizes",
        "aten.split_with_sizes.default",
        "aten.narrow.default",
        "aten.slice.Tensor",
    )

    parts: int
    first: int
    count: int = 1

    def __post_init__(self) -> None:
        self._check_whole(parts=2, first=0, count=1)
        if self.first + self.count > self.parts:
            raise ValueError(f"part layer: {self.count} from {self.first} on are not among {self.parts} parts")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        channels, height, width = inputs[0]
        return Verdict.SHAPES_DO_NOT_FIT if channels % self.parts else (self.output_channels([channels]), height, width)

    def output_channels(self, inputs: Sequence[int]) -> int:
        return inputs[0] // self.parts * self.count

    @property
    def input_parts(self) -> int:
        return self.parts

    def arrangement(self, inputs: Sequence[int]) -> Sequence[int]:
        size = inputs[0] // self.parts
        return range(self.first * size, (self.first + self.count) * size)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import ChannelRange

        size = inputs[0][0] // self.parts
        return ChannelRange(self.first * size, self.count * size)

    @classmethod
    def read(cls, call: Call) -> Reading:
        source = call.value("self")
        axis = call.arguments["dim"] % len(source.shape)
        if axis == 0:
            return _read_batch(call, source)
        start, stop, step = _read_range(call, source.shape[axis])
        if axis != source.axis:
            side = "height" if axis == source.pixels[0] else "width"
            layer = Crop(side, start, stop - source.shape[axis] or None, step)
            return Reading(None if layer == Crop(side) else layer)
        if step != 1:
            raise Unreadable(f"every {step}th channel")
        return Reading(cls.of(source.shape[axis], start, stop))

    @classmethod
    def of(cls, channels: int, start: int, stop: int) -> Part | None:
        """The channels from one up to another, of so many; None if these are all.

        Raises:
            Unreadable: If none are left.
        """
        if not 0 <= start < stop <= channels:
            raise Unreadable("no channel is left")
        size = gcd(channels, start, stop)
        return None if size == channels else cls(channels // size, start // size, (stop - start) // size)


def _read_batch(call: Call, source: Operand) -> Reading:
    if call.name == "aten.slice.Tensor" and not call.arguments["start"] and call.arguments["step"] == 1:
        end = call.arguments["end"]
        if end is None or end >= source.shape[0]:
            return Reading(None)
    raise Unreadable("a part of the batch")


def _read_range(call: Call, size: int) -> tuple[int, int, int]:
    """Start, stop and step of what is taken along an axis of so many places."""
    arguments = call.arguments
    match call.name:
        case "aten.slice.Tensor":
            start, stop, _ = slice(arguments["start"], arguments["end"]).indices(size)
            return start, max(stop, start), arguments["step"]
        case "aten.narrow.default":
            start = arguments["start"] % size
            return start, start + arguments["length"], 1
        case "aten.split_with_sizes.default" | "aten.split.sizes":
            sizes = arguments["split_sizes"] if "split_sizes" in arguments else arguments["split_size"]
            start = sum(sizes[: call.part])
            return start, start + sizes[call.part], 1
        case "aten.chunk.default":
            length = -(-size // arguments["chunks"])
        case _:
            length = arguments["split_size"]
    return call.part * length, min((call.part + 1) * length, size), 1


@register
@dataclass(frozen=True, slots=True)
class Shuffle(Layer):
    """Channels dealt out anew: of each of so many groups the first, then of each the second, and so on.

    Attributes:
        groups: How many.
    """

    kind: ClassVar[str] = "shuffle"
    code: ClassVar[int] = 27
    colour: ClassVar[str] = "#bbbbbb"
    channels: ClassVar[Channels] = Channels.SHUFFLED
    torch_names: ClassVar[tuple[str, ...]] = ("aten.channel_shuffle.default", "aten.native_channel_shuffle.default")

    groups: int

    def __post_init__(self) -> None:
        self._check_whole(groups=1)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return Verdict.SHAPES_DO_NOT_FIT if inputs[0][0] % self.groups else inputs[0]

    @property
    def input_parts(self) -> int:
        return self.groups

    def arrangement(self, inputs: Sequence[int]) -> Sequence[int]:
        size = inputs[0] // self.groups
        return [group * size + place for place in range(size) for group in range(self.groups)]

    def reading(self, channels: int) -> Self:
        return replace(self, groups=gcd(self.groups, channels))

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import ChannelShuffle

        return ChannelShuffle(self.groups)

    @classmethod
    def read(cls, call: Call) -> Reading:
        if call.value("self").channels_last:
            raise Unreadable("a channel shuffle of what has its channels last")
        groups = call.arguments["groups"]
        return Reading(cls(groups) if groups > 1 else None)
