"""Whether linear inequalities can hold together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

ROUNDING = 1e-9
"""A contradiction must be larger than this share of the numbers that it is made of: what cannot be told from their rounding
counts as possible."""

SCALINGS = 10


def contradictory(weights: Numbers, bounds: Numbers, lows: Numbers, highs: Numbers) -> bool:
    """Whether it is proven that no point of a box has all weighted sums within their bounds.

    A linear programme finds by how much they must be exceeded at least. Its dual solution says which of them to add up, and
    how many times each, for a sum that exceeds its bound wherever the point lies; that is then computed from what was given.

    Args:
        weights: Shape (inequalities, variables).
        bounds: What each weighted sum may be at most, shape (inequalities).
        lows: The variables' lower ends, finite, shape (variables).
        highs: Their upper ends, infinite where there is none, shape (variables).
    """
    from scipy.optimize import linprog

    ended = highs < np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.column_stack([weights, bounds - weights @ lows])
        ends = np.column_stack([np.eye(len(lows))[ended], (highs - lows)[ended]])
    system = np.vstack([rows, ends])  # of each variable's distance from its lower end
    if not np.isfinite(system).all():
        return False
    row_units, column_units = _units(system)
    system = system * row_units * column_units
    cost = np.eye(len(lows) + 1)[-1]
    slack = np.full((len(system), 1), -1.0)
    found = linprog(cost, A_ub=np.hstack([system[:, :-1], slack]), b_ub=system[:, -1], bounds=(0, None))
    if found.status != 0:
        return False
    times = np.maximum(-found.ineqlin.marginals[: len(bounds)], 0.0) * row_units[: len(bounds), 0]
    return _exceeds(times, weights, bounds, lows, highs)


def _exceeds(times: Numbers, weights: Numbers, bounds: Numbers, lows: Numbers, highs: Numbers) -> bool:
    """Whether the inequalities, each so many times, add up to one that is exceeded all over the box."""
    sums, sizes = times @ weights, times @ np.abs(weights)
    sums = np.where((np.abs(sums) <= ROUNDING * sizes) & np.isinf(highs), 0.0, sums)
    corner = np.where(sums < 0, highs, lows)
    least = sums @ corner
    return bool(least > times @ bounds + ROUNDING * (times @ np.abs(bounds) + sizes @ np.abs(corner)))


def _units(system: Numbers) -> tuple[Numbers, Numbers]:
    """Factors of rows, shape (rows, 1), and of columns, (1, columns), that bring the numbers of a system near to 1."""
    sizes = np.ma.log(np.abs(system))
    units = [np.zeros((len(system), 1)), np.zeros((1, system.shape[1]))]
    for _ in range(SCALINGS):
        for axis, unit in zip((1, 0), units, strict=True):
            scaled = sizes + units[0] + units[1]
            unit -= np.ma.filled((scaled.max(axis, keepdims=True) + scaled.min(axis, keepdims=True)) / 2, 0.0)
    return np.exp(units[0]), np.exp(units[1])
