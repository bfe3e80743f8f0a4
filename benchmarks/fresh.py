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
        self._worth: dict[tuple[int, ...], float] = {}

    def train(self, plans: Iterable[tuple[int, ...]]) -> None:
        """Train the students of some episodes, each once for each seed."""
        sample = self._sample
        asked = {"teacher": str(self._path), **sample.arguments}
        recipe = asked.pop("recipe")
        problem = Problem(**asked)
        distinct = list(dict.fromkeys(plans))
        how: dict[str, Any] = {"recipe": recipe, "device": "cpu", "store": self._store, "thorough": True}
        worth = []
        for seed in range(FRESH, FRESH + self._trainings):
            with make_evaluator(problem, seed=seed, workers=self._workers, **how) as evaluator:
                found = evaluator.evaluate([sample.decisions.student(plan) for plan in distinct])
            worth.append([self._reward(each) for each in found])
        self._worth |= dict(zip(distinct, np.mean(worth, axis=0).tolist(), strict=True))

    def worth(self, plans: Sequence[tuple[int, ...]]) -> float:
        """The mean reward of students that were trained, by their test accuracies."""
        return float(np.mean([self._worth[plan] for plan in plans]))

    def _reward(self, found: Evaluation) -> float:
        facts: dict[str, Any] = {"accuracy": found.test_accuracy or 0.0, "teacher_accuracy": self._sample.test_accuracy}
        return paper_reward(Evaluation(**{**found.to_json(), **facts}))
