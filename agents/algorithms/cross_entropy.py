"""The cross-entropy method (Rubinstein, 1999): draw, keep the best, draw more like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from agents.algorithms.informed import InformedSearch
from agents.algorithms.plans import Plan, Plans


class CrossEntropy(InformedSearch):
    """Draws each decision by itself, with probabilities that move towards those among the best students so far.

    Args:
        env: A compression environment, single or vectorised.
        warm_up: Random students at the start.
        elite_size: How many of the best students the probabilities move towards.
        step_size: How far, from 0 to 1, after each batch.
        least: Probability that every action of use keeps, as a share of an equal one.
        **settings: Arguments of `PlannedSearch`.
    """

    _constructor: ClassVar[tuple[str, ...]] = ("warm_up", "elite_size", "step_size", "least")

    def __init__(
        self,
        env: GymEnv | str,
        *,
        warm_up: int = 10,
        elite_size: int = 3,
        step_size: float = 0.7,
        least: float = 0.1,
        **settings: Any,
    ) -> None:
        if elite_size < 1:
            raise ValueError(f"elite_size must be at least 1, not {elite_size}")
        if not 0 < step_size <= 1 or not 0 <= least <= 1:
            raise ValueError(f"step_size must lie above 0, least from 0, both up to 1, not {step_size} and {least}")
        self.warm_up = warm_up
        self.elite_size = elite_size
        self.step_size = step_size
        self.least = least
        super().__init__(env, **settings)

    def _setup_model(self) -> None:
        super()._setup_model()
        self._equal = self.probabilities = self.masks / self.masks.sum(1, keepdims=True)

    def propose(self, count: int) -> Plans:
        draw = self.start if len(self.known) < self.warm_up else self._draw
        return np.stack([self.fresh(draw) for _ in range(count)])

    def observe(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        super().observe(plans, returns, infos)
        elite = self.known.best_plans(self.elite_size)
        if len(self.known) < self.warm_up or not elite:
            return
        among = (np.stack(elite)[:, :, None] == np.arange(self.masks.shape[1])).mean(0)
        self.probabilities = (1 - self.step_size) * self.probabilities + self.step_size * among

    def memory(self) -> dict[str, Tensor]:
        return super().memory() | {"probabilities": torch.from_numpy(self.probabilities)}

    def remember(self, tensors: dict[str, Tensor]) -> None:
        super().remember(tensors)
        self.probabilities = tensors["probabilities"].numpy()

    def _draw(self) -> Plan:
        """An episode by the present probabilities."""
        probabilities = (1 - self.least) * self.probabilities + self.least * self._equal
        return (self.rng.random((len(self.masks), 1)) < probabilities.cumsum(1)).argmax(1)  # type: ignore[no-any-return]
