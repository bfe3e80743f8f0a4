import pytest

from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.stages import RemovalStage
from n2n_gym.student import Student


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("vgg13", 9_416_010),  # the paper rounds to 9.4M
        ("resnet50", 23_520_842),
    ],
)
def test_published_sizes(name, parameters):
    assert network(name).parameters == parameters


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize(
    ("shape", "classes", "width"), [((1, 28, 28), 10, 0.25), ((5, 40, 33), 7, 1.5), ((3, 8, 8), 2, 0.001)]
)
def test_any_channels_classes_and_widths(name, shape, classes, width):
    architecture = network(name, shape, classes, width=width)
    assert architecture.verdict().feasible
    assert architecture.input_shape[0] == shape[0]
    assert architecture.shapes[-1] == (classes, 1, 1)


def test_small_images_are_enlarged_in_proportion():
    assert network("vgg11", (1, 8, 16)).input_shape == (1, 32, 64)
    assert network("conv4", (1, 8, 8)).input_shape == (1, 8, 8)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match=r"unknown teacher 'resnt18'. Did you mean 'resnet18'\? Known: conv4, "):
        network("resnt18")


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf")])
def test_width_must_be_positive(width):
    with pytest.raises(InputError, match="width must be greater than 0"):
        network("conv4", width=width)


def test_a_network_too_wide_to_be_shown_is_said():
    with pytest.raises(InputError, match="a layer's outputs exceeds 65536, .*; take a narrower network"):
        RemovalStage(Student(network("vgg13", width=1e9)))
