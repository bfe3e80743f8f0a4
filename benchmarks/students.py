"""The students that benchmarks train: those of random stage-1 episodes, as a policy draws them before it has learned."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.student import Student


def random_episodes(stage: RemovalStage, count: int, seed: int = 0, share: float = 0.5) -> list[list[int]]:
    """Episodes that end with distinct students which are not degenerate.

    Args:
        stage: Whose decisions are drawn.
        count: How many.
        seed: Of the draws.
        share: Of the layers that are removed.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[int]] = {}
    while len(found) < count:
        actions = ((rng.random(len(stage.masks)) < share) & stage.masks[:, 1]).astype(int).tolist()
        student = stage.student(actions)
        if student.architecture.verdict(stage.base).feasible:
            found[student.architecture.fingerprint] = actions
    return list(found.values())


def random_students(teacher: Architecture, count: int, seed: int = 0, share: float = 0.5) -> list[Student]:
    """Distinct students that are not degenerate, from uniformly random removals.

    Args:
        teacher: Whose layers are removed.
        count: How many.
        seed: Of the draws.
        share: Of the layers that are removed.
    """
    stage = RemovalStage(Student(teacher))
    return [stage.student(actions) for actions in random_episodes(stage, count, seed, share)]


def distinct_students(draw: Callable[[], Student], count: int) -> list[Student]:
    """The first so many of what is drawn that differ and are not degenerate.

    Args:
        draw: Draws a student.
        count: How many.
    """
    found: dict[str, Student] = {}
    while len(found) < count:
        student = draw()
        if student.architecture.verdict(student.teacher).feasible:
            found.setdefault(student.architecture.fingerprint, student)
    return list(found.values())


def warm_up(evaluator: Evaluator, count: int, least_seconds: float = 15.0, share: float = 0.5) -> None:
    """Train students until every worker process has certainly read teacher and images and trained one.

    Args:
        evaluator: Whose workers start with their first student, some seconds after each other.
        count: Students at a time.
        least_seconds: Go on for so long.
        share: Of the layers that are removed.
    """
    start = time.perf_counter()
    drawn = itertools.cycle(random_students(evaluator.teacher, 4 * count, seed=1, share=share))
    while True:
        evaluator.evaluate([next(drawn) for _ in range(count)])
        if time.perf_counter() - start >= least_seconds:
            return
