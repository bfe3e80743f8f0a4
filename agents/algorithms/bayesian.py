"""Bayesian optimisation: a model predicts accuracy, sizes are known, the highest expected improvement is trained next."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.type_aliases import GymEnv

from agents.algorithms.informed import InformedSearch
from agents.algorithms.known import Candidate, KnownStudents
from agents.algorithms.plans import Plan, Plans, neighbours
from agents.algorithms.surrogate import AccuracyModel, Forest, GaussianProcesses, choose

DRAWN = 300
"""Random candidates of an update."""

CENTRES = 5
"""Of so many of the best students, and of so many of the most promising candidates, the neighbours are candidates too."""

CLIMBS = 2
"""Times that the neighbours of the most promising candidates are added."""

AROUND = 100
"""Neighbours of one student, at most; a random part of them if it has more."""


class BayesianOptimisation(InformedSearch):
    """Trains the students with the highest expected improvement of the reward.

    Only accuracy has to be learned, from features of the architecture: what a student's size is worth is known for free.
    Candidates are random students, the neighbours of the best so far and, step by step, of the most promising candidates.

    Args:
        env: A compression environment, single or vectorised.
        warm_up: Random students at the start.
        **settings: Arguments of `PlannedSearch`.
    """

    model: ClassVar[type[AccuracyModel]]
    _constructor: ClassVar[tuple[str, ...]] = ("warm_up",)

    def __init__(self, env: GymEnv | str, *, warm_up: int = 5, **settings: Any) -> None:
        if warm_up < 1:
            raise ValueError(f"warm_up must be at least 1 student, not {warm_up}")
        self.warm_up = warm_up
        super().__init__(env, **settings)

    def propose(self, count: int) -> Plans:
        plans: list[Plan] = []
        if len(self.known) >= self.warm_up:
            plans = self._most_promising(count)
            self._proposed.update(self.known.look(plan).fingerprint for plan in plans)
        return np.stack([*plans, *(self.fresh(self.start) for _ in range(count - len(plans)))])

    def _most_promising(self, count: int) -> list[Plan]:
        """At most so many episodes, by expected improvement."""
        known = self.known
        model = fitted(self.model, known, self.rng)
        best = known.best
        found = known.new((self.start() for _ in range(DRAWN)), self._proposed)
        centres = known.best_plans(CENTRES)
        for _ in range(1 + CLIMBS):
            for centre in centres:
                around = self.rng.permutation(neighbours(self.stage, centre))[:AROUND]
                found |= known.new(around, {*found, *self._proposed})
            if not found:
                return []
            plans, students = map(list, zip(*found.values(), strict=True))
            gains = model.improvement(known.standardised([s.features for s in students]), worths(students), best)
            centres = [plans[index] for index in np.argsort(-gains, kind="stable")[:CENTRES]]
        return chosen(model, known, list(found.values()), count)


def fitted(kind: type[AccuracyModel], known: KnownStudents, rng: np.random.Generator) -> AccuracyModel:
    """A model of all students that were trained."""
    features = known.standardised([known.look(plan).features for plan in known.plans])
    return kind(known.overall_columns).fit(features, known.accuracies, rng)


def worths(students: list[Candidate]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Their rewards with their teacher's accuracy, shape (students,)."""
    return np.array([student.worth for student in students])


def chosen(model: AccuracyModel, known: KnownStudents, candidates: list[tuple[Plan, Candidate]], count: int) -> list[Plan]:
    """At most so many of the candidates' episodes, by `choose`."""
    students = [student for _, student in candidates]
    features = known.standardised([student.features for student in students])
    return [candidates[index][0] for index in choose(model, features, worths(students), known.best, count)]


class GaussianProcessSearch(BayesianOptimisation):
    """Bayesian optimisation with Gaussian processes."""

    model: ClassVar[type[AccuracyModel]] = GaussianProcesses


class RandomForestSearch(BayesianOptimisation):
    """Bayesian optimisation with a random forest, as SMAC does it (Hutter et al., 2011)."""

    model: ClassVar[type[AccuracyModel]] = Forest
