"""Trains some students of a table again, to compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from n2n_gym.architecture import SIZES
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.problem import Problem
from n2n_gym.stages import STAGES
from n2n_gym.tables.table import Table
from n2n_gym.tables.trainings import trained_joined
from n2n_gym.training.recipes import search_recipe


@dataclass(frozen=True)
class Retrained:
    """A training of a table, and the same training once more.

    Attributes:
        row: The student's row.
        seed: The training's.
        recorded: What the table says.
        found: What came out this time.
    """

    row: int
    seed: int
    recorded: Evaluation
    found: Evaluation

    @property
    def points(self) -> float:
        """By how many points of validation or test accuracy the two differ, whichever is more."""
        a, b = self.recorded, self.found
        return 100 * max(abs(a.accuracy - b.accuracy), abs((a.test_accuracy or 0.0) - (b.test_accuracy or 0.0)))

    @property
    def same_sizes(self) -> bool:
        """Whether all sizes are equal, parameters and MACs among them."""
        return all(getattr(self.recorded, size) == getattr(self.found, size) for size in SIZES)


def retrain(
    table: Table,
    students: int = 20,
    *,
    seed: int = 0,
    workers: int | str | None = None,
    prepare: Callable[[], object] = lambda: None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Retrained]:
    """Repeat some trainings of a table, each of another student, by its recipe, from the same teacher's logits.

    Args:
        table: It.
        students: How many, drawn from those that are not degenerate.
        seed: Of the draw.
        workers: As in `make_evaluator`.
        prepare: Called before the teacher is read or trained.
        on_progress: Told the trainings done.

    Returns:
        In the order of the table's seeds.

    Raises:
        InputError: If there are not so many students, or the table's problem or recipe is not to be had.
    """
    feasible = np.flatnonzero(table.feasible)
    if not 1 <= students <= len(feasible):
        raise InputError(f"{table} has {len(feasible)} students that were trained; {students} of them cannot be drawn")
    rng = np.random.default_rng(seed)
    rows = rng.choice(feasible, students, replace=False)
    seeds = rng.choice(table.seeds, students)
    problem = Problem(**table.facts["problem"])
    name = table.facts["recipe"]["name"]
    if search_recipe(name, problem.data, problem.train_size).to_json() != table.facts["recipe"]:
        raise InputError(f"{table} was made by another recipe than this version's {name!r}: {table.facts['recipe']}")
    stage = STAGES[table.stage](table.start)
    prepare()
    done: list[Retrained] = []
    for training in table.seeds:
        drawn = rows[seeds == training].tolist()
        if not drawn:
            continue
        again = [stage.student(table.actions(row)) for row in drawn]
        if table.facts.get("joined"):  # the same numbers are summed in the same order only beside the other trainings
            by_seed = trained_joined(problem, again, table.seeds, recipe=name, workers=workers)
            found = by_seed[table.seeds.index(training)]
        else:
            evaluator = make_evaluator(problem, recipe=name, seed=training, device="cpu", workers=workers, thorough=True)
            with evaluator:
                found = evaluator.evaluate(again)
        pairs = zip(drawn, found, strict=True)
        done += [Retrained(row, training, table.evaluation(row, training), evaluation) for row, evaluation in pairs]
        if on_progress is not None:
            on_progress(len(done))
    return done
