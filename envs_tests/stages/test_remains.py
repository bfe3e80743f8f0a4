import numpy as np
import pytest

from envs_tests.families import FAMILIES
from n2n_gym.architecture import FACTORS, Architecture, Variable
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.student import Student

TEACHER = Architecture.chain([conv(20), relu(), conv(30, 5, padding=2), relu(), max_pool(), linear(3)], (1, 8, 8), 3)


def test_what_is_removed_is_gone():
    stage = RemovalStage(Student(TEACHER))
    kept = [0, 0, 1, 1, 0, 0]
    assert stage.remains(stage.student(kept)).tolist() == [1, 1, 0, 0, 1, 1]


def test_what_is_shrunk_remains_in_part_and_rounding_makes_no_difference():
    stage = ShrinkStage(Student(TEACHER))
    keep = [stage.keep] * stage.decisions
    assert stage.remains(stage.student(keep)).tolist() == [1] * stage.decisions
    position = max(i for i, variable in enumerate(stage.variables) if variable is Variable.OUTPUTS)
    half = [*keep[:position], FACTORS.index(0.5), *keep[position + 1 :]]
    assert stage.remains(stage.student(half))[position] == 0.5
    kernel = stage.variables.index(Variable.KERNEL)
    same = [[*keep[:kernel], action, *keep[kernel + 1 :]] for action in (0, 1)]  # of 3 pixels 0.1 and 0.2 both leave one
    assert stage.student(same[0]).architecture == stage.student(same[1]).architecture
    assert stage.remains(stage.student(same[0])).tolist() == stage.remains(stage.student(same[1])).tolist()


@pytest.mark.parametrize("name", FAMILIES)
def test_it_lies_between_nothing_and_all(name):
    rng = np.random.default_rng(0)
    for stage in (RemovalStage(Student(FAMILIES[name]())), ShrinkStage(Student(FAMILIES[name]()))):
        for _ in range(5):
            remains = stage.remains(stage.student(stage.trend(rng)))
            assert remains.shape == (stage.decisions,)
            assert (remains >= 0).all()
            assert (remains <= 1).all()
