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
    return _complete(found)


def trained_joined(
    problem: Problem,
    students: Sequence[Student],
    seeds: Sequence[int],
    *,
    recipe: str,
    workers: int | str | None,
    store: Path | None = None,
    on_progress: Progress = silent,
) -> list[list[Evaluation]]:
    """As `trained`, but each student with all seeds at once (`JoinedTrainings`), and every one that is done is kept.

    Raises:
        InputError: If memory or time was not enough, or workers are no number.
    """
    from n2n_gym.evaluators.joined import JoinedTrainings  # here: it needs torch

    teacher = problem.architecture
    verdicts = [student.architecture.verdict(teacher) for student in students]
    found = [
        [Evaluation.failed(student.architecture, teacher, verdict)] * len(seeds)
        for student, verdict in zip(students, verdicts, strict=True)
    ]
    feasible = [index for index, verdict in enumerate(verdicts) if verdict.feasible]
    done = len(students) - len(feasible)
    trainings = JoinedTrainings(problem, tuple(seeds), recipe)
    for place, evaluations in trainings.stream([students[index] for index in feasible], workers, store):
        found[feasible[place]] = evaluations
        done += 1
        on_progress(done * len(seeds), len(students) * len(seeds))
    return _complete([list(by_seed) for by_seed in zip(*found, strict=True)])


def _complete(found: list[list[Evaluation]]) -> list[list[Evaluation]]:
    """What was found, if the machine did not fail.

    Raises:
        InputError: If it did.
    """
    if failed := sum(each.reason in MACHINE_FAILURES for done in found for each in done):
        raise InputError(f"{failed} trainings failed for want of memory or time, not by the students' fault; build again")
    return found
