"""What the values of a whole space say: its best, how noisy trainings are, how soon they tell who wins."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


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


def expected_maxima(values: Numbers, shares: Numbers, draws: int) -> Numbers:
    """What the highest of 1, 2, ... independent draws is on average, by the order statistics.

    Args:
        values: What may be drawn.
        shares: How probable each is; they add up to 1.
        draws: Up to how many.

    Returns:
        Shape (draws,).
    """
    distinct, inverse = np.unique(values, return_inverse=True)
    share = np.bincount(inverse.ravel(), weights=shares, minlength=len(distinct))
    below = np.minimum(np.cumsum(share), 1.0)
    trials = np.arange(1, draws + 1)[:, None]
    reached = below[None, :] ** trials
    return np.diff(reached, axis=1, prepend=0.0) @ distinct


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
