"""What chosen students of a sampled space are worth by trainings that nobody has seen, kept in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.tables.sample import Sample
from n2n_gym.tables.trainings import trained, trained_joined
from n2n_gym.training.joined import check_joined

FRESH = 100
"""Seed of the first of the trainings."""


CHUNK = 50
"""Students after which it is said how many are done, where trainings are not joined."""


class Fresh:
    """Trains students of a sample's space.

    Args:
        sample: It.
        path: Its file.
        trainings: Of each student.
        store: Where they are kept.
        workers: Processes that train; 0 trains here.
    """

    def __init__(self, sample: Sample, path: Path, trainings: int, store: Path, workers: int = 0) -> None:
        self._sample, self._path, self._trainings, self._store, self._workers = sample, path, trainings, store, workers
        self._found: dict[tuple[int, ...], list[Evaluation]] = {}

    def train(self, plans: Iterable[tuple[int, ...]]) -> None:
        """Train the students of some episodes, each once for each seed."""
        sample = self._sample
        asked = {"teacher": str(self._path), **sample.arguments}
        recipe = asked.pop("recipe")
        problem = Problem(**asked)
        distinct = list(dict.fromkeys(plans))
        found = self._how(problem)(
            problem,
            [sample.decisions.student(plan) for plan in distinct],
            range(FRESH, FRESH + self._trainings),
            recipe=recipe,
            workers=self._workers,
            store=self._store,
            on_progress=_shown,
        )
        self._found |= {plan: [*each] for plan, *each in zip(distinct, *found, strict=True)}

    @staticmethod
    def _how(problem: Problem) -> Callable[..., list[list[Evaluation]]]:
        """All trainings of a student at once, which is faster, if the network's layers allow for it."""
        try:
            check_joined(problem.architecture)
        except InputError:
            return partial(trained, chunk=CHUNK)
        return trained_joined

    def worth(self, plans: Sequence[tuple[int, ...]]) -> float:
        """The mean reward of students that were trained, by their test accuracies."""
        return float(np.mean([self._reward(each) for plan in plans for each in self._found[plan]]))

    def by_size(self, plan: tuple[int, ...]) -> float:
        """The paper's reward of a student if it is as accurate as its teacher: what is known of it without any training."""
        student = self._sample.decisions.student(plan).architecture
        return paper_reward(Evaluation.of(student, self._sample.teacher, accuracy=1.0, teacher_accuracy=1.0))

    def worths(self, plan: tuple[int, ...]) -> list[float]:
        """The same of a student, a number for each training."""
        return [self._reward(each) for each in self._found[plan]]

    def accuracies(self, plan: tuple[int, ...]) -> list[float]:
        """A student's test accuracies, one for each training; none if a training of it failed."""
        found = [each.test_accuracy for each in self._found[plan] if not each.reason and each.test_accuracy is not None]
        return found if len(found) == len(self._found[plan]) else []

    def _reward(self, found: Evaluation) -> float:
        facts: dict[str, Any] = {"accuracy": found.test_accuracy or 0.0, "teacher_accuracy": self._sample.test_accuracy}
        return paper_reward(Evaluation(**{**found.to_json(), **facts}))


def _shown(done: int, trainings: int) -> None:
    """A line now and then."""
    if done % 50 == 0 or done == trainings:
        print(f"{done} of {trainings} trainings", flush=True)
