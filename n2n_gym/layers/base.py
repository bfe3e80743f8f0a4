"""What every kind of layer says of itself, and the registry of kinds.

A kind is one class, in the file of its family: everything that the rest of the package knows of it stands there. A feature
map's shape is `(channels, height, width)`; the output of a linear layer is `(outputs, 1, 1)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum, IntEnum
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from n2n_gym.errors import unknown
from n2n_gym.layers.reading import Call, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict
from n2n_gym.layers.window import as_pair

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, int, int]

FLOAT_BYTES = 4

MIN_FILTERS = 10
"""Shrinking leaves a layer at least this many filters, or as many as it had (the authors' code's limit)."""

MOST_CODES = 64
"""Type codes lie from 1 to this, whatever kinds there are: a new kind changes no observation space."""


class Variable(IntEnum):
    """A layer's configuration variable that stage 2 may shrink; `LAYER` stands for the layer itself (stage 1)."""

    LAYER = 0
    KERNEL = 1
    PADDING = 2
    OUTPUTS = 3


class Channels(Enum):
    """Where a layer's number of output channels comes from."""

    FREE = "its own number, whatever it reads"
    SAME = "as many as it reads"
    TIED = "as many as each of its inputs, which must agree"
    STACKED = "those of all its inputs together"
    SHUFFLED = "as many as it reads, in another order"
    PART = "a part of those that it reads"


@dataclass(frozen=True, slots=True)
class Layer(ABC):
    """One layer's configuration; a subclass is a kind of layer, its fields are the kind's numbers.

    Attributes:
        kind: The kind's name, in JSON and wherever layers are told apart.
        code: The kind's number in observations, 1 to `MOST_CODES`; never given to another kind.
        colour: Of its bars in pictures.
        channels: Where its output channels come from.
        joins: Whether it reads several branches, and so ends a block.
        sums: Whether it ends a residual block.
        pools: Whether it does nothing but make feature maps smaller.
        gates: Whether it scales its first input by its second: the main path leads through what is scaled.
        frames: Whether it belongs to a block's frame, and is not decided on, where it directly follows the block's sum.
        flattens: Whether its neurons read whole feature maps.
        torch_names: The operators of torch that it stands for; no two kinds may claim the same.
    """

    kind: ClassVar[str]
    code: ClassVar[int]
    colour: ClassVar[str]
    channels: ClassVar[Channels] = Channels.SAME
    joins: ClassVar[bool] = False
    sums: ClassVar[bool] = False
    pools: ClassVar[bool] = False
    gates: ClassVar[bool] = False
    frames: ClassVar[bool] = False
    flattens: ClassVar[bool] = False
    torch_names: ClassVar[tuple[str, ...]] = ()

    # Arithmetic

    @abstractmethod
    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        """The shape of this layer's output, or the reason why it has none.

        Args:
            inputs: One shape for most kinds; one per branch for a kind that joins.
        """

    def output_channels(self, inputs: Sequence[int]) -> int:
        """How many channels it puts out when it reads so many, also where the shapes do not fit."""
        return sum(inputs) if self.channels is Channels.STACKED else inputs[0]

    def parameters(self, inputs: Sequence[Shape]) -> int:
        """Trainable parameters, given the inputs' shapes."""
        return 0

    def buffer_bytes(self, inputs: Sequence[Shape]) -> int:
        """Bytes that the weights' file holds besides the parameters."""
        return 0

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Multiply-accumulates of one image's forward pass, as torch's flop counter counts them."""
        return 0

    def least_output(self, inputs: Sequence[Shape], channels: int) -> Shape:
        """The smallest shape that so many output channels can have, however it is padded."""
        return (channels, 1, 1)

    @property
    def input_parts(self) -> int:
        """Into how many equal parts the channels that it reads must divide."""
        return 1

    @property
    def output_parts(self) -> int:
        """Into how many equal parts the channels that it puts out must divide."""
        return 1

    @property
    def divided(self) -> bool:
        """Whether it is a convolution whose filters read some of the channels each, not all."""
        return False

    def arrangement(self, inputs: Sequence[int]) -> Sequence[int]:
        """For each channel that it puts out, which of those that it reads it is, for kinds that only move channels.

        Args:
            inputs: How many channels each input has; they are numbered one input after the other.
        """
        return range(sum(inputs))

    # What an episode may do to it

    @property
    def strided(self) -> bool:
        """Whether it steps over pixels with weights of its own, and so stays: it ties the student to its resolutions."""
        return False

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What of it may shrink, in the order of stage 2's decisions."""
        return ()

    def value(self, variable: Variable) -> int | None:
        """What a variable is; None if the kind has none such."""
        return None

    def shrunk(self, variable: Variable, tenths: int, *, keeps_size: bool = False, multiple: int = 1) -> Self:
        """The layer with a variable multiplied by so many tenths, rounded half up.

        Args:
            variable: One of `variables`.
            tenths: 1 to 10.
            keeps_size: Whether the feature map must keep its height and width.
            multiple: Of what the outputs must be a multiple.
        """
        raise ValueError(f"{self.kind} layer: it has no {variable.name.lower()}")

    def giving(self, channels: int) -> Self:
        """The layer with so many output channels; only for those whose channels are `FREE`."""
        raise ValueError(f"{self.kind} layer: its number of channels is not its own")

    def carried(self, read: int) -> range | None:
        """Where, among the channels that it puts out, those come to lie that it reads, the first one first.

        Args:
            read: How many it reads; those behind the last place are left out.

        Returns:
            None if what it puts out is computed: of all kinds but those that are `FREE` and have no weights.
        """
        return None

    def reading(self, channels: int) -> Self:
        """The layer as it reads so many channels once a layer before it is gone: groups that do not divide them change."""
        return self

    def absorbed_by(self, before: Layer) -> bool:
        """Whether it computes nothing when it directly follows that layer, and so goes with what stood between them."""
        return False

    # Observation, torch and JSON

    @property
    def observed(self) -> tuple[int, int, int, int]:
        """The paper's k, s, p and n: kernel, stride and padding in pixels, outputs; 0 where the kind has none."""
        return (0, 0, 0, 0)

    @abstractmethod
    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        """The layer as a torch module with weights of torch's default initialisation, given the inputs' shapes."""

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        """The weights that this layer takes over from the teacher's layer that it comes from.

        Args:
            weights: The state of the teacher's module, by the names in its `state_dict`.
            there: The shape that the teacher's layer reads.
            here: The shape that this one reads.
            inputs: Which of the channels that the teacher's layer reads this one reads, shape (channels,), int64.
            outputs: Which of its output channels this one has, shape (channels,), int64.

        Returns:
            By the same names; what cannot be taken over is left out.
        """
        return {}

    @classmethod
    def read(cls, call: Call) -> Reading:
        """The layer that stands for a call of one of `torch_names`.

        Raises:
            Unreadable: If the kind cannot express the call, in words.
        """
        raise Unreadable(f"{call.name} is not read as {cls.kind}")

    def to_json(self) -> dict[str, Any]:
        """The layer as JSON data: its kind, and each number that is not its field's default."""
        numbers = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {
            "kind": self.kind,
            **{name: value for name, value, default in numbers if default is MISSING or value != default},
        }

    # For the constructors of the kinds

    def _check_whole(self, **least: int) -> None:
        """Refuse numbers that are not whole or below their least value."""
        for name, bound in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < bound:
                raise ValueError(f"{self.kind} layer: {name} must be a whole number of at least {bound}, not {value!r}")

    def _check_pair(self, **least: int) -> None:
        """Refuse numbers for height and width that are not whole or below their least value; write them in one form."""
        for name, bound in least.items():
            value = as_pair(getattr(self, name))
            numbers = value if type(value) is tuple else (value,)
            if not all(type(number) is int and number >= bound for number in numbers):
                raise ValueError(
                    f"{self.kind} layer: {name} must be a whole number of at least {bound}, or two of them, not {value!r}"
                )
            object.__setattr__(self, name, value)

    def _check_real(self, name: str, *, least: float = -inf, most: float = inf) -> None:
        """Refuse what is no finite number between two bounds; write whole numbers as floats."""
        value = getattr(self, name)
        if type(value) not in (int, float) or not isfinite(value) or not least <= value <= most:
            bounds = "".join(f", {word} {bound:g}" for word, bound in (("least", least), ("most", most)) if isfinite(bound))
            raise ValueError(f"{self.kind} layer: {name} must be a finite number{bounds}, not {value!r}")
        object.__setattr__(self, name, float(value))

    def _check_flag(self, name: str) -> None:
        if type(getattr(self, name)) is not bool:
            raise ValueError(f"{self.kind} layer: {name} must be true or false, not {getattr(self, name)!r}")


KINDS: dict[str, type[Layer]] = {}
"""Every kind of layer by its name."""

_Kind = TypeVar("_Kind", bound=type[Layer])


def register(kind: _Kind) -> _Kind:
    """Class decorator: make a kind known; a class that is defined once more takes its own former place.

    Raises:
        ValueError: If it has no name, code or colour, or a wrong one; if its name, its code or a torch name is another kind's.
    """
    for needed, form in (("kind", str), ("code", int), ("colour", str)):
        if not isinstance(getattr(kind, needed, None), form):
            raise ValueError(f"{kind.__name__}: a kind of layer has a line like {needed}: ClassVar[{form.__name__}] = ...")
    if not 1 <= kind.code <= MOST_CODES:
        raise ValueError(f"{kind.kind}: a type code lies from 1 to {MOST_CODES}, not at {kind.code}")
    if isinstance(kind.torch_names, str) or not all(isinstance(name, str) for name in kind.torch_names):
        raise ValueError(
            f"{kind.kind}: torch_names must be a tuple of texts, ('aten.relu.default',), not {kind.torch_names!r}"
        )
    former = [name for name, other in KINDS.items() if _place(other) == _place(kind)]  # a notebook's cell that is run again
    for other in [other for name, other in KINDS.items() if name not in former]:
        taken = set(kind.torch_names) & set(other.torch_names)
        same = {
            "name": kind.kind == other.kind,
            "code": kind.code == other.code,
            f"torch name {min(taken, default='')}": taken,
        }
        for what, is_taken in same.items():
            if is_taken:
                raise ValueError(f"{kind.__name__} and {other.__name__} claim the same {what}")
    for name in former:
        del KINDS[name]
    KINDS[kind.kind] = kind
    return kind


def _place(kind: type[Layer]) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def layer_from_json(data: Mapping[str, Any]) -> Layer:
    """The layer that `Layer.to_json` wrote.

    Raises:
        ValueError: If the data does not describe a layer.
    """
    settings = dict(data)
    name = settings.pop("kind", None)
    if name not in KINDS:
        raise unknown("kind of layer", name, sorted(KINDS, key=lambda kind: KINDS[kind].code))
    known = {field.name: field.default for field in fields(KINDS[name])}
    if foreign := settings.keys() - known.keys():
        raise ValueError(f"{name} layer: it has no {min(map(str, foreign))}")
    if missing := [key for key, default in known.items() if default is MISSING and key not in settings]:
        raise ValueError(f"{name} layer: {missing[0]} is missing")
    return KINDS[name](**settings)


def scaled(value: int, tenths: int) -> int:
    """A number times so many tenths, rounded half up, in whole-number arithmetic: 3 x 5 tenths is 2 on every machine."""
    return (value * tenths + 5) // 10


def fewer(outputs: int, tenths: int, multiple: int = 1) -> int:
    """Outputs times so many tenths: to the nearest multiple, and at least `MIN_FILTERS`, or as many as there were.

    Args:
        outputs: How many there were, a multiple.
        tenths: 1 to 10.
        multiple: Of what the outputs must be a multiple.
    """
    least = min(MIN_FILTERS, outputs)
    groups = max((2 * scaled(outputs, tenths) + multiple) // (2 * multiple), -(-least // multiple))
    return min(groups * multiple, outputs)
