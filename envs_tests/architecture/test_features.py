import numpy as np
import pytest

from n2n_gym.architecture import Architecture, Variable, removal_decisions
from n2n_gym.architecture.features import COLUMNS, HIGH, decision_rows
from n2n_gym.layers import conv, linear
from n2n_gym.networks.zoo import ZOO, network


def rows_of(architecture):
    layers = [d.layer for d in removal_decisions(architecture)]
    return decision_rows(architecture, layers, [Variable.LAYER] * len(layers))


def test_rows_of_resnet18():
    rows = rows_of(network("resnet18"))
    assert rows.shape == (45, len(COLUMNS))
    np.testing.assert_array_equal(rows[0], [1, 3, 1, 1, 64, 0, 0, 0, 0])  # stem
    np.testing.assert_array_equal(rows[3], [1, 3, 1, 1, 64, 1, 5, 0, 0])  # first of its block's five layers
    np.testing.assert_array_equal(rows[7], [2, 0, 0, 0, 0, 5, 1, 0, 0])  # last of them
    np.testing.assert_array_equal(rows[13], [1, 3, 2, 1, 128, 1, 5, 0, 0])  # strided
    np.testing.assert_array_equal(rows[44], [6, 0, 0, 0, 10, 0, 0, 0, 0])


@pytest.mark.parametrize("name", ZOO)
def test_rows_stay_in_their_bounds(name):
    rows = rows_of(network(name, classes=257))
    assert (rows >= 0).all()
    assert (rows <= HIGH).all()


def test_a_layer_beyond_the_bounds_is_refused():
    with pytest.raises(ValueError, match="kernel exceeds 64"):
        rows_of(Architecture.chain([conv(2, 65), linear(2)], (1, 80, 80), 2))
