"""What chosen students of a sampled space are worth by trainings that nobody has seen, kept in a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.tables.sample import Sample

FRESH = 100
"""Seed of the first of the trainings."""


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
        how: dict[str, Any] = {"recipe": recipe, "device": "cpu", "store": self._store, "thorough": True}
        found: list[list[Evaluation]] = []
        for seed in range(FRESH, FRESH + self._trainings):
            with make_evaluator(problem, seed=seed, workers=self._workers, **how) as evaluator:
                found.append(evaluator.evaluate([sample.decisions.student(plan) for plan in distinct]))
        self._found |= {plan: [*each] for plan, *each in zip(distinct, *found, strict=True)}

    def worth(self, plans: Sequence[tuple[int, ...]]) -> float:
        """The mean reward of students that were trained, by their test accuracies."""
        return float(np.mean([self._reward(each) for plan in plans for each in self._found[plan]]))

    def accuracy(self, plan: tuple[int, ...]) -> float:
        """The mean test accuracy of a student that was trained; 0 counts where a training failed."""
        return float(np.mean([each.test_accuracy or 0.0 for each in self._found[plan]]))

    def _reward(self, found: Evaluation) -> float:
        facts: dict[str, Any] = {"accuracy": found.test_accuracy or 0.0, "teacher_accuracy": self._sample.test_accuracy}
        return paper_reward(Evaluation(**{**found.to_json(), **facts}))
