import pytest

from envs_tests.models.test_build import assert_torch_agrees
from n2n_gym.errors import InputError
from n2n_gym.networks.hand_designed import HAND_DESIGNED, hand_designed


@pytest.mark.parametrize(
    ("name", "parameters"), [("fitnet4", 1_210_026), ("squeezenet1.1", 727_626), ("vgg-small", 1_062_181)]
)
def test_sizes_of_table_3(name, parameters):
    """1.2M, 727K and 1.06M parameters with 10 classes."""
    network = hand_designed(name)
    assert network.parameters == parameters
    assert_torch_agrees(network)


@pytest.mark.parametrize("name", sorted(HAND_DESIGNED))
def test_for_other_images_and_classes(name):
    assert_torch_agrees(hand_designed(name, (1, 28, 28), 100))
    narrow = hand_designed(name, width=0.25)
    assert_torch_agrees(narrow)
    assert 12 < hand_designed(name).parameters / narrow.parameters < 17


def test_mobilenet_is_as_published():
    """Sizes of chenyaofo/pytorch-cifar-models' mobilenetv2_x0_5: 0.70 million parameters, 27.97 million MACs."""
    network = hand_designed("mobilenetv2x0.5")
    assert (network.parameters, network.macs) == (700_490, 27_969_024)
    assert sum(node.layer.kind == "depthwise" for node in network.nodes) == 17
    assert sum(node.layer.joins for node in network.nodes) == 10


def test_depths_of_table_3():
    convolutions = {
        name: sum(node.layer.kind == "conv" for node in hand_designed(name).nodes) for name in ("fitnet4", "vgg-small")
    }
    assert convolutions == {"fitnet4": 17, "vgg-small": 9}


def test_unknown_name():
    with pytest.raises(InputError, match="Did you mean 'fitnet4'"):
        hand_designed("fitnet")
