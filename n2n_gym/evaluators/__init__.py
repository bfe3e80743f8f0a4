"""Evaluators by name. The modules that train are imported when the first student is to be trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from n2n_gym.errors import InputError, unknown

if TYPE_CHECKING:
    from n2n_gym.evaluators.base import Evaluator
    from n2n_gym.problem import Problem

EVALUATORS = ("distillation",)


def check_evaluator(name: str, workers: int) -> None:
    """Refuse what `make_evaluator` could not make.

    Raises:
        InputError: If the name is unknown or the number of workers negative.
    """
    if name not in EVALUATORS:
        raise unknown("evaluator", name, EVALUATORS)
    if workers < 0:
        raise InputError(f"workers must be 0 (train in this process) or more, not {workers}")


def make_evaluator(
    name: str,
    problem: Problem,
    *,
    recipe: str = "paper",
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    timeout: float | None = None,
    latency_batch_size: int | None = None,
    store: Path | None = None,
    run: str = "",
) -> Evaluator:
    """An evaluator of students of a problem.

    Args:
        name: One of `EVALUATORS`.
        problem: Teacher and data set.
        recipe: How a student is trained.
        seed: Of the students' trainings.
        device: `auto`, `cpu`, `cuda`, ...
        workers: Processes that train side by side; with 0 the calling process trains.
        timeout: Seconds after which a student's training is given up.
        latency_batch_size: If given, students are timed too, with so many images in a forward pass.
        store: SQLite file to look students up in and keep them in.
        run: Name to mark newly stored students with.

    Raises:
        InputError: If a name is unknown or a number out of range.
    """
    from n2n_gym.evaluators.distillation import DistillationEvaluator
    from n2n_gym.evaluators.latency import LatencyEvaluator
    from n2n_gym.evaluators.store import StoredEvaluator
    from n2n_gym.evaluators.workers import WorkerEvaluator

    check_evaluator(name, workers)
    evaluator: Evaluator = DistillationEvaluator(problem, recipe, seed, device, timeout)
    if workers:
        evaluator = WorkerEvaluator(evaluator, workers)
    if store is not None:
        evaluator = StoredEvaluator(evaluator, store, run=run)
    if latency_batch_size is not None:
        evaluator = LatencyEvaluator(evaluator, batch_size=latency_batch_size, device=device)
        if store is not None:  # accuracies are kept for every run, latencies for those that ask for the same
            evaluator = StoredEvaluator(evaluator, store, run=run)
    return evaluator
