import pytest

from n2n_gym.layers import (
    MAX_FC_INPUTS,
    Layer,
    LayerKind,
    Verdict,
    add,
    batch_norm,
    concat,
    conv,
    linear,
    max_pool,
)


def test_a_convolution_worked_by_hand():
    layer = conv(8, 3, stride=2, padding=1, bias=True)
    assert layer.output_shape([(3, 32, 17)]) == (8, 16, 9)
    assert layer.parameters([(3, 32, 17)]) == 8 * (3 * 9 + 1)
    assert layer.macs([(3, 32, 17)], (8, 16, 9)) == 8 * 16 * 9 * 3 * 9


def test_totals_of_the_other_kinds():
    assert linear(10).parameters([(4, 2, 2)]) == 10 * 17
    assert linear(10).macs([(4, 2, 2)], (10, 1, 1)) == 160
    assert batch_norm().parameters([(7, 5, 5)]) == 14
    assert max_pool().output_shape([(7, 5, 4)]) == (7, 2, 2)
    assert concat().output_shape([(3, 4, 4), (5, 4, 4)]) == (8, 4, 4)


@pytest.mark.parametrize(
    ("layer", "inputs", "reason"),
    [
        (conv(4, 5, padding=1), [(1, 2, 9)], Verdict.SPATIAL_COLLAPSE),
        (max_pool(), [(1, 1, 1)], Verdict.SPATIAL_COLLAPSE),
        (add(), [(4, 8, 8), (8, 8, 8)], Verdict.SHAPES_DO_NOT_FIT),
        (concat(), [(4, 8, 8), (4, 4, 4)], Verdict.SHAPES_DO_NOT_FIT),
        (linear(2), [(MAX_FC_INPUTS + 1, 1, 1)], Verdict.FC_TOO_LARGE),
    ],
)
def test_what_does_not_fit_has_its_reason(layer, inputs, reason):
    assert layer.output_shape(inputs) is reason


def test_the_largest_linear_layer_is_still_allowed():
    assert linear(2).output_shape([(MAX_FC_INPUTS, 1, 1)]) == (2, 1, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "conv", "kernel": 3, "stride": 0, "outputs": 4},
        {"kind": "conv", "kernel": 3, "stride": 1, "outputs": 0},
        {"kind": "conv", "kernel": 3, "stride": 1, "outputs": -4},
        {"kind": "conv", "kernel": 2.5, "stride": 1, "outputs": 4},
        {"kind": "max_pool", "kernel": 2, "stride": 2, "padding": 2},
        {"kind": "max_pool", "kernel": 2, "stride": 2, "outputs": 7},
        {"kind": "linear", "outputs": 3, "bias": 5},
        {"kind": "linear", "outputs": 3, "bias": "yes"},
        {"kind": "relu", "kernel": 3},
        {"kind": "spline"},
    ],
)
def test_impossible_layers_are_refused(fields):
    with pytest.raises(ValueError):
        Layer(**fields)


def test_only_numbers_that_a_kind_uses_are_written():
    assert batch_norm().to_json() == {"kind": "batch_norm"}
    assert Layer(**conv(4).to_json()) == conv(4)
    assert Layer("relu").kind is LayerKind.RELU
