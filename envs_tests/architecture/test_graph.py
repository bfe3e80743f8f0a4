import json

import pytest

from envs_tests.conftest import TOY
from n2n_gym.architecture import IMAGE, Architecture, Node, removal_decisions, remove, shrink_decisions
from n2n_gym.layers import Verdict, add, batch_norm, concat, conv, linear, relu
from n2n_gym.networks.zoo import network


def test_toy_worked_by_hand():
    assert TOY.shapes == ((12, 8, 8), (12, 8, 8), (12, 4, 4), (3, 1, 1))
    assert TOY.parameters == 12 * (9 + 1) + 3 * (12 * 16 + 1)
    assert TOY.macs == 12 * 64 * 9 + 3 * 12 * 16
    assert TOY.verdict() is Verdict.FEASIBLE


def test_json_both_ways_keeps_fingerprint_and_hash():
    for architecture in (TOY, network("resnet18")):
        again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
        assert again == architecture
        assert hash(again) == hash(architecture)
        assert again.fingerprint == architecture.fingerprint


def test_fingerprints_differ_where_anything_does():
    variants = [TOY, network("conv4", (1, 8, 8), 3), remove(TOY, {1}), Architecture(TOY.nodes, (2, 8, 8), 3)]
    variants += [network("resnet18"), network("resnet18", width=0.5), network("resnet18", classes=11)]
    assert len({variant.fingerprint for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"layers": [{"kind": "conv"}]},
        {"layers": [5]},
        {"layers": "abc"},
        {"layers": {"a": 1}},
        {"layers": [{"kind": "relu", "inputs": [0.0]}]},
        {"layers": [{"kind": "relu", "inputs": [0]}]},
        {"layers": [{"kind": "relu", "inputs": [-1, -1]}]},
        {"layers": [{"kind": "add", "inputs": [-1]}]},
        {"layers": [{"kind": "relu", "inputs": [-1], "colour": 1}]},
        {"input_shape": [1, 8]},
        {"classes": "3"},
    ],
)
def test_what_is_no_architecture_is_refused(change):
    with pytest.raises(ValueError):
        Architecture.from_json({**TOY.to_json(), **change})


def test_verdicts():
    assert remove(TOY, range(4)).verdict() is Verdict.EMPTY
    assert Architecture.chain([relu()], (3, 1, 1), 3).verdict() is Verdict.EMPTY
    assert TOY.verdict(TOY) is Verdict.NOT_SMALLER
    assert remove(TOY, {0}).verdict(TOY) is Verdict.FEASIBLE
    assert remove(TOY, {3}).verdict() is Verdict.CLASSES_DO_NOT_FIT  # puts out a feature map, not 3 numbers
    assert remove(network("vgg11"), {3, 7}).verdict() is Verdict.FEASIBLE
    large = remove(network("vgg11"), (3, 7, 14, 21))
    assert large.verdict(network("vgg11")) is Verdict.FC_TOO_LARGE
    assert large.verdict() is Verdict.FEASIBLE  # the teacher is the measure


def test_the_teachers_own_linear_layer_is_the_measure():
    for side, pools, verdict in ((32, 4, Verdict.FC_TOO_LARGE), (224, 2, Verdict.FC_TOO_LARGE), (224, 1, Verdict.FEASIBLE)):
        teacher = network("vgg11", (3, side, side))
        found = [i for i, node in enumerate(teacher.nodes) if node.layer.pools][:pools]
        convolutions = [i for i, node in enumerate(teacher.nodes) if node.layer.kind == "conv"]
        assert remove(teacher, {*found, *convolutions[-2:]}).verdict(teacher) is verdict, (side, pools)


def test_spatial_collapse():
    assert Architecture.chain([conv(4, 9, padding=0), linear(3)], (1, 8, 8), 3).verdict() is Verdict.SPATIAL_COLLAPSE


def test_a_block_and_its_paths():
    nodes = (
        Node(conv(4), (IMAGE,)),  # 0
        Node(conv(4), (0,)),  # 1
        Node(relu(), (1,)),  # 2
        Node(conv(4, 1), (0,)),  # 3: projection
        Node(batch_norm(), (3,)),  # 4
        Node(add(), (2, 4)),  # 5
        Node(relu(), (5,)),  # 6
        Node(linear(3), (6,)),  # 7
    )
    architecture = Architecture(nodes, (1, 4, 4), 3)
    [block] = architecture.blocks
    assert (block.join, block.members, block.path) == (5, {1, 2, 3, 4}, (1, 2))
    assert architecture.main_path == (0, 1, 2, 5, 6, 7)
    assert [architecture.is_block_activation(i) for i in (2, 6)] == [False, True]


def test_an_unread_layer_and_an_unknown_kind_are_named():
    with pytest.raises(ValueError, match="nothing reads layer 1, relu"):
        Architecture((Node(conv(4), (IMAGE,)), Node(relu(), (0,)), Node(linear(3), (0,))), (1, 4, 4), 3)
    data = TOY.to_json()
    data["layers"][2] = {"kind": "pool", "inputs": [1]}
    with pytest.raises(ValueError, match=r"layer 2: unknown kind of layer 'pool'. Did you mean 'max_pool'\? Known: "):
        Architecture.from_json(data)


def mirrored(architecture):
    """The same network with the operands of every sum and concatenation the other way round."""
    nodes = tuple(Node(node.layer, node.inputs[::-1]) for node in architecture.nodes)
    return Architecture(nodes, architecture.input_shape, architecture.classes)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_main_path_is_the_longest_branch_whichever_operand_comes_first(name):
    teacher = network(name, width=0.25)
    other = mirrored(teacher)
    assert other.main_path == teacher.main_path
    assert [block.path for block in other.blocks] == [block.path for block in teacher.blocks]
    assert removal_decisions(other) == removal_decisions(teacher)
    assert shrink_decisions(other) == shrink_decisions(teacher)


def test_of_branches_of_one_length_the_larger_one_counts():
    for first, second in ((1, 3), (3, 1)):
        branches = (Node(conv(4, first), (0,)), Node(conv(4, second), (0,)))
        nodes = (Node(conv(4), (IMAGE,)), *branches, Node(concat(), (1, 2)), Node(linear(2), (3,)))
        path = Architecture(nodes, (1, 4, 4), 2).main_path
        assert path == (0, 1 if first == 3 else 2, 3, 4)
