import json

import pytest

from envs_tests.conftest import TOY
from n2n_gym.architecture import IMAGE, Architecture, Node, Verdict, remove
from n2n_gym.layers import add, batch_norm, conv, linear, relu
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
    assert remove(TOY, {3}).verdict() is Verdict.SHAPES_DO_NOT_FIT  # puts out a feature map, not 3 numbers
    assert remove(network("vgg11"), {3, 7}).verdict() is Verdict.FEASIBLE
    large = remove(network("vgg11"), (3, 7, 14, 21))
    assert large.verdict() is Verdict.FC_TOO_LARGE
    assert (large.parameters, large.macs, large.shapes) == (0, 0, ())


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
