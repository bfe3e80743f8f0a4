"""Reads a traced program: each call of an operator becomes a layer, or is resolved as a view, or is refused with its place."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from n2n_gym.architecture import IMAGE, Node
from n2n_gym.layers import KINDS, Layer, Shape, Verdict
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.tracing.layout import Order, Value, order_of
from n2n_gym.tracing.places import Place
from n2n_gym.tracing.program import Program
from n2n_gym.tracing.refusals import Refusal, short, unsupported

NOTHING = ("contiguous", "alias", "detach", "detach_", "clone", "to", "_to_copy", "lift_fresh_copy", "type_as", "positive")
"""Operators that give back the numbers that they get, unless they change their type."""

VIEWS = (
    *("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "expand"),
    *("permute", "transpose", "movedim", "swapaxes", "swapdims", "slice", "narrow", "view_as", "reshape_as", "expand_as"),
)
"""Operators that show the same numbers in another way; a slice, only where it leaves nothing out."""

CHECKS = ("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size")
"""Operators that compute nothing."""

SHUFFLE = "aten.channel_shuffle.default"


@dataclass(frozen=True)
class Layered:
    """A layer that was read.

    Attributes:
        layer: It.
        inputs: Indices of earlier ones, or `IMAGE`.
        weights: The program's name of each entry of its `state_dict`.
        operator: The operator's short name.
        place: Where it is called.
    """

    layer: Layer
    inputs: tuple[int, ...]
    weights: dict[str, str]
    operator: str
    place: Place

    @property
    def node(self) -> Node:
        """Layer and inputs alone."""
        return Node(self.layer, self.inputs)


class Reader:
    """Reads one program from its first call to its last.

    Attributes:
        layers: What was read, in the program's order.
        refusals: All that stands in the way; empty if the program could be read.
        output: Index of the layer that puts out the logits, if it could be read.
    """

    def __init__(self, program: Program) -> None:
        self.layers: list[Layered] = []
        self.refusals: list[Refusal] = []
        self.output = IMAGE
        self._program = program
        self._kinds = {name: kind for kind in KINDS.values() for name in kind.torch_names}
        self._shapes: list[Shape] = []
        self._values: dict[fx.Node, Value | None] = {}  # None: something before it was refused
        self._weights: dict[fx.Node, str] = {}
        self._rewritten: dict[int, int] = {}  # an output that was changed in place, and what it is since
        self._shuffled: dict[tuple[int, int], int] = {}
        self._users_of: dict[str, Place] = {}
        for node in program.exported.graph.nodes:
            self._look_at(node)

    def _look_at(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if node.name in self._program.names:
                self._weights[node] = self._program.names[node.name]
            else:
                _, *shape = self._program.example.shape
                self._values[node] = Value(IMAGE, (shape[0], shape[1], shape[2]))
        elif node.op == "call_function":
            self._values[node] = self._called(node)
        elif node.op == "output":
            self._finish(node)
        else:
            self._refuse(Refusal(f"{node.op} {node.target}", "no kind of layer computes this", Place.of(node)))
            self._values[node] = None

    def _finish(self, node: fx.Node) -> None:
        [[last]] = node.args
        value = self._values.get(last) if isinstance(last, fx.Node) else None
        if value is None:
            return
        value = self._now(value)
        if value.order not in (Order.MAP, Order.ROW) or value.node == IMAGE:
            self._refuse(Refusal("the output", "it is no layer's output as it is", Place.of(node)))
        self.output = value.node

    # One call

    def _called(self, node: fx.Node) -> Value | None:
        if node.target is operator.getitem:
            source, part = node.args
            assert isinstance(source, fx.Node)
            return self._read(source, part)
        name = str(node.target)
        if not isinstance(node.target, torch._ops.OpOverload):
            reason = (
                "it is not an operator that reads and gives tensors alone (a mode, a control flow or a function of its own)"
            )
            return self._refuse(Refusal(getattr(node.target, "__name__", name), reason, Place.of(node)))
        if isinstance(node.meta.get("val"), tuple | list):
            return None if node.users else self._read(node, 0)  # read once for each output that is used
        brief = short(name)
        if brief in CHECKS:
            return None
        source = node.args[0] if node.args else None
        if isinstance(source, fx.Node) and source in self._values and brief in (*NOTHING, *VIEWS):
            known = self._values[source]
            if known is None:
                return None
            if brief in NOTHING and _dtype(node) == _dtype(source):
                return known
            if brief in VIEWS and (seen := self._viewed(node, known)) is not None:
                return seen
            if brief in VIEWS and name not in self._kinds:
                reason = "it shows numbers so that no layer can read them, leaves some out or mixes the images of a batch"
                return self._refuse(Refusal(brief, reason, Place.of(node)))
        return self._read(node, 0)

    def _viewed(self, node: fx.Node, value: Value) -> Value | None:
        """The value after a view; None if it is not the same numbers, or not image by image."""
        arguments = _arguments(node)
        first = next(iter(arguments))
        others = {name: _example(value) for name, value in arguments.items() if name != first}
        target: Any = node.target
        now = self._now(value)

        def view(places: Tensor) -> Tensor:
            seen: Tensor = target(places, **others)
            return seen

        seen = now.viewed(view)
        if seen is not None and short(str(target)) in ("slice", "narrow") and seen.places.numel() != now.places.numel():
            return None
        return seen

    def _read(self, node: fx.Node, part: Any) -> Value | None:
        """The output of a call that a kind of layer stands for."""
        name, place = str(node.target), Place.of(node)
        if name not in self._kinds:
            return self._refuse(unsupported(name, place))
        arguments = _arguments(node)
        sources = {key: self._sources(value) for key, value in arguments.items()}
        if any(value is None for values in sources.values() for value in values):
            return None
        call = Call(name, {key: self._told(value) for key, value in arguments.items()}, part)
        outputs = node.meta["val"]
        output = outputs[part] if isinstance(outputs, tuple | list) else outputs
        if output.dtype != torch.float32:
            return self._refuse(
                Refusal(short(name), f"it gives {str(output.dtype).removeprefix('torch.')}, not float32", place)
            )
        reading = self._asked(call, [value for values in sources.values() for value in values], place)
        if reading is None:
            return None
        inputs = [self._now(value) for key in reading.inputs for value in sources[key] if value is not None]
        if reading.layer is None:
            return inputs[0]
        index = self._append(reading, inputs, short(name), place)
        if index is None:
            return None
        if node.target._schema.is_mutable:  # type: ignore[union-attr]
            self._rewritten[inputs[0].node] = index
        last = any(value.order is Order.CHANNELS_LAST for value in inputs)
        order = order_of(tuple(output.shape[1:]), self._shapes[index], channels_last=last)
        if order is None:
            reason = f"it puts out {tuple(output.shape[1:])} where the layer that stands for it puts out {self._shapes[index]}"
            return self._refuse(Refusal(short(name), reason, place))
        return Value(index, self._shapes[index], order)

    def _asked(self, call: Call, values: list[Value | None], place: Place) -> Reading | None:
        """What the operator's kind says of a call."""
        for value in values:
            if value is not None and value.order is None and self._now(value).order is None:
                reason = "it reads numbers in an order that no layer can read (a view or a permutation before it)"
                return self._refuse(Refusal(short(call.name), reason, place))
        try:
            return self._kinds[call.name].read(call)
        except Unreadable as error:
            return self._refuse(Refusal(short(call.name), str(error), place))

    def _append(self, reading: Reading, inputs: list[Value], name: str, place: Place) -> int | None:
        """Add a layer; None, and a refusal, if it cannot be as the program has it."""
        layer = reading.layer
        assert layer is not None
        shape = layer.output_shape([value.shape for value in inputs])
        if isinstance(shape, Verdict):
            return self._refuse(Refusal(name, f"{shape}", place))
        for weight in reading.weights.values():
            if weight in self._users_of:
                reason = (
                    f"its {weight} is used at {self._users_of[weight]}, too; weights that two layers share are not supported"
                )
                return self._refuse(Refusal(name, reason, place))
            self._users_of[weight] = place
        read = tuple(value.node for value in inputs)
        self.layers.append(Layered(layer, read, dict(reading.weights), name, place))
        self._shapes.append(shape)
        return len(self.layers) - 1

    # Arguments

    def _sources(self, argument: Any) -> list[Value | None]:
        """The values in the graph among an argument."""
        if isinstance(argument, tuple | list):
            return [value for part in argument for value in self._sources(part)]
        if isinstance(argument, fx.Node) and argument not in self._weights:
            return [self._values.get(argument)]
        return []

    def _told(self, argument: Any) -> Any:
        """An argument as a kind is told of it."""
        if isinstance(argument, tuple | list):
            told = tuple(self._told(part) for part in argument)
            return told if any(isinstance(part, Operand) for part in told) else list(told)
        if not isinstance(argument, fx.Node):
            return argument
        shape = tuple(argument.meta["val"].shape)
        if argument in self._weights:
            name = self._weights[argument]
            trained = isinstance(self._program.tensors.get(name), torch.nn.Parameter)
            return Operand(shape, name, trained)
        value = self._values[argument]
        assert value is not None
        if value.order is Order.SPREAD:  # written out or not, a number per channel is the same
            shape = (shape[0], *value.shape)
        return Operand(shape, channels_last=value.order is Order.CHANNELS_LAST)

    def _now(self, value: Value) -> Value:
        """The value as it is now: changed in place since, maybe, and with its channels shuffled by a layer."""
        node = value.node
        while node in self._rewritten:
            node = self._rewritten[node]
        if node != value.node:
            value = Value(node, value.shape, value.order, value.view)
        if value.order is None and (groups := value.shuffled):
            return self._dealt(value, groups)
        return value

    def _dealt(self, value: Value, groups: int) -> Value:
        if SHUFFLE not in self._kinds:
            return value
        key = (value.node, groups)
        if key not in self._shuffled:
            whole = Operand((2, *value.shape))
            reading = self._kinds[SHUFFLE].read(Call(SHUFFLE, {"self": whole, "groups": groups}))
            place = self.layers[value.node].place if value.node != IMAGE else Place("")
            index = self._append(reading, [Value(value.node, value.shape)], "channel_shuffle", place)
            assert index is not None
            self._shuffled[key] = index
        return Value(self._shuffled[key], value.shape)

    def _refuse(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)


def _arguments(node: fx.Node) -> dict[str, Any]:
    """A call's arguments by the names in its operator's schema, defaults filled in."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((argument.name for argument in schema), node.args, strict=False)) | dict(node.kwargs)
    return {argument.name: given.get(argument.name, argument.default_value) for argument in schema}


def _example(argument: Any) -> Any:
    """A tensor that another one is shaped like, as far as its shape goes; what is no tensor, as it is."""
    return torch.empty(argument.meta["val"].shape) if isinstance(argument, fx.Node) else argument


def _dtype(node: fx.Node) -> torch.dtype:
    dtype: torch.dtype = node.meta["val"].dtype
    return dtype
