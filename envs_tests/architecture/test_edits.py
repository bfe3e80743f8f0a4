import pytest

from envs_tests.conftest import TOY
from n2n_gym.architecture import (
    FACTORS,
    IMAGE,
    KEEP,
    REMOVE,
    Architecture,
    Node,
    Variable,
    apply_removals,
    apply_shrinkages,
    removal_decisions,
    remove,
    shrink_decisions,
)
from n2n_gym.layers import Verdict, add, concat, conv, linear, max_pool, relu
from n2n_gym.networks.zoo import network


@pytest.mark.parametrize(
    ("name", "decisions", "free"),
    [("conv4", 16, 13), ("vgg19", 54, 51), ("resnet18", 45, 39), ("resnet34", 85, 79), ("resnet50", 133, 127)],
)
def test_stage_1_decisions(name, decisions, free):
    found = removal_decisions(network(name))
    assert (len(found), sum(not d.protected for d in found)) == (decisions, free)


def test_what_is_protected_in_resnet18():
    architecture = network("resnet18")
    protected = [architecture.nodes[d.layer].layer for d in removal_decisions(architecture) if d.protected]
    assert [layer.kind for layer in protected] == ["conv", "conv", "conv", "conv", "avg_pool", "linear"]
    assert [layer.stride for layer in protected[1:4]] == [2, 2, 2]


def test_of_several_pools_only_the_last_is_protected():
    found = removal_decisions(network("vgg11"))
    pools = [d.protected for d in found if network("vgg11").nodes[d.layer].layer.kind == "max_pool"]
    assert pools == [False, False, False, False, True]


def test_removing_refits_what_follows():
    student = apply_removals(TOY, [KEEP, KEEP, REMOVE, KEEP])  # the last pool is protected
    assert student == TOY
    wide = remove(TOY, {2})
    assert wide.parameters == 12 * 10 + 3 * (12 * 64 + 1)
    assert [node.inputs for node in wide.nodes] == [(-1,), (0,), (1,)]


def test_protected_layers_stay_whatever_the_actions():
    architecture = network("resnet18")
    student = apply_removals(architecture, [REMOVE] * 45)
    kinds = [node.layer.kind for node in student.nodes]
    assert kinds.count("conv") == 4 + 3  # stem, three strided, three projections
    assert student.verdict(architecture) is Verdict.FEASIBLE


def test_an_emptied_block_leaves_its_shortcut_and_no_second_rectifier():
    nodes = [Node(conv(4), (IMAGE,)), Node(relu(), (0,)), Node(conv(4), (1,)), Node(add(), (2, 1)), Node(relu(), (3,))]
    architecture = Architecture((*nodes, Node(linear(2), (4,))), (1, 4, 4), 2)
    assert [node.layer.kind for node in remove(architecture, {2}).nodes] == ["conv", "relu", "linear"]


def test_actions_are_checked():
    for actions in ([0] * 3, [0] * 5, [0, 0, 2, 0], [0, -1, 0, 0]):
        with pytest.raises(ValueError, match="expected 4 actions"):
            apply_removals(TOY, actions)


def test_stage_2_decisions_of_a_chain():
    decisions = shrink_decisions(TOY)
    assert [(d.variable, d.layers) for d in decisions] == [
        (Variable.KERNEL, (0,)),
        (Variable.PADDING, (0,)),
        (Variable.OUTPUTS, (0,)),
    ]


@pytest.mark.parametrize(
    ("factor", "kernel", "padding", "outputs"),
    [(0.1, 1, 0, 10), (0.4, 1, 0, 10), (0.5, 2, 1, 10), (0.8, 2, 1, 10), (0.9, 3, 1, 11), (1.0, 3, 1, 12)],
)
def test_rounding_is_half_up_and_has_its_floors(factor, kernel, padding, outputs):
    layer = apply_shrinkages(TOY, [FACTORS.index(factor)] * 3).nodes[0].layer
    assert (layer.kernel, layer.padding, layer.outputs) == (kernel, padding, outputs)


def test_a_narrow_layer_is_not_widened_to_the_floor():
    narrow = Architecture.chain([conv(6), linear(3)], (1, 8, 8), 3)
    assert apply_shrinkages(narrow, [9, 9, 0]).nodes[0].layer.outputs == 6


def test_channels_that_meet_in_a_sum_are_one_decision():
    architecture = network("resnet18")
    decisions = shrink_decisions(architecture)
    outputs = [d.layers for d in decisions if d.variable is Variable.OUTPUTS]
    assert (0, 6, 13) in outputs  # stem and the ends of both blocks of the first stage
    meeting = [layers for layers in outputs if len(layers) > 1]
    assert len(meeting) == 4
    assert len(outputs) == 4 + 8
    assert sum(map(len, outputs)) == sum(node.layer.kind == "conv" for node in architecture.nodes)
    assert not any(d.variable is Variable.PADDING and d.layers != (0,) for d in decisions)


def test_in_a_block_the_kernel_stays_odd_and_takes_its_padding_along():
    architecture = network("resnet18")
    for factor in FACTORS:
        student = apply_shrinkages(architecture, [FACTORS.index(factor)] * len(shrink_decisions(architecture)))
        layer = student.nodes[3].layer
        assert (layer.kernel, layer.padding) in {(1, 0), (3, 1)}
        assert student.verdict() is Verdict.FEASIBLE


def test_shrinking_after_removal_still_agrees():
    teacher = network("resnet18")
    actions = [REMOVE if i % 5 in (0, 3) else KEEP for i in range(45)]
    student = apply_removals(teacher, actions)
    for factor in (0, 4, 9):
        shrunk = apply_shrinkages(student, [factor] * len(shrink_decisions(student)))
        assert shrunk.verdict() is Verdict.FEASIBLE


def test_channels_fixed_by_a_concatenation_or_the_image_are_not_free():
    nodes = (
        Node(conv(4, 1), (IMAGE,)),
        Node(conv(4, 1), (IMAGE,)),
        Node(concat(), (0, 1)),
        Node(conv(8, 1), (2,)),
        Node(add(), (3, 2)),
        Node(max_pool(), (4,)),
        Node(linear(2), (5,)),
    )
    assert shrink_decisions(Architecture(nodes, (1, 4, 4), 2)) == ()
    to_image = Architecture((Node(conv(3, 1), (IMAGE,)), Node(add(), (0, IMAGE)), Node(linear(2), (1,))), (3, 4, 4), 2)
    assert shrink_decisions(to_image) == ()


def test_a_plain_concatenation_leaves_its_branches_free():
    nodes = (Node(conv(12, 1), (IMAGE,)), Node(conv(14, 1), (IMAGE,)), Node(concat(), (0, 1)), Node(linear(2), (2,)))
    architecture = Architecture(nodes, (1, 4, 4), 2)
    assert [d.layers for d in shrink_decisions(architecture)] == [(0,), (1,)]
    assert apply_shrinkages(architecture, [0, 0]).shapes[2] == (20, 4, 4)
