"""Bayesian optimisation: a model predicts accuracy, sizes are known, the highest expected improvement is trained next."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.type_aliases import GymEnv

from agents.algorithms.candidates import CENTRES, chosen, drawn_plans, fitted, of_all_sizes, some_neighbours
from agents.algorithms.informed import InformedSearch
from agents.algorithms.known import Drawn
from agents.algorithms.plans import Plan, Plans
from agents.algorithms.surrogate import AccuracyModel, Forest, GaussianProcess

CLIMBS = 2
"""Times that the neighbours of the most promising candidates are added."""


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
            gains = model.improvement(known.described(students), known.prospects(students), best)
            centres = [plans[index] for index in np.argsort(-gains, kind="stable")[:CENTRES]]
        return chosen(model, known, list(found.values()), count)


class GaussianProcessSearch(BayesianOptimisation):
    """Bayesian optimisation with a Gaussian process."""

    model: ClassVar[type[AccuracyModel]] = GaussianProcess


class RandomForestSearch(BayesianOptimisation):
    """Bayesian optimisation with a random forest, as SMAC does it (Hutter et al., 2011)."""

    model: ClassVar[type[AccuracyModel]] = Forest
