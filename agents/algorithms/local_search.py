"""Local search: always one decision away from the best student so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.algorithms.informed import InformedSearch
from agents.algorithms.plans import Plan, Plans, neighbours


class LocalSearch(InformedSearch):
    """Trains the neighbours of a student in random order and moves to the first that is better, as many at a time as it plays.

    It begins at a random student, and at another one when all neighbours were trained and none is better.

    Args:
        env: A compression environment, single or vectorised.
        **settings: Arguments of `PlannedSearch`.
    """

    def _setup_model(self) -> None:
        super()._setup_model()
        self.centre: tuple[Plan, float] | None = None

    def propose(self, count: int) -> Plans:
        plans: list[Plan] = []
        if self.centre is not None:
            around = self.rng.permutation(neighbours(self.stage, self.centre[0]))
            plans = [plan for plan, _ in self.known.new(around, self._proposed).values()][:count]
            self._proposed.update(self.known.look(plan).fingerprint for plan in plans)
        if not plans:
            self.centre = None
        return np.stack([*plans, *(self.fresh(self.start) for _ in range(count - len(plans)))])

    def observe(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        super().observe(plans, returns, infos)
        best = int(np.argmax(returns))
        if self.centre is None or returns[best] > self.centre[1]:
            self.centre = plans[best].copy(), float(returns[best])

    def memory(self) -> dict[str, Tensor]:
        if self.centre is None:
            return super().memory()
        plan, value = self.centre
        return super().memory() | {"centre": torch.from_numpy(plan), "centre.return": torch.tensor(value, dtype=torch.float64)}

    def remember(self, tensors: dict[str, Tensor]) -> None:
        super().remember(tensors)
        if "centre" in tensors:
            self.centre = tensors["centre"].numpy(), float(tensors["centre.return"])
