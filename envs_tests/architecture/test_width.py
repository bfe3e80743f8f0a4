"""A network scaled in width: what a student of its size is compared with."""

import pytest

from envs_tests.families import FAMILIES
from envs_tests.models.test_build import assert_torch_agrees
from n2n_gym.architecture import Architecture, output_groups, scaled_in_width
from n2n_gym.errors import InputError
from n2n_gym.layers import conv, linear
from n2n_gym.networks.beside import BESIDE, network_beside
from n2n_gym.networks.zoo import network

NETWORKS = {name: make() for name, make in FAMILIES.items()} | {
    name: network(name, (3, 32, 32), width=0.25) for name in ("conv4", "vgg11", "resnet18", "resnet50")
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("share", [0.03, 0.1, 0.5])
def test_the_narrowest_with_at_least_so_many_parameters(name, share):
    teacher = NETWORKS[name]
    wanted = int(share * teacher.parameters)
    scaled = scaled_in_width(teacher, wanted)
    assert wanted <= scaled.parameters < teacher.parameters
    assert_torch_agrees(scaled)
    assert [node.layer.kind for node in scaled.nodes] == [node.layer.kind for node in teacher.nodes]
    free = output_groups(teacher).values()
    before = [teacher.widths[group.layers[0]] for group in free]
    after = [scaled.widths[group.layers[0]] for group in free]
    factors = [new / old for old, new in zip(before, after, strict=True) if old > 8 * max(1, 8)]
    assert not factors or max(factors) - min(factors) < 0.15  # one factor for all, but for rounding


def test_one_that_is_no_larger_is_left():
    teacher = NETWORKS["conv4"]
    assert scaled_in_width(teacher, teacher.parameters) is teacher
    assert scaled_in_width(teacher, teacher.parameters + 1) is teacher


def test_beside_by_name():
    teacher = network("resnet18", (3, 32, 32))
    sizes = {name: network_beside(name, teacher, 300_000).parameters for name in BESIDE}
    assert {name: sizes[name] for name in ("resnet20", "resnet32", "resnet56")} == {
        "resnet20": 269_722,
        "resnet32": 464_154,
        "resnet56": 853_018,
    }
    assert 300_000 <= sizes["width-scaled"] < 320_000
    tiny = Architecture.chain([conv(4), linear(10)], (1, 4, 4), 10)
    with pytest.raises(InputError, match=r"squeezenet1.1 cannot stand beside the student: .* with images of 4 x 4"):
        network_beside("squeezenet1.1", tiny, 100)
