"""Looks students up in a finished table instead of training them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import EVALUATORS, EvaluationSettings, Evaluator, Order
from n2n_gym.stages.base import Stage
from n2n_gym.student import Actions, Student
from n2n_gym.tables.table import MEAN, SEARCH, Seed, Table, table_of

DRAW = "draw"
TABLE_SEEDS = (SEARCH, DRAW, MEAN)


class TableEvaluator(Evaluator):
    """Answers from a table.

    Args:
        table: It.
        seed: Which of a student's trainings count: `search`, the mean over those that a search may see; one of these, drawn
            for each episode (`draw`), so that an agent meets the noise of real training; `mean`, over all, those among them
            that say what a student is worth; or the training of one seed.

    Raises:
        InputError: If no student was trained with that seed.
    """

    def __init__(self, table: Table, seed: Seed = SEARCH) -> None:
        self.table = table
        self.seed = seed
        self._known: dict[tuple[int, Seed], Evaluation] = {}
        self._drawn: tuple[int, ...] = ()
        if seed == DRAW:
            self._drawn = table.seeds[table.trainings(SEARCH)]
        else:
            _ = table.trainings(seed)

    @property
    def teacher(self) -> Architecture:
        return self.table.teacher

    def context(self) -> dict[str, Any]:
        return {"evaluator": "table", "table": self.table.facts, "seed": self.seed}

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        if self._drawn:
            raise InputError("which training counts is drawn for an episode, not for an architecture; give a seed or 'search'")
        for index, student in enumerate(students):
            yield index, self._evaluation(self.table.row_of(student.architecture), self.seed)

    def evaluate_episodes(
        self, student: Callable[[Actions], Student], episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]
    ) -> list[Evaluation]:
        rows = self.table.rows(episodes).tolist()
        if not self._drawn:
            return [self._evaluation(row, self.seed) for row in rows]
        seeds = (self._drawn[int(rng.integers(len(self._drawn)))] for rng in rngs)
        return [self._evaluation(row, seed) for row, seed in zip(rows, seeds, strict=True)]

    def _evaluation(self, row: int, seed: Seed) -> Evaluation:
        """What training would say: nothing of test images."""
        known = self._known.get((row, seed))
        if known is None:
            known = self._known[row, seed] = replace(self.table.evaluation(row, seed), test_accuracy=None)
        return known


def uses_table(settings: EvaluationSettings) -> bool:
    """Whether settings have students looked up."""
    if isinstance(settings.evaluator, str):
        return EVALUATORS.look_up(settings.evaluator)[0] is _table_evaluator
    return isinstance(settings.evaluator, TableEvaluator)


def table_in(settings: EvaluationSettings, stage: str) -> Table:
    """The table that settings have the students of a stage looked up in.

    Raises:
        InputError: If there is none.
    """
    if isinstance(settings.evaluator, TableEvaluator):
        return settings.evaluator.table
    _, name = EVALUATORS.look_up(str(settings.evaluator))
    return Table.load(name) if name else table_of(settings.problem, stage)


def check_table(table: Table, settings: EvaluationSettings, stage: Stage) -> None:
    """Refuse a table of other students than a stage's.

    Raises:
        InputError: If its stage, problem, recipe or base is another.
    """
    facts, problem = table.facts, settings.problem
    same_data = (problem.data.identity, problem.train_size) == (facts["data"], facts["problem"]["train_size"])
    if table.stage != stage.name or table.teacher != problem.architecture or not same_data:
        arguments = ", ".join(f"{name}={value!r}" for name, value in facts["problem"].items())
        raise InputError(f"{table} is of stage {table.stage} with {arguments}; the environment is of another problem")
    problem.check_teacher(facts["teacher"].get("identity", ""), table)
    if settings.recipe != facts["recipe"]["name"]:
        raise InputError(f"{table} was made by {other_recipe(facts['recipe']['name'], settings.recipe)}")
    if table.base != stage.base:
        raise InputError(f"{table} starts from another network than the episodes; with gym.make, leave architecture out")


def other_recipe(made: str, asked: str) -> str:
    """What is said where students are known by another recipe than the one asked for, with the remedy.

    Args:
        made: By which they were trained.
        asked: The other one.
    """
    return f"recipe {made}, not {asked}: ask for that, recipe={made!r} (--recipe {made})"


def _table_evaluator(settings: EvaluationSettings, order: Order) -> Evaluator:
    if order.stage is None:
        raise InputError("a table is of the students of one stage; say of which")
    table = table_in(settings, order.stage.name)
    check_table(table, settings, order.stage)
    return TableEvaluator(table, SEARCH if settings.seed is None else settings.seed)


EVALUATORS.register("table", _table_evaluator, argument="FILE.npz")
