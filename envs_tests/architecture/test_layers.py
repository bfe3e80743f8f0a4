import pytest

from n2n_gym.layers import (
    KINDS,
    MOST_CODES,
    Layer,
    Relu,
    Verdict,
    add,
    batch_norm,
    concat,
    conv,
    layer_from_json,
    linear,
    max_pool,
    register,
    relu,
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
    ],
)
def test_what_does_not_fit_has_its_reason(layer, inputs, reason):
    assert layer.output_shape(inputs) is reason


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
        {"kind": "conv", "stride": 1, "outputs": 4},
        {"outputs": 4},
    ],
)
def test_impossible_layers_are_refused(fields):
    with pytest.raises(ValueError):
        layer_from_json(fields)


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown kind of layer 'batchnorm'. Did you mean 'batch_norm'\? Known: conv, "):
        layer_from_json({"kind": "batchnorm"})


def test_only_numbers_that_differ_from_their_default_are_written():
    assert batch_norm().to_json() == {"kind": "batch_norm"}
    assert conv(4, 1).to_json() == {"kind": "conv", "kernel": 1, "stride": 1, "outputs": 4}
    assert layer_from_json(conv(4).to_json()) == conv(4)
    assert layer_from_json({"kind": "relu"}) == relu()


def test_codes_are_fixed_and_leave_room():
    codes = {"conv": 1, "batch_norm": 2, "relu": 3, "max_pool": 4, "avg_pool": 5, "linear": 6, "add": 7, "concat": 8}
    assert {name: KINDS[name].code for name in codes} == codes
    assert all(1 <= kind.code <= MOST_CODES for kind in KINDS.values())


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        ({"kind": "relu", "code": 60}, "the same name"),
        ({"kind": "other", "code": 3}, "the same code"),
        ({"kind": "other", "code": 60, "torch_names": ("aten.x", "aten.relu.default")}, "torch name aten.relu.default"),
        ({"kind": "other", "code": MOST_CODES + 1}, "from 1 to"),
    ],
)
def test_no_two_kinds_claim_the_same(claims, what):
    other = type("Other", (Relu,), {"torch_names": (), **claims})
    with pytest.raises(ValueError, match=what):
        register(other)
    assert other not in KINDS.values()


@pytest.mark.parametrize(
    ("says", "what"),
    [
        ({"kind": "other"}, "Other: a kind of layer has a line like code: ClassVar"),
        ({"code": 60}, "Other: a kind of layer has a line like kind: ClassVar"),
        ({"kind": "other", "code": "60"}, "line like code: ClassVar.int. = "),
        ({"kind": "other", "code": 60}, "line like colour: "),
        ({"kind": "other", "code": 60, "colour": "red", "torch_names": "aten.x"}, "must be a tuple of texts"),
    ],
)
def test_a_kind_says_what_it_must(says, what):
    other = type("Other", (Layer,), says)
    with pytest.raises(ValueError, match=what):
        register(other)
    assert other not in KINDS.values()


def test_a_class_that_is_defined_again_takes_its_former_place():
    def cell(**says):
        return register(type("InACell", (Relu,), {"code": 60, "torch_names": ("aten.x",), **says}))

    known = dict(KINDS)
    try:
        cell(kind="first")
        again = cell(kind="first")
        assert {**known, "first": again} == KINDS
        with pytest.raises(ValueError, match="the same code"):
            cell(kind="second", code=3)
        assert {**known, "first": again} == KINDS
        renamed = cell(kind="second")
        assert {**known, "second": renamed} == KINDS
    finally:
        for name in KINDS.keys() - known.keys():
            del KINDS[name]


def test_one_class_for_each_kind():
    assert len(set(KINDS.values())) == len(KINDS)
    assert all(issubclass(kind, Layer) and kind.kind == name for name, kind in KINDS.items())
