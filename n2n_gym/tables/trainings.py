"""Students of a table or a sample, each trained several times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from n2n_gym.errors import InputError
from n2n_gym.evaluation import MACHINE_FAILURES, Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.problem import Problem
from n2n_gym.student import Student

Progress = Callable[[int, int], None]
"""Told the trainings done, from 0, and how many there are."""


def silent(done: int, trainings: int) -> None:
    """Where nobody wants to know."""


def trained(
    problem: Problem,
    students: Sequence[Student],
    seeds: Sequence[int],
    *,
    recipe: str,
    workers: int | str | None,
    store: Path,
    chunk: int,
    on_progress: Progress,
) -> list[list[Evaluation]]:
    """Train and test students on a CPU, all of them with a seed before the next.

    Args:
        problem: Teacher and data.
        students: Feasible ones.
        seeds: Each student is trained once with each.
        recipe: How students are trained.
        workers: As in `make_evaluator`.
        store: Where evaluations are kept as they are made: the same call goes on where it was.
        chunk: Students handed out at a time: what is done is kept, the rest is lost when it is stopped.
        on_progress: See `Progress`.

    Returns:
        For each seed, an evaluation of each student.

    Raises:
        InputError: If memory or time was not enough.
    """
    found: list[list[Evaluation]] = []
    for seed in seeds:
        found.append([])
        evaluator = make_evaluator(
            problem, recipe=recipe, seed=seed, device="cpu", workers=workers, store=store, thorough=True
        )
        with evaluator:
            for start in range(0, len(students), chunk):
                found[-1] += evaluator.evaluate(students[start : start + chunk])
                on_progress((len(found) - 1) * len(students) + len(found[-1]), len(seeds) * len(students))
    if failed := sum(each.reason in MACHINE_FAILURES for done in found for each in done):
        raise InputError(f"{failed} trainings failed for want of memory or time, not by the students' fault; build again")
    return found
