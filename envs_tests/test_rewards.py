import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.rewards import accuracy_reward, compression_reward, naive_reward, paper_reward, reward_by_name


def evaluation(accuracy, parameters, reason=""):
    return Evaluation(accuracy, 0.8, parameters, 1000, 0, reason=reason)


def test_values_from_the_paper():
    """Appendix 11.1: R of A = 1, C = 0.25 and of A = 0.25, C = 1. (Its text has the two the wrong way round.)"""
    assert paper_reward(Evaluation(1.0, 1.0, 750, 1000, 0)) == pytest.approx(0.4375)
    assert paper_reward(Evaluation(0.25, 1.0, 0, 1000, 0)) == pytest.approx(0.25)
    assert naive_reward(Evaluation(1.0, 1.0, 750, 1000, 0)) == naive_reward(Evaluation(0.25, 1.0, 0, 1000, 0)) == 0.25


@pytest.mark.parametrize(("ratio", "expected"), [(5, 0.96), (10, 0.99), (20, 0.9975)])
def test_compression_reward(ratio, expected):
    assert paper_reward(Evaluation(0.8, 0.8, 1000 // ratio, 1000, 0)) == pytest.approx(expected)


@given(st.integers(1, 999), st.floats(0.01, 1.0))
def test_grows_with_accuracy_and_with_compression(parameters, accuracy):
    for reward in (paper_reward, naive_reward):
        value = reward(evaluation(accuracy, parameters))
        assert reward(evaluation(accuracy * 1.01, parameters)) > value
        assert reward(evaluation(accuracy, parameters - 1)) > value


def test_degenerate_students_get_minus_one():
    assert paper_reward(evaluation(0.9, 10, "empty")) == naive_reward(evaluation(0.9, 10, "empty")) == -1


def test_where_limits_say_how_small_it_must_be_accuracy_alone_counts():
    assert accuracy_reward(evaluation(0.4, 10)) == accuracy_reward(evaluation(0.4, 900)) == pytest.approx(0.5)
    assert accuracy_reward(evaluation(0.9, 10, "empty")) == -1


def test_where_limits_say_how_accurate_it_must_be_size_alone_counts():
    assert (
        compression_reward(evaluation(0.4, 10))
        == compression_reward(evaluation(0.7, 10))
        > compression_reward(evaluation(1, 20))
    )
    assert compression_reward(evaluation(0.9, 10, "empty")) == -1


def test_by_name():
    assert reward_by_name("paper") is paper_reward
    with pytest.raises(InputError, match="Did you mean 'naive'"):
        reward_by_name("naiv")
