"""Bayesian optimisation: a model predicts accuracy, sizes are known, the highest expected improvement is trained next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.type_aliases import GymEnv

from agents.algorithms.informed import InformedSearch
from agents.algorithms.known import Candidate, Drawn, KnownStudents
from agents.algorithms.plans import Plan, Plans, neighbours, start_plan
from agents.algorithms.surrogate import AccuracyModel, Forest, GaussianProcess, choose
from n2n_gym.stages.base import Stage

DRAWN = 100
"""Random candidates of an update."""

CENTRES = 4
"""Of so many of the best students, and of so many of the most promising candidates, the neighbours are candidates too."""

CLIMBS = 2
"""Times that the neighbours of the most promising candidates are added."""

AROUND = 50
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
        drawn = self.known.new(drawn_plans(self.stage, self.rng), self._proposed)
        plans = self._most_promising(drawn, count) if len(self.known) >= self.warm_up else of_all_sizes(drawn, count, self.rng)
        self._proposed.update(self.known.look(plan).fingerprint for plan in plans)
        return np.stack([*plans, *(self.fresh(self.start) for _ in range(count - len(plans)))])

    def _most_promising(self, found: dict[str, Drawn], count: int) -> list[Plan]:
        """At most so many episodes, by expected improvement; those that were drawn are some of the candidates."""
        known = self.known
        model = fitted(self.model, known, self.rng)
        best = known.best
        centres = known.best_plans(CENTRES)
        for _ in range(1 + CLIMBS):
            for centre in centres:
                found |= known.new(some_neighbours(self.stage, centre, self.rng), {*found, *self._proposed})
            if not found:
                return []
            plans, students = map(list, zip(*found.values(), strict=True))
            gains = model.improvement(known.standardised([s.features for s in students]), worths(students), best)
            centres = [plans[index] for index in np.argsort(-gains, kind="stable")[:CENTRES]]
        return chosen(model, known, list(found.values()), count)


def drawn_plans(stage: Stage, rng: np.random.Generator) -> Iterator[Plan]:
    """Random candidates, and the episodes that are likely to end with the smallest students: limits may leave no others."""
    yield from (np.array(ending) for ending in stage.endings)
    yield from (start_plan(stage, rng) for _ in range(DRAWN))


def some_neighbours(stage: Stage, centre: Plan, rng: np.random.Generator) -> Plans:
    """Episodes that differ in one decision: all of them, or `AROUND` at random."""
    around: Plans = rng.permutation(neighbours(stage, centre))[:AROUND]
    return around


def of_all_sizes(candidates: dict[str, Drawn], count: int, rng: np.random.Generator) -> list[Plan]:
    """At most so many of the candidates' episodes, at random among students of each size: a model has to know them all."""
    by_size = sorted(candidates.values(), key=lambda drawn: drawn[1].parameters)
    strata = [part for part in np.array_split(np.arange(len(by_size)), count) if len(part)]
    return [by_size[int(rng.choice(part))][0] for part in strata]


def fitted(kind: type[AccuracyModel], known: KnownStudents, rng: np.random.Generator) -> AccuracyModel:
    """A model of all students that were trained."""
    features = known.standardised([known.look(plan).features for plan in known.plans])
    return kind(known.overall_columns).fit(features, known.accuracies, rng)


def worths(students: list[Candidate]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Their rewards with their teacher's accuracy, shape (students,)."""
    return np.array([student.worth for student in students])


def chosen(model: AccuracyModel, known: KnownStudents, candidates: list[Drawn], count: int) -> list[Plan]:
    """At most so many of the candidates' episodes, by `choose`."""
    students = [student for _, student in candidates]
    features = known.standardised([student.features for student in students])
    return [candidates[index][0] for index in choose(model, features, worths(students), known.best, count)]


class GaussianProcessSearch(BayesianOptimisation):
    """Bayesian optimisation with a Gaussian process."""

    model: ClassVar[type[AccuracyModel]] = GaussianProcess


class RandomForestSearch(BayesianOptimisation):
    """Bayesian optimisation with a random forest, as SMAC does it (Hutter et al., 2011)."""

    model: ClassVar[type[AccuracyModel]] = Forest
