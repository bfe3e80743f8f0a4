import numpy as np
import pytest

from envs_tests.families import FAMILIES
from n2n_gym.architecture import Architecture, scaled_in_width
from n2n_gym.architecture.summary import LENGTH, summary
from n2n_gym.layers import MOST_CODES, conv, linear, max_pool, relu
from n2n_gym.networks.zoo import network

CHAIN = Architecture.chain([conv(12), relu(), conv(20, stride=2), max_pool(), linear(3)], (1, 16, 16), 3)


def test_it_says_sizes_kinds_and_where_layers_compute():
    numbers = summary(CHAIN)
    assert numbers.shape == (LENGTH,)
    totals, kinds, scales = numbers[:5], numbers[5 : 5 + MOST_CODES], numbers[5 + MOST_CODES :].reshape(8, 5)
    assert np.exp(totals) == pytest.approx([CHAIN.parameters, CHAIN.macs, CHAIN.fc_inputs, 12, 16])
    assert kinds.sum() == 5
    assert kinds[conv(12).code - 1] == 2
    assert scales[:3, :3].tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1]]  # a strided convolution computes where it puts out
    assert scales[0, 3] == pytest.approx(np.log(12))
    assert np.expm1(scales[:, 4]).sum() == pytest.approx(CHAIN.macs)


@pytest.mark.parametrize("name", FAMILIES)
def test_any_network_has_one_and_a_narrower_one_has_another(name):
    architecture = FAMILIES[name]()
    numbers = summary(architecture)
    assert numbers.shape == (LENGTH,)
    assert np.isfinite(numbers).all()


def test_it_tells_width_and_depth_apart():
    teacher = network("conv4", (1, 8, 8))
    narrower = summary(scaled_in_width(teacher, teacher.parameters // 3))
    kinds = slice(5, 5 + MOST_CODES)
    assert (narrower[kinds] == summary(teacher)[kinds]).all()
    assert (narrower[:2] < summary(teacher)[:2]).all()
