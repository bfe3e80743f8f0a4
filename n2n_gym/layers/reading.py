"""How a kind of layer is read from a traced program: what the reader hands over, and what a kind answers.

A traced program (`torch.export`, in evaluation mode) is a row of operator calls. The reader walks along it; each call goes to
the kind that claims the operator in its `torch_names`, and `Layer.read` answers with a layer, with none where this call
computes nothing, or raises `Unreadable` with the reason in words. One operator may be answered with a layer of another kind: a
convolution whose every filter reads one channel of its own is a depthwise one.

What the reader does itself, before any kind is asked:

- what computes nothing whatever its numbers: identity, alias, detach, clone, contiguous, a copy to the same type and place;
- what only writes the same numbers in another order of axes: flatten, view, reshape, squeeze and unsqueeze between a feature
  map and the row of its numbers; permute and transpose between channels first and channels last (`Operand.channels_last`; a
  layer's output lies as its inputs do);
- a call with several outputs is handed over once for each output that is used, with `Call.part`;
- view, transpose of the two axes that the channels were viewed as, and view back are handed over as one
  `aten.channel_shuffle.default` with `self` and `groups`;
- every answer is checked against the program: the layer's output has as many numbers as the call's, its weights as many as
  their place in the layer.

What the kinds do: all the rest. Dropout is a kind (a student is trained with it). Stochastic depth leaves no trace in
evaluation mode: it is not read, and a kind only for whoever writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from n2n_gym.layers.window import Pair

if TYPE_CHECKING:
    from n2n_gym.layers.base import Layer


class Unreadable(Exception):  # noqa: N818 (a statement about a call, made to be caught)
    """A call that a kind claims but cannot express; the message says in words what is not supported."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor that a call reads: a value in the graph, or weights.

    Attributes:
        shape: Its shape in the program, the batch first: `(batch, channels, height, width)`, or as `channels_last` says, or
            `(batch, numbers)`. Of weights, their own shape.
        weights: The program's name of the parameter, buffer or constant; None for a value in the graph.
        trained: Whether these weights are a parameter.
        channels_last: Whether a value of four axes has its channels last: `(batch, height, width, channels)`.
        each: How many numbers of each channel a value of two axes has: more than one if it is a flattened map.
    """

    shape: tuple[int, ...]
    weights: str | None = None
    trained: bool = False
    channels_last: bool = False
    each: int = 1

    @property
    def axis(self) -> int:
        """Where a value's channels lie among its axes."""
        return len(self.shape) - 1 if self.channels_last else 1

    @property
    def pixels(self) -> tuple[int, ...]:
        """A value's axes that are neither its batch nor its channels: height and width, or none."""
        return tuple(axis for axis in range(1, len(self.shape)) if axis != self.axis)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operator in a traced program.

    Attributes:
        name: The operator's, such as `aten.conv2d.default`.
        arguments: By the names in the operator's schema, defaults filled in: numbers, flags, texts and lists of numbers as
            Python's, None, a tensor as `Operand`, a list of tensors as a tuple of `Operand`.
        part: Which output is meant, of a call that has several; 0 of any other.
    """

    name: str
    arguments: Mapping[str, Any]
    part: int = 0

    def value(self, name: str) -> Operand:
        """The argument that is a value in the graph.

        Raises:
            Unreadable: If it is weights or a number.
        """
        operand = self.arguments[name]
        if not isinstance(operand, Operand) or operand.weights is not None:
            raise Unreadable(f"{name} is not computed from the image")
        return operand

    def by_channel(self, name: str) -> Operand:
        """The argument that is a value in the graph, of which something is computed with weights for each channel.

        Raises:
            Unreadable: If it is none, or a flattened map, which would have weights for each pixel.
        """
        source = self.value(name)
        if source.each > 1:
            raise Unreadable(
                f"it reads a flattened map, {source.each} numbers of each channel, where layers have numbers for channels; "
                "put it before flatten, or behind a linear layer"
            )
        return source

    def weights(self, **places: str) -> dict[str, str]:
        """`Reading.weights`, of the arguments that there are.

        Args:
            **places: By the arguments' names, the layer's name of each.

        Raises:
            Unreadable: If one of them is computed from the image.
        """
        found = {}
        for name, place in places.items():
            if (operand := self.arguments[name]) is not None:
                if not isinstance(operand, Operand) or operand.weights is None:
                    raise Unreadable(f"{name} is no parameter of the network, it is computed")
                found[place] = operand.weights
        return found

    def pair(self, name: str, default: Pair = 1) -> Pair:
        """An argument that stands for height and width; the default where the program leaves its list empty."""
        given = self.arguments[name]
        numbers = [given] if isinstance(given, int) else list(given)
        return default if not numbers else (numbers[0], numbers[-1])

    def require(self, **wanted: Any) -> None:
        """Refuse the call if an argument has another value than the one that is supported.

        Raises:
            Unreadable: Then.
        """
        for name, value in wanted.items():
            if (given := self.arguments.get(name, value)) != value:
                raise Unreadable(f"{name}={given!r} is not supported, only {value!r}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a kind reads from a call.

    Attributes:
        layer: The layer; None where the call computes nothing, and so stands for its one input.
        inputs: The names of the arguments that the layer reads in the graph, in its order; the name of a list of tensors
            stands for all of them.
        weights: The program's name of each entry of the layer's `state_dict`. The numbers are taken as they lie, in the shape
            that the layer's module has. An entry that is not here keeps a fresh module's value (batch normalisation's count).
    """

    layer: Layer | None
    inputs: tuple[str, ...] = ("self",)
    weights: Mapping[str, str] = field(default_factory=dict)
