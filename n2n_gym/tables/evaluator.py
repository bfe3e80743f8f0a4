"""Looks students up in a finished table instead of training them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Actions, Evaluation
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.tables.table import MEAN, Seed, Table

DRAW = "draw"
TABLE_SEEDS = (MEAN, DRAW)


class TableEvaluator(Evaluator):
    """Answers from a table.

    Args:
        table: It.
        seed: Which of a student's trainings counts: that of one seed, the `mean` over all, or one that is drawn for each
            episode (`draw`), so that an agent meets the noise of real training.

    Raises:
        InputError: If no student was trained with that seed.
    """

    def __init__(self, table: Table, seed: Seed = MEAN) -> None:
        self.table = table
        self.seed = seed
        self._known: dict[tuple[int, int], Evaluation] = {}
        self._places = tuple(range(len(table.seeds))) if seed == DRAW else (table.place_of(seed),)

    @property
    def teacher(self) -> Architecture:
        return self.table.teacher

    def context(self) -> dict[str, Any]:
        return {"evaluator": "table", "table": self.table.facts, "seed": self.seed}

    def stream(self, students: Sequence[Architecture]) -> Iterator[tuple[int, Evaluation]]:
        if len(self._places) > 1:
            raise InputError("which training counts is drawn for an episode, not for an architecture; give a seed or 'mean'")
        for index, student in enumerate(students):
            yield index, self._evaluation(self.table.row_of(student), self._places[0])

    def evaluate_episodes(
        self, student: Callable[[Actions], Architecture], episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]
    ) -> list[Evaluation]:
        rows = self.table.rows(episodes).tolist()
        if len(self._places) == 1:
            [place] = self._places
            return [self._evaluation(row, place) for row in rows]
        places = (int(rng.integers(len(self._places))) for rng in rngs)
        return [self._evaluation(row, place) for row, place in zip(rows, places, strict=True)]

    def _evaluation(self, row: int, place: int) -> Evaluation:
        """What training would say: nothing of test images."""
        known = self._known.get((row, place))
        if known is None:
            known = self._known[row, place] = replace(self.table.evaluation_at(row, place), test_accuracy=None)
        return known
