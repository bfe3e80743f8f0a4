"""What every kind of layer must keep: torch agrees with its arithmetic, edits leave it whole, weights and calls come over.

class TestMyKind(LayerSuite):
cases = (Case(MyKind(3), ((4, 8, 8),), torch_call("aten.mine.default", Operand((2, 4, 8, 8)))),)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from n2n_gym.architecture.features import COLUMNS
from n2n_gym.layers import KINDS, MOST_CODES, Call, Channels, Layer, Operand, Shape, Variable, Verdict, layer_from_json
from n2n_gym.models.build import initialise

BATCH = 3
"""Images in a batch of these tests."""


@dataclass(frozen=True)
class Case:
    """One layer of a kind.

    Attributes:
        layer: It.
        inputs: The shapes that it reads; its channels divide into what the layer's groups need.
        call: A call of torch that must be read as this layer; None where there is none.
    """

    layer: Layer
    inputs: tuple[Shape, ...]
    call: Call | None = None


def torch_call(name: str, *arguments: Any, part: int = 0, **named: Any) -> Call:
    """A call of one of torch's operators, its defaults filled in.

    Args:
        name: The operator's, such as `aten.conv2d.default`.
        *arguments: In the order of its schema, tensors as `Operand`.
        part: Which of its outputs is meant.
        **named: Further ones by their name.
    """
    schema = _operator(name)._schema.arguments
    given = dict(zip((argument.name for argument in schema), arguments, strict=False)) | named
    return Call(name, {a.name: given.get(a.name, a.default_value) for a in schema}, part)


class LayerSuite:
    """Subclass it as `Test...` and give it `cases`: layers of one kind that differ in every number the kind has.

    Attributes:
        cases: What is tested.
    """

    cases: ClassVar[Sequence[Case]] = ()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each test that takes a case with every case."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=[str(case.layer) for case in self.cases])

    def test_there_are_cases_of_one_kind(self) -> None:
        """Nothing is tested by a suite without cases."""
        assert len({type(case.layer) for case in self.cases}) == 1

    def test_it_is_known_by_its_name_and_written_as_json(self, case: Case) -> None:
        """From JSON comes the same layer, with the same hash; what was left out is a default."""
        layer = case.layer
        assert KINDS[layer.kind] is type(layer)
        assert 1 <= layer.code <= MOST_CODES
        assert layer.colour.startswith("#")
        read = layer_from_json(layer.to_json())
        assert read == layer
        assert hash(read) == hash(layer)

    def test_its_row_fits_the_observation(self, case: Case) -> None:
        """Whole numbers within the observation's bounds."""
        for name, number in zip(("kernel", "stride", "padding", "outputs"), case.layer.observed, strict=True):
            assert type(number) is int
            assert 0 <= number <= COLUMNS[name]

    def test_torch_agrees_with_its_arithmetic(self, case: Case) -> None:
        """Shape, parameters, multiply-accumulates and bytes are those that torch counts."""
        agree(case.layer, case.inputs)

    def test_it_learns(self, case: Case) -> None:
        """Forwards and backwards on real numbers; every parameter gets a gradient."""
        module = drawn(case.layer, case.inputs).train()
        images = [image.requires_grad_() for image in images_of(case.inputs)]
        output = module(*images)
        assert output.isfinite().all()
        output.square().sum().backward()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in module.parameters())

    def test_its_weights_are_drawn_from_a_generator(self, case: Case) -> None:
        """The same ones from the same seed; torch's own generator is left alone."""
        before = torch.get_rng_state()
        first, second = (initialised(case.layer, case.inputs, seed=3).state_dict() for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_a_whole_layer_is_inherited(self, case: Case) -> None:
        """Every entry of its state, so that it computes what the teacher's computes."""
        teacher, student = drawn(case.layer, case.inputs), drawn(case.layer, case.inputs, seed=1)
        _take_over(student, case.layer, teacher, case.inputs, case.inputs, *_all(case.layer, case.inputs), whole=True)
        images = images_of(case.inputs)
        torch.testing.assert_close(student(*images), teacher(*images))

    def test_what_shrinks_is_smaller_and_can_be_built(self, case: Case) -> None:
        """By any factor, no number grows, ten tenths change nothing, and torch still agrees, or it says what does not fit."""
        layer = case.layer
        for variable in layer.variables:
            assert layer.shrunk(variable, 10) == layer
            for tenths in range(1, 10):
                for keeps_size in {False, variable is Variable.KERNEL}:
                    multiple = layer.output_parts
                    smaller = layer.shrunk(variable, tenths, keeps_size=keeps_size, multiple=multiple)
                    self._check_shrunk(case, smaller, variable, keeps_size=keeps_size)

    def _check_shrunk(self, case: Case, smaller: Layer, variable: Variable, *, keeps_size: bool) -> None:
        value, before = smaller.value(variable), case.layer.value(variable)
        assert value is not None
        assert before is not None
        assert value <= before
        shape, old = smaller.output_shape(case.inputs), case.layer.output_shape(case.inputs)
        assert layer_from_json(smaller.to_json()) == smaller
        if isinstance(shape, Verdict):
            assert shape is not Verdict.SHAPES_DO_NOT_FIT
            return
        assert not isinstance(old, Verdict)
        if keeps_size:
            assert shape[1:] == old[1:]
        assert smaller.parameters(case.inputs) <= case.layer.parameters(case.inputs)
        agree(smaller, case.inputs)

    def test_what_has_shrunk_inherits_what_it_kept(self, case: Case) -> None:
        """What it takes over has the shape of what it has."""
        layer = case.layer
        for variable in layer.variables:
            smaller = layer.shrunk(variable, 5, multiple=layer.output_parts)
            if isinstance(shape := smaller.output_shape(case.inputs), Verdict):
                continue
            inputs, outputs = _all(layer, case.inputs)
            student = drawn(smaller, case.inputs, seed=1)
            _take_over(student, smaller, drawn(layer, case.inputs), case.inputs, case.inputs, inputs, outputs[: shape[0]])

    def test_it_follows_fewer_channels(self, case: Case) -> None:
        """Reading half of the channels: torch agrees, and what is inherited has the right shape."""
        if case.layer.joins or case.layer.channels is Channels.PART:
            return
        channels = case.inputs[0][0]
        half = max(channels // 2, 1)
        layer = case.layer.reading(half)
        here = ((half, *case.inputs[0][1:]),)
        agree(layer, here)
        read, outputs = _all(case.layer, case.inputs)
        read = read[:half]
        student = drawn(layer, here, seed=1)
        kept = outputs if layer.channels is Channels.FREE else read
        _take_over(student, layer, drawn(case.layer, case.inputs), case.inputs, here, read, kept)

    def test_it_gives_any_number_of_channels_of_its_own(self, case: Case) -> None:
        """If the number is its own."""
        if case.layer.channels is not Channels.FREE:
            return
        for channels in (1, 7, 12, case.layer.output_channels([1]) * 2):
            layer = case.layer.giving(channels)
            assert layer.output_channels([case.inputs[0][0]]) == channels
            agree(layer, case.inputs)

    def test_its_least_output_is_no_larger_than_its_output(self, case: Case) -> None:
        """As bounds on all students rely on it."""
        shape = case.layer.output_shape(case.inputs)
        assert not isinstance(shape, Verdict)
        least = case.layer.least_output(case.inputs, shape[0])
        assert all(low <= high for low, high in zip(least, shape, strict=True))

    def test_it_moves_channels_as_it_says(self, case: Case) -> None:
        """Of kinds that only move channels."""
        if case.layer.channels not in (Channels.STACKED, Channels.SHUFFLED, Channels.PART):
            return
        images = images_of(case.inputs)
        arrangement = list(case.layer.arrangement([shape[0] for shape in case.inputs]))
        expected = torch.cat(images, dim=1)[:, arrangement]
        torch.testing.assert_close(drawn(case.layer, case.inputs)(*images), expected, rtol=0, atol=0)

    def test_twice_is_once_where_it_absorbs_itself(self, case: Case) -> None:
        """What computes nothing behind itself computes nothing there."""
        if case.layer.absorbed_by(case.layer):
            module, images = drawn(case.layer, case.inputs), images_of(case.inputs)
            once = module(*images)
            torch.testing.assert_close(module(once), once, rtol=0, atol=0)

    def test_its_torch_names_are_operators(self) -> None:
        """Of this torch."""
        for name in self.cases[0].layer.torch_names:
            assert _operator(name)._schema.name == "aten::" + name.split(".")[1]

    def test_its_call_is_read(self, case: Case) -> None:
        """As this layer, which with the call's weights computes what torch computes."""
        if case.call is None:
            return
        claimed = [kind for kind in KINDS.values() if case.call.name in kind.torch_names]
        assert len(claimed) == 1
        reading = claimed[0].read(case.call)
        assert reading.layer == case.layer
        operands = {name: _operands(value) for name, value in case.call.arguments.items()}
        inputs = [operand for name in reading.inputs for operand in operands[name]]
        values = {id(operand): _random(operand) for found in operands.values() for operand in found}
        module = drawn(reading.layer, case.inputs)
        own = module.state_dict()
        by_name = {o.weights: values[id(o)] for found in operands.values() for o in found if o.weights is not None}
        for name, weights in reading.weights.items():
            own[name].copy_(by_name[weights].reshape(own[name].shape))
        unread = {name for name in own if own[name].is_floating_point()} - reading.weights.keys()
        assert not unread
        arguments = {name: _replaced(value, values) for name, value in case.call.arguments.items()}
        expected = _called(case.call, arguments)
        images = [_channels_first(values[id(o)], o, shape) for o, shape in zip(inputs, case.inputs, strict=True)]
        output = module(*images)
        output = output.permute(0, 2, 3, 1) if inputs[0].channels_last else output
        torch.testing.assert_close(output.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


def agree(layer: Layer, inputs: Sequence[Shape]) -> None:
    """Let torch count what a layer is, without memory for its weights.

    Raises:
        AssertionError: If it finds something else.
    """
    shape = layer.output_shape(inputs)
    assert not isinstance(shape, Verdict), shape
    assert shape[0] == layer.output_channels([each[0] for each in inputs])
    with torch.device("meta"):
        module = layer.module(inputs).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            output = module(*(torch.empty(BATCH, *each) for each in inputs))
    assert tuple(output.shape) == (BATCH, *shape)
    assert sum(parameter.numel() for parameter in module.parameters()) == layer.parameters(inputs)
    assert counter.get_total_flops() == 2 * BATCH * layer.macs(inputs, shape)
    held = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    assert held == 4 * layer.parameters(inputs) + layer.buffer_bytes(inputs)


def initialised(layer: Layer, inputs: Sequence[Shape], seed: int = 0) -> nn.Module:
    """A layer's module with fresh weights from a generator."""
    with torch.device("meta"):
        module = layer.module(inputs)
    holder = nn.Sequential(module)
    initialise(holder, torch.Generator().manual_seed(seed))
    return module


@torch.no_grad()
def drawn(layer: Layer, inputs: Sequence[Shape], seed: int = 0) -> nn.Module:
    """A layer's module in evaluation mode, every number of it one of its own, as after a training."""
    module = initialised(layer, inputs, seed).eval()
    noise = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5, generator=noise) if name.endswith("var") else value.normal_(0, 0.5, generator=noise)
    return module


def images_of(inputs: Sequence[Shape], seed: int = 0) -> list[Tensor]:
    """A batch of feature maps for each input."""
    noise = torch.Generator().manual_seed(seed)
    return [torch.randn(BATCH, *shape, generator=noise) for shape in inputs]


def _all(layer: Layer, inputs: Sequence[Shape]) -> tuple[Tensor, Tensor]:
    """All channels that a layer reads, and all that it puts out."""
    channels = [shape[0] for shape in inputs]
    return torch.arange(channels[0]), torch.arange(layer.output_channels(channels))


@torch.no_grad()
def _take_over(
    student: nn.Module,
    layer: Layer,
    teacher: nn.Module,
    there: Sequence[Shape],
    here: Sequence[Shape],
    inputs: Tensor,
    outputs: Tensor,
    *,
    whole: bool = False,
) -> None:
    taken = layer.inherited(teacher.state_dict(), there[0], here[0], inputs, outputs)
    own = student.state_dict()
    assert taken.keys() == own.keys() if whole else taken.keys() <= own.keys()
    for name, value in taken.items():
        assert value.shape == own[name].shape, name
        own[name].copy_(value)


def _operator(name: str) -> Any:
    _, operator, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, operator), overload)


def _operands(value: Any) -> list[Operand]:
    if isinstance(value, Operand):
        return [value]
    return [each for each in value if isinstance(each, Operand)] if isinstance(value, tuple) else []


def _random(operand: Operand) -> Tensor:
    noise = torch.Generator().manual_seed(sum(operand.shape) + len(operand.weights or ""))
    made = torch.randn(operand.shape, generator=noise)
    return made.abs() + 0.5 if "var" in (operand.weights or "") else made


def _replaced(value: Any, values: dict[int, Tensor]) -> Any:
    if isinstance(value, tuple):
        return [_replaced(each, values) for each in value]
    return values[id(value)] if isinstance(value, Operand) else value


def _called(call: Call, arguments: dict[str, Any]) -> Tensor:
    operator = _operator(call.name)
    schema = operator._schema.arguments
    positional = [arguments[argument.name] for argument in schema if not argument.kwarg_only]
    named = {argument.name: arguments[argument.name] for argument in schema if argument.kwarg_only}
    with torch.no_grad():
        found = operator(*[each.clone() if isinstance(each, Tensor) else each for each in positional], **named)
    output: Tensor = found if isinstance(found, Tensor) else found[call.part]
    return output


def _channels_first(value: Tensor, operand: Operand, shape: Shape) -> Tensor:
    return (value.permute(0, 3, 1, 2) if operand.channels_last else value).reshape(len(value), *shape)
