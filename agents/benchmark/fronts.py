"""The front of size and accuracy that a search found, judged by what is true of its students."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from agents.benchmark.exhaustive import Rows, TableTask
from agents.benchmark.tasks import Numbers
from n2n_gym.tables import SEARCH, TRUTH
from n2n_gym.tables.statistics import pareto_rows, random_draws

SIMULATED = 500
"""Random searches whose fronts are averaged: the volume of a front has no closed form."""


class Fronts:
    """Fronts of one table's students: no other one is both smaller and more accurate, by the trainings that a search sees.

    What a front is worth is the area under the steps of what is true of its students: accuracy on test images over how many
    times smaller than the teacher they are, by powers of ten.

    Args:
        task: On the table.
    """

    def __init__(self, task: TableTask) -> None:
        table = task.table
        self._rows = np.flatnonzero(task.counts)
        self._row_of = table.columns["row_of"]
        self._weights = table.episode_share[self._rows]
        self._parameters = table.columns["parameters"]
        self._seen = table.values("accuracy", SEARCH)
        self._true = table.values("accuracy", TRUTH)
        self._smaller: Numbers = np.log10(table.facts["teacher"]["parameters"] / np.maximum(self._parameters, 1))
        self._random: dict[int, float] = {}

    def volume(self, students: Sequence[int]) -> float:
        """What the front of some students is worth, given by the numbers of episodes."""
        return self._volume(np.unique(self._row_of[list(students)]).astype(np.intp))

    @cached_property
    def whole(self) -> float:
        """The most that a front can be worth: that of all students, with the truth known."""
        return self._area(self._rows)

    def random_search(self, budget: int) -> float:
        """What the fronts of random searches are worth, on average over `SIMULATED` ones."""
        if budget not in self._random:
            rng = np.random.default_rng(budget)
            found = [self._volume(self._rows[random_draws(self._weights, budget, rng)]) for _ in range(SIMULATED)]
            self._random[budget] = float(np.mean(found))
        return self._random[budget]

    def _volume(self, rows: Rows) -> float:
        front = pareto_rows(self._seen[rows], self._parameters[rows], np.ones(len(rows), dtype=np.bool_))
        return self._area(rows[front])

    def _area(self, rows: Rows) -> float:
        """The area under steps: for each factor of size, the accuracy of the best student that is at least so much smaller."""
        if not len(rows):
            return 0.0
        order = np.argsort(self._smaller[rows])
        smaller = self._smaller[rows][order]
        best = np.maximum.accumulate(self._true[rows][order][::-1])[::-1]
        return float(np.sum(best * np.diff(smaller, prepend=0.0)))
