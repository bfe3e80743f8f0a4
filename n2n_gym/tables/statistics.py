"""What the values of a whole space say: its best, what random search finds, how noisy trainings are, how soon they tell."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

STEP = 0.08
"""Of the integral over log time in `expected_choice`."""


def best_row(values: Numbers, feasible: Flags) -> int:
    """The row of the highest value that is feasible; of any, where none is."""
    return int(np.where(feasible | ~feasible.any(), values, -np.inf).argmax())


def pareto_rows(values: Numbers, sizes: npt.NDArray[np.integer[Any]], feasible: Flags) -> list[int]:
    """The feasible rows that no other one beats in both size and value, the smallest first."""
    front: list[int] = []
    for row in np.lexsort((-values, sizes)).tolist():
        if feasible[row] and (not front or values[row] > values[front[-1]]):
            front.append(row)
    return front


def expected_choice(truth: Numbers, weights: Numbers, draws: int) -> Numbers:
    """What random search's choice is worth on average, after it has drawn 1, 2, ... distinct students: exact.

    It draws one after the other without replacement, each time with probabilities in proportion to the weights of those that
    are left, and chooses the first in order of preference among the drawn.

    An equal process in continuous time, in which students arrive independently, i at rate w_i, has closed forms: none of a set
    B of rate W is among the first n arrivals if, when the first of B arrives (at a time T that is exponential of rate W), n
    others are there already; how many are, given T, is a sum of independent Bernoulli numbers. B grows by one student at a
    time, from the most preferred on, and what is left is the integral over T, by the trapezoidal rule over log T, which is
    exact to rounding for functions that are as smooth as these.

    Args:
        truth: What each student is worth, the most preferred first.
        weights: How probable each is at the first draw, in proportion.
        draws: Up to how many.

    Returns:
        Shape (draws,). Where there are fewer students than draws, the last ones are of all students.
    """
    rates = weights / weights.sum()
    log_time = np.arange(-16.0, np.log(60.0 / rates.min()), STEP)
    time = np.exp(log_time)
    arrived = np.zeros((len(time), draws + 1))  # how probable it is that 0, 1, ... of those not in B are there
    arrived[:, 0] = 1.0
    before = np.cumsum(rates) - rates  # the rate of all that are preferred to a student
    expected = np.zeros(draws)
    none_of_those_and_it = np.zeros(draws)
    for place in reversed(range(len(rates))):
        there = -np.expm1(-rates[place] * time)[:, None]
        arrived[:, 1:] = arrived[:, 1:] * (1 - there) + arrived[:, :-1] * there
        arrived[:, :1] *= 1 - there
        if place:
            density = before[place] * time * np.exp(-before[place] * time) * STEP
            none_of_those = density.sum() - np.cumsum(density @ arrived[:, :draws])
        else:
            none_of_those = np.ones(draws)
        expected += truth[place] * (none_of_those - none_of_those_and_it)
        none_of_those_and_it = none_of_those
    return expected


def random_draws(weights: Numbers, draws: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Distinct students in the order in which random search draws them, as `expected_choice` says.

    Args:
        weights: How probable each is at the first draw, in proportion.
        draws: How many; all, where there are fewer.
        rng: Random numbers.
    """
    return np.argsort(rng.exponential(size=len(weights)) / weights)[:draws]


def noise(accuracy: Numbers, rewards: Numbers) -> dict[str, Any]:
    """How much trainings of the same students differ by their seeds, and how well their first epochs tell the end.

    Args:
        accuracy: Shape (students, seeds, epochs).
        rewards: Shape (students, seeds).
    """
    final = accuracy[:, :, -1]
    several = rewards.shape[1] > 1
    return {
        "accuracy_std_over_seeds": _deviation(final) if several else None,
        "reward_std_over_seeds": _deviation(rewards) if several else None,
        "rank_correlation_between_seeds": _rank_correlation(combinations(rewards.T, 2)),
        "rank_correlation_of_epochs": [
            _rank_correlation(zip(accuracy[:, :, epoch].T, final.T, strict=True)) for epoch in range(accuracy.shape[2])
        ],
    }


def _deviation(values: Numbers) -> float:
    """The standard deviation over seeds: the root of the students' mean variance. Shape of values: (students, seeds)."""
    return float(values.var(axis=1, ddof=1).mean() ** 0.5)


def _rank_correlation(pairs: Iterable[tuple[Numbers, Numbers]]) -> float | None:
    """Spearman's rho, the mean over pairs whose values differ; None where there are none."""
    from scipy.stats import spearmanr

    found = [spearmanr(*pair).statistic for pair in pairs if all(np.ptp(values) > 0 for values in pair)]
    return float(np.mean(found)) if found else None
