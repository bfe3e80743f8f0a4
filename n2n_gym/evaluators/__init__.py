"""Evaluators by name. The modules that train are imported when the first student is to be trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from n2n_gym.errors import InputError, unknown

if TYPE_CHECKING:
    from n2n_gym.evaluators.contract import Evaluator
    from n2n_gym.problem import Problem

EVALUATORS = ("distillation", "table", "table:NAME")


def check_workers(workers: int | str | None) -> None:
    """Refuse workers that `make_evaluator` does not know.

    Raises:
        InputError: If the number is negative, or the word is not `ray` or `ray:ADDRESS`.
    """
    if isinstance(workers, str):
        if workers.partition(":")[0] != "ray":
            raise InputError(f"workers must be a number, ray or ray:ADDRESS, not {workers!r}")
    elif workers is not None and workers < 0:
        raise InputError(f"workers must be 0 (train in this process) or more, not {workers}")


def check_evaluator(name: str, workers: int | str | None) -> None:
    """Refuse an evaluator that an environment cannot have.

    Raises:
        InputError: If the name is none of `EVALUATORS`, or the workers cannot be.
    """
    if name not in EVALUATORS and not name.startswith("table:"):
        raise unknown("evaluator", name, EVALUATORS)
    check_workers(workers)


def make_evaluator(
    problem: Problem,
    *,
    recipe: str = "paper",
    seed: int = 0,
    device: str = "auto",
    workers: int | str | None = 0,
    timeout: float | None = None,
    thorough: bool = False,
    latency_batch_size: int | None = None,
    store: Path | None = None,
    run: str = "",
) -> Evaluator:
    """An evaluator that trains students of a problem by distillation.

    Args:
        problem: Teacher and data set.
        recipe: How a student is trained.
        seed: Of the students' trainings.
        device: `auto`, `cpu`, `cuda`, ...
        workers: Processes that train side by side; with 0 the calling process trains; `ray` trains on the cores of a Ray
            cluster of its own, `ray:ADDRESS` on those of one that is running. None is one per core on a CPU, 0 on a GPU.
        timeout: Seconds after which a student's training is given up.
        thorough: Whether students are validated after each epoch and tested, for tables.
        latency_batch_size: If given, students are timed too, with so many images in a forward pass.
        store: SQLite file to look students up in and keep them in.
        run: Name to mark newly stored students with.

    Raises:
        InputError: If the recipe is unknown or the workers cannot be.
    """
    from n2n_gym.evaluators.distillation import DistillationEvaluator
    from n2n_gym.evaluators.latency import LatencyEvaluator
    from n2n_gym.evaluators.store import StoredEvaluator
    from n2n_gym.evaluators.workers import WorkerEvaluator
    from n2n_gym.system.device import torch_device
    from n2n_gym.system.machine import cores

    check_workers(workers)
    if workers is None:
        workers = cores() if torch_device(device).type == "cpu" else 0
    trains = DistillationEvaluator(problem, recipe, seed, device, timeout, thorough)
    evaluator: Evaluator = trains
    if isinstance(workers, str):
        from n2n_gym.evaluators.ray import RayEvaluator

        evaluator = RayEvaluator(trains, workers.partition(":")[2] or None)
    elif workers:
        evaluator = WorkerEvaluator(trains, workers)
    if store is not None:
        evaluator = StoredEvaluator(evaluator, store, run=run)
    if latency_batch_size is not None:
        evaluator = LatencyEvaluator(evaluator, batch_size=latency_batch_size, device=device)
        if store is not None:  # accuracies are kept for every run, latencies for those that ask for the same
            evaluator = StoredEvaluator(evaluator, store, run=run)
    return evaluator
