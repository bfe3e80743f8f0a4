"""Whoever is left last in a branch gives the channels that its sum needs; what goes, goes whole."""

import numpy as np
import pytest
import torch

from n2n_gym.architecture import IMAGE, KEEP, REMOVE, Architecture, Node, apply_removals, cut, removal_decisions, remove
from n2n_gym.layers import Sigmoid, Verdict, add, avg_pool, batch_norm, concat, conv, linear, max_pool, multiply, relu
from n2n_gym.models.build import Network
from n2n_gym.networks.hand_designed import hand_designed
from n2n_gym.networks.zoo import network


def bottleneck(shortcut_first=False, projected=False):
    """Stem of 16 channels, then 16 -> 4 -> 4 -> 16 (or 32, where the shortcut is projected) with a shortcut."""
    ends = 32 if projected else 16
    nodes = [
        Node(conv(16), (IMAGE,)),  # 0
        Node(conv(4, 1), (0,)),  # 1
        Node(relu(), (1,)),  # 2
        Node(conv(4), (2,)),  # 3
        Node(relu(), (3,)),  # 4
        Node(conv(ends, 1), (4,)),  # 5
    ]
    other = 0
    if projected:
        nodes.append(Node(conv(ends, 1), (0,)))  # 6
        other = 6
    branch = 5
    nodes.append(Node(add(), (other, branch) if shortcut_first else (branch, other)))
    join = len(nodes) - 1
    nodes += [Node(relu(), (join,)), Node(avg_pool(), (join + 1,)), Node(linear(10), (join + 2,))]
    return Architecture(tuple(nodes), (3, 8, 8), 10)


@pytest.mark.parametrize("shortcut_first", [False, True])
@pytest.mark.parametrize("projected", [False, True])
def test_the_last_convolution_left_gives_the_channels(shortcut_first, projected):
    teacher = bottleneck(shortcut_first, projected)
    ends = 32 if projected else 16
    without_last = remove(teacher, {5})
    assert without_last.shapes
    assert without_last.nodes[3].layer == conv(ends)
    only_first = remove(teacher, {3, 5})
    assert [node.layer for node in only_first.nodes[:2]] == [conv(16), conv(ends, 1)]
    for gone in ({1}, {3}, {5}, {1, 3}, {1, 5}, {3, 5}):
        assert remove(teacher, gone).verdict() is Verdict.FEASIBLE


def test_a_branch_with_none_left_goes_as_a_whole_where_it_does_not_fit():
    left = cut(bottleneck(projected=True), {1, 3, 5})
    assert [node.layer.kind for node in left.architecture.nodes] == ["conv", "conv", "relu", "avg_pool", "linear"]
    assert left.origins == (0, 6, 8, 9, 10)
    fits = remove(bottleneck(), {1, 3, 5})  # its rectifiers still make 16 channels
    assert [node.layer.kind for node in fits.nodes] == ["conv", "relu", "add", "relu", "avg_pool", "linear"]


def test_a_shortcut_that_was_never_more_is_what_the_others_fit():
    nodes = (
        Node(conv(8), (IMAGE,)),
        Node(conv(16), (0,)),
        Node(conv(16), (1,)),
        Node(add(), (2, 1)),
        Node(avg_pool(), (3,)),
        Node(linear(2), (4,)),
    )
    student = remove(Architecture(nodes, (1, 8, 8), 2), {1})
    assert student.nodes[1].layer == conv(8)
    assert student.verdict() is Verdict.FEASIBLE


def test_sums_within_branches_give_their_channels_too():
    nodes = (
        Node(conv(16), (IMAGE,)),  # 0
        Node(conv(4), (0,)),  # 1
        Node(conv(4), (1,)),  # 2
        Node(add(), (2, 1)),  # 3: inside the branch
        Node(conv(16), (3,)),  # 4
        Node(add(), (4, 0)),  # 5
        Node(avg_pool(), (5,)),
        Node(linear(2), (6,)),
    )
    student = remove(Architecture(nodes, (1, 8, 8), 2), {4})
    assert [node.layer for node in student.nodes[1:3]] == [conv(16), conv(16)]
    assert student.verdict() is Verdict.FEASIBLE


def test_origins_say_where_each_layer_stood():
    teacher = network("resnet18", width=0.125)
    left = cut(teacher, {1, 3, 7})
    assert len(left.origins) == len(left.architecture.nodes)
    for node, origin in zip(left.architecture.nodes, left.origins, strict=True):
        assert type(node.layer) is type(teacher.nodes[origin].layer)
    assert not {1, 3, 7} & set(left.origins)


def joining(join, first, second, *more):
    """A convolution, two maps made of it, and a join of these: what each layer reads is said for the two."""
    nodes = [Node(conv(4), (IMAGE,)), Node(relu(), (0,)), *more, Node(join, (first, second))]
    return Architecture((*nodes, Node(avg_pool(), (len(nodes) - 1,)), Node(linear(2), (len(nodes),))), (1, 8, 8), 2)


@pytest.mark.parametrize("join", [add(), multiply(), concat()])
@pytest.mark.parametrize(
    "ends",
    [
        (1, 1),
        (0, 1),
        (1, 0),
        (1, 2, Node(relu(), (1,))),  # what is rectified once more is the same map
        (2, 1, Node(relu(), (1,))),
        (2, 3, Node(relu(), (1,)), Node(relu(), (1,))),
        (2, 3, Node(relu(), (1,)), Node(Sigmoid(), (2,))),
        (1, 2, Node(Sigmoid(), (1,))),
    ],
)
def test_what_is_kept_computes_the_same(join, ends):
    """A join goes with what it reads; one that read a map twice, as a square does, or a map and its own gate, stays."""
    teacher = joining(join, *ends)
    student = apply_removals(teacher, [KEEP] * len(removal_decisions(teacher)))
    assert [node.layer.kind for node in student.nodes].count(join.kind) == 1
    torch.manual_seed(0)
    images, before = torch.randn(3, 1, 8, 8), Network(teacher).eval()
    after = Network(student).eval()
    weights = [layer.state_dict() for layer in before.layers if layer.state_dict()]
    for layer, state in zip((layer for layer in after.layers if layer.state_dict()), weights, strict=True):
        layer.load_state_dict(state)
    torch.testing.assert_close(after(images), before(images))


def test_a_square_goes_with_the_map():
    teacher = joining(multiply(), 1, 1)
    assert "multiply" in [node.layer.kind for node in remove(teacher, {1}).nodes]
    gated = joining(multiply(), 1, 0)  # where only the gate is left, nothing is
    assert "multiply" not in [node.layer.kind for node in remove(gated, {1}).nodes]


def protected(architecture):
    return {d.layer for d in removal_decisions(architecture) if d.protected}


def test_what_makes_the_classes_is_protected():
    squeezenet = hand_designed("squeezenet1.1")
    classifier = len(squeezenet.nodes) - 3
    assert squeezenet.nodes[classifier].layer.outputs == 10
    assert classifier in protected(squeezenet)
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = rng.integers(0, 2, len(removal_decisions(squeezenet))).tolist()
        assert apply_removals(squeezenet, actions).verdict() is Verdict.FEASIBLE


def test_in_a_block_what_changes_the_size_is_protected():
    branches = (Node(max_pool(), (0,)), Node(conv(4, 1, stride=2, padding=0), (0,)))
    nodes = (Node(conv(4), (IMAGE,)), *branches, Node(concat(), (1, 2)), Node(batch_norm(), (3,)), Node(linear(2), (4,)))
    architecture = Architecture(nodes, (1, 8, 8), 2)
    assert protected(architecture) >= set(architecture.main_path) & {1, 2}
    assert apply_removals(architecture, [REMOVE] * len(removal_decisions(architecture))).verdict() is Verdict.FEASIBLE


@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_no_student_of_a_bottleneck_network_has_branches_that_do_not_fit(name):
    teacher = network(name, width=0.0625)
    decisions = len(removal_decisions(teacher))
    rng = np.random.default_rng(0)
    for share in (0.02, 0.2, 0.5, 0.8):
        for _ in range(10):
            student = apply_removals(teacher, (rng.random(decisions) < share).astype(int).tolist())
            assert student.verdict() is Verdict.FEASIBLE
