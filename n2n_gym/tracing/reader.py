"""Reads a traced program: each call of an operator becomes a layer, or is resolved as a view, or is refused with its place."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from n2n_gym.architecture import IMAGE, Node
from n2n_gym.layers import KINDS, Layer, Shape, Verdict
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.tracing.failures import first_line
from n2n_gym.tracing.layout import Order, Value, order_of
from n2n_gym.tracing.memory import overlap, storage_of
from n2n_gym.tracing.places import Place
from n2n_gym.tracing.program import Program
from n2n_gym.tracing.refusals import ALONE, Refusal, remedy, short, with_weights

NOTHING = ("contiguous", "alias", "detach", "detach_", "clone", "to", "_to_copy", "lift_fresh_copy", "type_as", "positive")
"""Operators that give back the numbers that they get, unless they change their type."""

VIEWS = (
    *("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "expand"),
    *("permute", "transpose", "movedim", "swapaxes", "swapdims", "slice", "narrow", "view_as", "reshape_as", "expand_as"),
    "select",
)
"""Operators that show the same numbers in another way; a slice or a selection, only where it leaves nothing out."""

CHECKS = ("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size")
"""Operators that compute nothing."""

SHUFFLE = "aten.channel_shuffle.default"


class _StopError(Exception):
    """A call cannot be read: what it is, and why not; without words where something before it could not be read.

    What is in the way may be another call than the one that is read: then with its place.
    """

    def __init__(self, what: str = "", reason: str = "", place: Place | None = None) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason
        self.place = place


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
        self._values: dict[fx.Node, Value | None] = {}  # None: it could not be read
        self._weights: dict[fx.Node, str] = {}
        self._computed: set[fx.Node] = set()  # from weights alone
        self._rewritten: dict[tuple[int, int], int] = {}  # a memory, an output that was changed there, and what it is since
        self._spoilt: dict[fx.Node, fx.Node] = {}  # what was changed in place by a call that changed a part of it, or more
        self._shuffled: dict[tuple[int, int], int] = {}
        self._owners: dict[str, Place] = {}
        needed = _needed(program.exported.graph)
        for node in program.exported.graph.nodes:
            if node in needed:
                self._look_at(node)
        if self.output == IMAGE and not self.refusals:
            self.refusals.append(Refusal("the output", "no layer that was read leads to it", Place("")))

    def _look_at(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if node.name in self._program.names:
                self._weights[node] = self._program.names[node.name]
            else:
                _, channels, height, width = self._program.example.shape
                self._values[node] = Value(IMAGE, (channels, height, width))
            return
        try:
            if node.op == "output":
                self._finish(node)
            elif node.op == "call_function":
                value = self._called(node)
                if node not in self._weights:
                    self._values[node] = value
            else:
                raise _StopError(f"{node.op} {node.target}", "no kind of layer computes this")
        except _StopError as stop:
            self._values[node] = None
            if stop.what:
                self.refusals.append(Refusal.at(stop.what, stop.reason, stop.place or Place.of(node)))

    def _finish(self, node: fx.Node) -> None:
        outputs: Any = node.args[0]
        value = self._known(outputs[0])
        if value.order not in (Order.MAP, Order.ROW) or value.node == IMAGE:
            raise _StopError("the output", "it must be what a layer puts out, as it is")
        self.output = value.node

    # One call

    def _called(self, node: fx.Node) -> Value | None:
        if node.target is operator.getitem:
            source, part = node.args
            assert isinstance(source, fx.Node)
            self._check_reads(node, "")
            return self._read(source, part)
        if not isinstance(node.target, torch._ops.OpOverload):
            reason = "no kind of layer computes a mode, a control flow or a function of your own"
            raise _StopError(getattr(node.target, "__name__", str(node.target)), reason)
        brief = short(str(node.target))
        if brief in CHECKS:
            return None
        source = node.args[0] if node.args else None
        if isinstance(source, fx.Node) and source in self._weights and (brief in NOTHING or _in_order(node, brief)):
            self._weights[node] = self._weights[source]  # another shape of the same weights
            return None
        self._check_reads(node, brief)
        if isinstance(node.meta.get("val"), tuple | list):
            return None  # of several outputs, each is read where it is used
        if brief not in (*NOTHING, *VIEWS) and str(node.target) not in self._kinds:
            raise _StopError(brief, remedy(str(node.target)))  # also where what it reads could not be read: said all at once
        if isinstance(source, fx.Node) and source in self._values:
            known = self._known(source)
            if brief in NOTHING and _dtype(node) == _dtype(source):
                return known
            if brief in VIEWS:
                if (seen := _viewed(node, brief, known)) is not None:
                    return seen
                if str(node.target) not in self._kinds:
                    reason = "it leaves numbers out, mixes the images of a batch or orders numbers as no layer can read them"
                    raise _StopError(brief, reason)
        return self._read(node, 0)

    def _check_reads(self, node: fx.Node, name: str) -> None:
        """Refuse a call that reads nothing of the image; the first of several in a row, the others follow from it."""
        read = node.all_input_nodes
        if read and all(each in self._weights or each in self._computed for each in read):
            follows = any(each in self._computed for each in read)
            self._computed.add(node)
            raise _StopError() if follows else _StopError(name, ALONE)

    def _read(self, node: fx.Node, part: Any) -> Value:
        """The output of a call that a kind of layer stands for."""
        name, brief = str(node.target), short(str(node.target))
        if name not in self._kinds:
            raise _StopError(brief, remedy(name))
        arguments = _arguments(node)
        sources = {key: self._sources(value) for key, value in arguments.items()}
        readable = set(Order) if self._kinds[name].pools else set(Order) - {Order.PIXELS}
        if any(value.order not in readable for values in sources.values() for value in values):
            reason = "a view or a permutation before it orders numbers as no layer can read them"
            raise _StopError(brief, f"{reason}; let it read a feature map (N, C, H, W), or x.flatten(1) of one")
        outputs = node.meta["val"]
        output = outputs[part] if isinstance(outputs, tuple | list) else outputs
        if output.dtype != torch.float32:
            raise _StopError(brief, f"it gives {str(output.dtype).removeprefix('torch.')}, not float32")
        told = {key: self._told(value) for key, value in arguments.items()}
        try:
            reading = self._kinds[name].read(Call(name, told, part))
        except Unreadable as error:
            operands = [value for value in told.values() if isinstance(value, Operand)]
            raise _StopError(brief, with_weights(brief, str(error), operands)) from None
        except (ValueError, ArithmeticError) as error:  # a layer says so of its numbers, and a division by zero of itself
            raise _StopError(brief, f"no layer has such numbers ({error}); change them in the module") from None
        if not all(sources[key] for key in reading.inputs):
            raise _StopError(brief, "it reads weights where a layer reads what was computed from the image")
        inputs = [value for key in reading.inputs for value in sources[key]]
        if reading.layer is None:
            return inputs[0]
        index = self._append(reading.layer, reading, inputs, brief, Place.of(node))
        if node.target._schema.is_mutable:  # type: ignore[union-attr]
            self._change(node, index)
        shape, there = self._shapes[index], tuple(output.shape[1:])
        order = order_of(there, shape, channels_last=any(value.order is Order.CHANNELS_LAST for value in inputs))
        if order is None:
            raise _StopError(brief, f"it puts out {there} where the layer that stands for it puts out {shape}")
        return Value(index, shape, order)

    def _append(self, layer: Layer, reading: Reading, inputs: list[Value], name: str, place: Place) -> int:
        """Add a layer; the index that it has."""
        shape = layer.output_shape([value.shape for value in inputs])
        if isinstance(shape, Verdict):
            raise _StopError(name, str(shape))
        for weight in reading.weights.values():
            if weight in self._owners:
                other = self._owners[weight]
                raise _StopError(
                    name, f"its {weight} is used at {other}, too; weights that two layers share are not supported"
                )
            self._owners[weight] = place
        read = tuple(value.node for value in inputs)
        self.layers.append(Layered(layer, read, dict(reading.weights), name, place))
        self._shapes.append(shape)
        return len(self.layers) - 1

    def _change(self, node: fx.Node, index: int) -> None:
        """Note that a call put a layer's output where the value lay that it read first.

        Other values there that were the same output are this one now. Of those that have only some numbers in common with it,
        such as a part and the whole, nobody can say what layer puts them out.
        """
        changed: fx.Node = next(iter(_arguments(node).values()))
        memory, before = storage_of(changed), self._known(changed).node
        for other, value in list(self._values.items()):
            if value is None or other in self._spoilt or storage_of(other) != memory:
                continue
            if self._known(other).node != before and overlap(changed, other):
                self._spoilt[other] = node
        self._rewritten[memory, before] = index

    # Arguments

    def _known(self, node: fx.Node) -> Value:
        """What a name in the program stands for now: it may have been changed in place since, and shuffled."""
        value = self._values.get(node)
        if value is None:
            raise _StopError  # what is wrong was said where it began
        if (change := self._spoilt.get(node)) is not None:
            reason = (
                "it changes in place what is read later on as a part of more, or as what it is a part of; "
                "let it put out a new tensor (inplace=False, or y = y + x for y += x)"
            )
            raise _StopError(short(str(change.target)), reason, Place.of(change))
        memory = storage_of(node)
        value = self._now(value, memory)
        groups = value.shuffled
        return self._now(self._dealt(value, groups), memory) if groups and SHUFFLE in self._kinds else value

    def _now(self, value: Value, memory: int) -> Value:
        """The same after all that was done in place in the memory where it lies."""
        index = value.node
        while (memory, index) in self._rewritten:
            index = self._rewritten[memory, index]
        return replace(value, node=index)

    def _dealt(self, value: Value, groups: int) -> Value:
        """The output of a layer that shuffles channels as a view of this value does."""
        key = (value.node, groups)
        if key not in self._shuffled:
            place = self.layers[value.node].place if value.node != IMAGE else Place("")
            reading = self._kinds[SHUFFLE].read(Call(SHUFFLE, {"self": Operand((2, *value.shape)), "groups": groups}))
            assert reading.layer is not None
            before = [Value(value.node, value.shape)]
            self._shuffled[key] = self._append(reading.layer, reading, before, "channel_shuffle", place)
        return Value(self._shuffled[key], value.shape)

    def _sources(self, argument: Any) -> list[Value]:
        """The values in the graph among an argument."""
        if isinstance(argument, tuple | list):
            return [value for part in argument for value in self._sources(part)]
        return [self._known(argument)] if isinstance(argument, fx.Node) and argument not in self._weights else []

    def _told(self, argument: Any) -> Any:
        """An argument as a kind is told of it."""
        if isinstance(argument, tuple | list):
            told = [self._told(part) for part in argument]
            return tuple(told) if any(isinstance(part, Operand) for part in told) else told
        if not isinstance(argument, fx.Node):
            return argument
        shape = tuple(argument.meta["val"].shape)
        if argument in self._weights:
            name = self._weights[argument]
            return Operand(shape, name, isinstance(self._program.tensors.get(name), torch.nn.Parameter))
        value = self._known(argument)
        if value.order is Order.SPREAD:  # written out or not, it is a number per channel
            shape = (shape[0], *value.shape)
        each = value.shape[1] * value.shape[2] if value.order is Order.ROW else 1
        return Operand(shape, channels_last=value.order is Order.CHANNELS_LAST, each=each)


def _needed(graph: fx.Graph) -> set[fx.Node]:
    """What the output depends on, and what is changed in place."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        changes = isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
        if node.op in ("output", "placeholder") or changes or not needed.isdisjoint(node.users):
            needed.add(node)
    return needed


def _viewed(node: fx.Node, brief: str, value: Value) -> Value | None:
    """A value after a view; None if numbers are left out, or it is not image by image."""
    arguments = _arguments(node)
    others = {name: _example(given) for name, given in list(arguments.items())[1:]}
    target: Any = node.target

    def view(places: Tensor) -> Tensor:
        seen: Tensor = target(places, **others)
        return seen

    try:
        seen = value.viewed(view)
    except Exception as error:  # it ran when the program was traced: an order was read wrongly, or torch has a new operator
        reason = f"where its numbers come from cannot be told ({first_line(error)}); write it with reshape, permute and expand"
        raise _StopError(brief, reason) from error
    return seen if seen is not None and seen.whole else None


def _in_order(node: fx.Node, brief: str) -> bool:
    """Whether a view of weights shows all of their numbers as they lie."""
    if brief not in VIEWS:
        return False
    (first, source), *others = _arguments(node).items()
    places = torch.arange(source.meta["val"].numel()).view(source.meta["val"].shape)
    target: Any = node.target
    seen = target(**{first: places}, **{name: _example(given) for name, given in others})
    return torch.equal(seen.flatten(), places.flatten())


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
