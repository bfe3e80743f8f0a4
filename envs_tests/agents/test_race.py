"""Who of several is the best: nobody leaves for bad luck, and who is worse for certain is trained no more."""

import numpy as np
import pytest

from agents.search.race import contenders


def test_one_training_each_says_nothing():
    assert contenders([[0.9], [0.1], [0.5]]) == [0, 1, 2]


def test_who_is_worse_for_certain_leaves():
    assert contenders([[0.90, 0.91], [0.70, 0.71], [0.905, 0.89]]) == [0, 2]
    assert contenders([[0.7, 0.9], [0.72, 0.88]]) == [0, 1]


@pytest.mark.parametrize("scores", [[[0.9, 0.9], [0.8, 0.8]], [[0.51], [0.50, 0.50]], [[0.3, 0.3 + 1e-12], [0.1, 0.1]]])
def test_trainings_that_happen_to_be_alike_prove_nothing(scores):
    """With few validation images they often are."""
    assert contenders(scores) == [0, 1]


def test_the_leader_by_its_first_training_can_be_overtaken():
    assert contenders([[0.95, 0.80, 0.80], [0.90, 0.90, 0.90], [0.5]]) == [0, 1]
    assert contenders([[0.95, 0.80, 0.80, 0.79], [0.96, 0.94, 0.95, 0.95]]) == [1]


@pytest.mark.parametrize("gap", [0.0, 0.02])
def test_the_best_is_seldom_lost(gap):
    """In three rounds among four, of which the first is better by `gap`; a training's spread is 0.01."""
    lost, trainings = 0, 0
    rng = np.random.default_rng(0)
    for _ in range(400):
        means = np.array([0.9 + gap, 0.9, 0.9, 0.9])
        scores = [[] for _ in means]
        racing = list(range(4))
        for _round in range(3):
            for each in racing:
                scores[each].append(rng.normal(means[each], 0.01))
                trainings += 1
            racing = [each for each in contenders(scores) if each in racing]
        lost += 0 not in racing
    assert lost / 400 < (0.3 if gap == 0 else 0.05)  # without a gap anybody may be lost
    assert trainings / 400 < (12 if gap == 0 else 11)
