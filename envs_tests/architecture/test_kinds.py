"""Every kind of layer keeps what is promised of it; what a kind cannot express is said in words."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from n2n_gym.layers import (
    KINDS,
    AdaptiveMaxPool,
    Affine,
    AvgPool,
    BatchNorm,
    Celu,
    Crop,
    Dropout,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    LeakyRelu,
    Linear,
    MaxPool,
    Mish,
    Operand,
    Pad,
    Part,
    PRelu,
    Relu,
    Relu6,
    Scale,
    Selu,
    Shuffle,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
    Unreadable,
    Variable,
    Verdict,
    Widen,
    WindowMean,
    add,
    concat,
    conv,
    depthwise,
    multiply,
)
from n2n_gym.layers.window import sides
from n2n_gym.testing.layer import Case, LayerSuite, agree, torch_call

MAP = (12, 9, 8)
X = Operand((3, *MAP))
LAST = Operand((3, 9, 8, 12), channels_last=True)
ROW = Operand((3, 12))


def weights(*shape, name="weight", trained=True):
    return Operand(shape, name, trained)


def conv2d(outputs, reads, kernel, *more, bias=True):
    return torch_call(
        "aten.conv2d.default", X, weights(outputs, reads, *kernel), weights(outputs, name="bias") if bias else None, *more
    )


class TestConv(LayerSuite):
    cases = (
        Case(conv(20, 5, bias=True), (MAP,), conv2d(20, 12, (5, 5), [1, 1], [2, 2])),
        Case(conv(18, stride=2), (MAP,), conv2d(18, 12, (3, 3), [2], [1], bias=False)),
        Case(conv(24, (1, 7), bias=True), (MAP,), conv2d(24, 12, (1, 7), [1, 1], [0, 3])),
        Case(
            conv(24, 3, stride=(2, 1), dilation=2, groups=4, bias=True),
            (MAP,),
            conv2d(24, 3, (3, 3), [2, 1], [2, 2], [2, 2], 4),
        ),
        Case(conv(48, (5, 3), padding=(4, 0), dilation=(2, 1), groups=12, bias=True), (MAP,)),
        Case(conv(24, groups=12, bias=True), (MAP,), conv2d(24, 1, (3, 3), [1, 1], [1, 1], [1, 1], 12)),
        Case(conv(16, 1, stride=2, padding=0), (MAP,), conv2d(16, 12, (1, 1), [2, 2], bias=False)),
        Case(
            conv(14, 3, dilation=2, bias=True),
            (MAP,),
            torch_call(
                "aten.conv2d.padding", X, weights(14, 12, 3, 3), weights(14, name="bias"), padding="same", dilation=[2, 2]
            ),
        ),
        Case(
            conv(30, 1, bias=True),
            (MAP,),
            torch_call("aten.linear.default", LAST, weights(30, 12), weights(30, name="bias")),
        ),
    )


class TestDepthwise(LayerSuite):
    cases = (
        Case(depthwise(3, bias=True), (MAP,), conv2d(12, 1, (3, 3), [1, 1], [1, 1], [1, 1], 12)),
        Case(depthwise(7, stride=2), (MAP,), conv2d(12, 1, (7, 7), [2, 2], [3], [1], 12, bias=False)),
        Case(
            depthwise((3, 1), padding=(2, 0), dilation=2, bias=True), (MAP,), conv2d(12, 1, (3, 1), [1, 1], [2, 0], [2, 2], 12)
        ),
    )


class TestLinear(LayerSuite):
    cases = (
        Case(Linear(20), ((12, 1, 1),), torch_call("aten.linear.default", ROW, weights(20, 12))),
        Case(
            Linear(11, bias=True),
            ((12, 3, 2),),
            torch_call("aten.linear.default", Operand((3, 72)), weights(11, 72), weights(11, name="bias")),
        ),
    )


def normalised(affine, eps, momentum):
    numbers = [weights(12, name=name) if affine else None for name in ("weight", "bias")]
    running = [weights(12, name=name, trained=False) for name in ("mean", "var")]
    return torch_call("aten.batch_norm.default", X, *numbers, *running, False, momentum, eps, True)


class TestBatchNorm(LayerSuite):
    cases = (
        Case(BatchNorm(), (MAP,), normalised(True, 1e-5, 0.1)),
        Case(BatchNorm(1e-3, 0.01), (MAP,), normalised(True, 1e-3, 0.01)),
        Case(BatchNorm(affine=False), (MAP,), normalised(False, 1e-5, 0.1)),
    )


class TestLayerNorm(LayerSuite):
    cases = (
        Case(
            LayerNorm(1e-6),
            (MAP,),
            torch_call("aten.layer_norm.default", LAST, [12], weights(12), weights(12, name="bias"), 1e-6),
        ),
        Case(LayerNorm(shift=False), ((12, 1, 1),), torch_call("aten.layer_norm.default", ROW, [12], weights(12))),
        Case(LayerNorm(scale=False, shift=False), (MAP,), torch_call("aten.layer_norm.default", LAST, [12])),
    )


class TestScale(LayerSuite):
    cases = (
        Case(Scale(), (MAP,), torch_call("aten.mul.Tensor", weights(12, 1, 1), X)),
        Case(Scale(), (MAP,), torch_call("aten.mul.Tensor", LAST, weights(12))),
        Case(Scale(shared=True), (MAP,), torch_call("aten.mul.Tensor", X, weights(1))),
        Case(Scale(trained=False), (MAP,), torch_call("aten.mul.Tensor", X, weights(1, 12, 1, 1, trained=False))),
    )


class TestRelu(LayerSuite):
    cases = (Case(Relu(), (MAP,), torch_call("aten.relu_.default", X)),)


class TestRelu6(LayerSuite):
    cases = (
        Case(Relu6(), (MAP,), torch_call("aten.hardtanh_.default", X, 0.0, 6.0)),
        Case(Relu6(), (MAP,), torch_call("aten.relu6.default", X)),
    )


class TestLeakyRelu(LayerSuite):
    cases = (
        Case(LeakyRelu(), (MAP,), torch_call("aten.leaky_relu.default", X)),
        Case(LeakyRelu(0.2), (MAP,), torch_call("aten.leaky_relu_.default", LAST, 0.2)),
    )


class TestElu(LayerSuite):
    cases = (
        Case(Elu(), (MAP,), torch_call("aten.elu.default", X)),
        Case(Elu(0.5), (MAP,), torch_call("aten.elu.default", X, 0.5)),
    )


class TestSilu(LayerSuite):
    cases = (Case(Silu(), (MAP,), torch_call("aten.silu.default", X)),)


class TestGelu(LayerSuite):
    cases = (
        Case(Gelu(), (MAP,), torch_call("aten.gelu.default", LAST)),
        Case(Gelu(tanh=True), (MAP,), torch_call("aten.gelu.default", X, approximate="tanh")),
    )


class TestHardSwish(LayerSuite):
    cases = (Case(HardSwish(), (MAP,), torch_call("aten.hardswish.default", X)),)


class TestHardSigmoid(LayerSuite):
    cases = (Case(HardSigmoid(), (MAP,), torch_call("aten.hardsigmoid.default", X)),)


class TestSigmoid(LayerSuite):
    cases = (Case(Sigmoid(), (MAP,), torch_call("aten.sigmoid.default", X)),)


class TestMish(LayerSuite):
    cases = (Case(Mish(), (MAP,), torch_call("aten.mish.default", X)),)


class TestSelu(LayerSuite):
    cases = (Case(Selu(), (MAP,), torch_call("aten.selu_.default", X)),)


class TestCelu(LayerSuite):
    cases = (
        Case(Celu(), (MAP,), torch_call("aten.celu.default", X)),
        Case(Celu(0.5), (MAP,), torch_call("aten.celu_.default", LAST, 0.5)),
    )

    def test_no_division_by_zero(self):
        with pytest.raises(ValueError, match="alpha must not be 0"):
            Celu(0.0)


class TestSoftplus(LayerSuite):
    cases = (
        Case(Softplus(), (MAP,), torch_call("aten.softplus.default", X)),
        Case(Softplus(2.0, 5.0), (MAP,), torch_call("aten.softplus.default", X, 2.0, 5.0)),
    )

    def test_a_rectifier_has_a_direction(self):
        with pytest.raises(ValueError, match="beta must be more than 0"):
            Softplus(0.0)


class TestTanh(LayerSuite):
    cases = (Case(Tanh(), (MAP,), torch_call("aten.tanh.default", X)),)


class TestPRelu(LayerSuite):
    cases = (
        Case(PRelu(), (MAP,), torch_call("aten.prelu.default", X, weights(1))),
        Case(PRelu(shared=False), (MAP,), torch_call("aten.prelu.default", X, weights(12))),
    )


class TestMaxPool(LayerSuite):
    cases = (
        Case(MaxPool(2, 2), (MAP,), torch_call("aten.max_pool2d.default", X, [2, 2])),
        Case(MaxPool(3, 2, ceil_mode=True), (MAP,), torch_call("aten.max_pool2d.default", X, 3, 2, ceil_mode=True)),
        Case(MaxPool(2, 3, 1, ceil_mode=True), (MAP,), torch_call("aten.max_pool2d.default", X, 2, 3, 1, ceil_mode=True)),
        Case(
            MaxPool((3, 2), (1, 2), (1, 0), dilation=(2, 1)),
            (MAP,),
            torch_call("aten.max_pool2d_with_indices.default", X, [3, 2], [1, 2], [1, 0], [2, 1]),
        ),
    )


class TestWindowMean(LayerSuite):
    cases = (
        Case(WindowMean(2, 2), (MAP,), torch_call("aten.avg_pool2d.default", X, [2, 2])),
        Case(WindowMean(3, 2, 1, True), (MAP,), torch_call("aten.avg_pool2d.default", X, [3, 3], [2, 2], [1, 1], True)),
        Case(
            WindowMean((3, 4), 1, 1, count_padding=False),
            (MAP,),
            torch_call("aten.avg_pool2d.default", X, [3, 4], [1, 1], [1, 1], False, False),
        ),
    )


class TestAvgPool(LayerSuite):
    cases = (
        Case(AvgPool(), (MAP,), torch_call("aten.mean.dim", X, [-1, -2])),
        Case(AvgPool(), (MAP,), torch_call("aten.mean.dim", LAST, [1, 2], True)),
        Case(AvgPool((3, 2)), (MAP,), torch_call("aten.adaptive_avg_pool2d.default", X, [3, 2])),
    )


class TestAdaptiveMaxPool(LayerSuite):
    cases = (
        Case(AdaptiveMaxPool(), (MAP,), torch_call("aten.amax.default", X, [2, 3])),
        Case(AdaptiveMaxPool(4), (MAP,), torch_call("aten.adaptive_max_pool2d.default", X, [4, 4])),
    )


class TestAdd(LayerSuite):
    cases = (Case(add(), (MAP, MAP), torch_call("aten.add_.Tensor", X, Operand((3, *MAP)))),)


class TestMultiply(LayerSuite):
    cases = (
        Case(multiply(), (MAP, (12, 1, 1)), torch_call("aten.mul.Tensor", Operand((3, 12, 1, 1)), X)),
        Case(multiply(), (MAP, MAP), torch_call("aten.mul.Tensor", X, Operand((3, *MAP)))),
    )


class TestConcat(LayerSuite):
    cases = (
        Case(concat(), (MAP, (4, 9, 8)), torch_call("aten.cat.default", (X, Operand((3, 4, 9, 8))), 1)),
        Case(concat(), (MAP, MAP), torch_call("aten.cat.default", (LAST, Operand((3, 9, 8, 12), channels_last=True)), -1)),
    )


class TestPart(LayerSuite):
    cases = (
        Case(Part(2, 1), (MAP,), torch_call("aten.chunk.default", X, 2, 1, part=1)),
        Case(Part(3, 1), (MAP,), torch_call("aten.split.Tensor", X, 4, 1, part=1)),
        Case(Part(6, 1, 5), (MAP,), torch_call("aten.split_with_sizes.default", X, [2, 10], 1, part=1)),
        Case(Part(4, 0, 3), (MAP,), torch_call("aten.slice.Tensor", X, 1, None, 9)),
        Case(Part(4, 2), (MAP,), torch_call("aten.narrow.default", X, 1, 6, 3)),
        Case(Part(2, 0), (MAP,), torch_call("aten.slice.Tensor", LAST, 3, 0, -6)),
    )


class TestShuffle(LayerSuite):
    cases = (
        Case(Shuffle(2), (MAP,), torch_call("aten.channel_shuffle.default", X, 2)),
        Case(Shuffle(4), (MAP,), torch_call("aten.channel_shuffle.default", X, 4)),
    )


class TestCrop(LayerSuite):
    cases = (
        Case(Crop("height", step=2), (MAP,), torch_call("aten.slice.Tensor", X, 2, 0, 2**63 - 1, 2)),
        Case(Crop("width", 1, -2), (MAP,), torch_call("aten.slice.Tensor", X, -1, 1, 6)),
        Case(Crop("height", 2, -1, 3), (MAP,), torch_call("aten.slice.Tensor", LAST, 1, 2, -1, 3)),
    )


class TestPad(LayerSuite):
    cases = (
        Case(Pad(1, 2, 3, 4), (MAP,), torch_call("aten.pad.default", X, [3, 4, 1, 2])),
        Case(Pad(left=-1, right=2), (MAP,), torch_call("aten.constant_pad_nd.default", LAST, [0, 0, -1, 2])),
    )


class TestWiden(LayerSuite):
    cases = (
        Case(Widen(24, 6), (MAP,), torch_call("aten.pad.default", X, [0, 0, 0, 0, 6, 6], "constant", 0.0)),
        Case(Widen(13), (MAP,), torch_call("aten.constant_pad_nd.default", LAST, [0, 1])),
    )


class TestAffine(LayerSuite):
    cases = (
        Case(Affine(0.5), (MAP,), torch_call("aten.mul.Tensor", X, 0.5)),
        Case(Affine(offset=3.0), (MAP,), torch_call("aten.add.Tensor", X, 3)),
        Case(Affine(offset=-2.0), (MAP,), torch_call("aten.sub.Tensor", X, 2)),
        Case(Affine(0.25), (MAP,), torch_call("aten.div.Tensor", X, 4)),
        Case(Affine(2.0, -1.0), (MAP,)),
    )


class TestDropout(LayerSuite):
    cases = (
        Case(Dropout(0.2), (MAP,), torch_call("aten.dropout.default", X, 0.2, False)),
        Case(Dropout(scope="channels"), (MAP,), torch_call("aten.feature_dropout.default", X, 0.5, False)),
        Case(Dropout(0.1, "images"), (MAP,)),
    )


def test_every_kind_has_its_suite():
    tested = {case.layer.kind for suite in LayerSuite.__subclasses__() for case in suite.cases}
    assert tested == set(KINDS)


@pytest.mark.parametrize(
    "call",
    [
        torch_call("aten.mul.Tensor", X, 1.0),
        torch_call("aten.add.Tensor", X, 0),
        torch_call("aten.dropout.default", X, 0.0, False),
        torch_call("aten.slice.Tensor", X, 0, 0, 2**63 - 1),
        torch_call("aten.slice.Tensor", X, 1, 0, 2**63 - 1),
        torch_call("aten.slice.Tensor", X, 3),
        torch_call("aten.pad.default", X, [0, 0, 0, 0]),
        torch_call("aten.cat.default", (X,), 1),
        torch_call("aten.channel_shuffle.default", X, 1),
    ],
    ids=lambda call: call.name,
)
def test_what_computes_nothing_is_read_as_no_layer(call):
    kind = next(kind for kind in KINDS.values() if call.name in kind.torch_names)
    assert kind.read(call).layer is None


SPATIAL = Operand((3, 1, 9, 8))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (torch_call("aten.pad.default", X, [1, 1, 1, 1], "circular"), "mode='circular' is not supported"),
        (torch_call("aten.pad.default", X, [1, 1, 1, 1], "constant", 1.0), "padding with 1.0"),
        (torch_call("aten.pad.default", X, [1, 1, 0, 0, 1, 1]), "channels and pixels in one"),
        (torch_call("aten.conv2d.default", LAST, weights(4, 8, 1, 1)), "channels first"),
        (torch_call("aten.conv2d.default", X, Operand((4, 12, 1, 1))), "no parameter of the network"),
        (torch_call("aten.conv2d.padding", X, weights(4, 12, 2, 2), padding="same"), "even side"),
        (torch_call("aten.batch_norm.default", X, None, None, None, None, True, 0.1, 1e-5, True), "running statistics"),
        (torch_call("aten.layer_norm.default", X, [8], weights(8), weights(8, name="b")), "other axes than the channels"),
        (torch_call("aten.linear.default", X, weights(4, 8)), "no row of numbers"),
        (torch_call("aten.mul.Tensor", X, SPATIAL), "a gate has one number for each channel"),
        (torch_call("aten.mul.Tensor", X, weights(8)), "not one for each channel"),
        (torch_call("aten.add.Tensor", X, Operand((3, 12, 1, 1))), "different shapes"),
        (torch_call("aten.add.Tensor", X, weights(12, 1, 1)), "other is not computed from the image"),
        (torch_call("aten.add.Tensor", X, X, alpha=2), "alpha=2"),
        (torch_call("aten.div.Tensor", X, X), "div of two tensors"),
        (torch_call("aten.cat.default", (X, X), 2), "another axis than the channels"),
        (torch_call("aten.mean.dim", X, [2]), "other axes than height and width together"),
        (torch_call("aten.mean.dim", ROW, [1]), "other axes than height and width together"),
        (torch_call("aten.slice.Tensor", X, 0, 0, 1), "part of the batch"),
        (torch_call("aten.slice.Tensor", X, 1, 0, 12, 2), "every 2th channel"),
        (torch_call("aten.hardtanh.default", X, -1.0, 1.0), "min_val=-1.0"),
        (torch_call("aten.avg_pool2d.default", X, [2, 2], divisor_override=3), "divisor_override=3"),
        (torch_call("aten.max_pool2d_with_indices.default", X, [2, 2], part=1), "places of the largest"),
        (torch_call("aten.prelu.default", LAST, weights(9)), "each place along a side"),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else None,
)
def test_what_cannot_be_expressed_is_said(call, reason):
    kind = next(kind for kind in KINDS.values() if call.name in kind.torch_names)
    with pytest.raises(Unreadable, match=reason):
        kind.read(call)


def pairs(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(pairs(1, 12), pairs(1, 5), pairs(1, 4), pairs(0, 2), pairs(1, 3), st.booleans())
def test_windows_of_any_numbers(pixels, kernel, stride, padding, dilation, ceil_mode):
    """A layer either says that the map is too small, where torch refuses it too, or torch agrees."""
    margins = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
    layers = (
        conv(4, kernel, stride=stride, padding=padding, dilation=dilation, groups=2),
        depthwise(kernel, stride=stride, padding=padding, dilation=dilation),
        MaxPool(kernel, stride, margins, ceil_mode, dilation),
        WindowMean(kernel, stride, margins, ceil_mode),
    )
    for layer in layers:
        read = ((2, *pixels),)
        if layer.output_shape(read) is Verdict.SPATIAL_COLLAPSE:
            with pytest.raises(RuntimeError):
                layer.module(read)(torch.zeros(1, *read[0]))
        else:
            agree(layer, read)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(pairs(1, 7), pairs(0, 3), pairs(1, 2), st.integers(1, 10), st.booleans())
def test_kernels_of_any_numbers_shrink(kernel, padding, dilation, tenths, keeps_size):
    layer = conv(3, kernel, padding=padding, dilation=dilation)
    before, after = layer, layer.shrunk(Variable.KERNEL, tenths, keeps_size=keeps_size)
    assert max(sides(after.kernel)) <= max(sides(before.kernel))
    assert tenths < 10 or after == before
    shapes = [each.output_shape([(2, 20, 21)]) for each in (before, after)]
    assert not keeps_size or shapes[0] == shapes[1]
