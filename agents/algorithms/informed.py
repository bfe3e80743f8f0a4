"""Evolution that uses what costs no training: sizes, limits, and which student an episode ends with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.algorithms.planned import Plans, RegularizedEvolution
from n2n_gym.envs.info import Preview

DRAWS = 200
"""Of an episode whose student is new and keeps the limits, before one is played that does not."""

STEPS = (-2, -1, 1, 2)
"""By how much a change moves an action that has more than one neighbour."""


class InformedEvolution(RegularizedEvolution):
    """Ageing evolution that never trains a student twice, nor one that is degenerate or too large.

    It starts from episodes that treat layers by depth (`Stage.trend`), and not from uniformly random ones, whose students are
    mostly crippled somewhere. A child differs from its parent in one or two decisions, by a step or two: near a limit,
    what is given to one layer must be taken from another.

    Args:
        env: A compression environment, single or vectorised.
        population_size: Episodes that are alive.
        sample_size: Of them, how many compete to be the parent.
        **settings: Arguments of `PlannedSearch`.
    """

    def __init__(self, env: object, *, population_size: int = 24, sample_size: int = 6, **settings: object) -> None:
        self._played: list[npt.NDArray[np.int64]] = []
        self._seen: set[str] = set()
        super().__init__(env, population_size=population_size, sample_size=sample_size, **settings)  # type: ignore[arg-type]

    def uniform(self, count: int) -> Plans:
        plans = [self._new(lambda: np.array(self.stage.trend(self.rng))) for _ in range(count)]
        return np.array(plans, dtype=np.int64).reshape(count, len(self.masks))

    def propose(self, count: int) -> Plans:
        plans = super().propose(count)
        self._played += list(plans)
        return plans

    def memory(self) -> dict[str, Tensor]:
        played = np.array(self._played, dtype=np.int64).reshape(-1, len(self.masks))
        return {**super().memory(), "played": torch.from_numpy(played)}

    def remember(self, tensors: dict[str, Tensor]) -> None:
        super().remember(tensors)
        self._played = list(tensors["played"].numpy())
        self._seen = {self._preview(plan).fingerprint for plan in self._played}

    def _child(self) -> npt.NDArray[np.int64]:
        return self._new(self._changed)

    def _new(self, draw: Callable[[], npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """An episode whose student was not trained yet and may be; after `DRAWS` draws, whatever comes."""
        for _ in range(DRAWS):
            plan = draw()
            preview = self._preview(plan)
            if preview.allowed and preview.fingerprint not in self._seen:
                self._seen.add(preview.fingerprint)
                break
        return plan

    def _preview(self, plan: npt.NDArray[np.int64]) -> Preview:
        assert self.env is not None
        preview: Preview = self.env.env_method("preview", plan.tolist())[0]
        return preview

    def _changed(self) -> npt.NDArray[np.int64]:
        child = self._parent().copy()
        free = np.flatnonzero(self.masks.sum(1) > 1)
        for position in self.rng.choice(free, min(len(free), int(self.rng.integers(1, 3))), replace=False):
            there = np.flatnonzero(self.masks[position])
            near = [a for a in there if a - child[position] in STEPS]
            child[position] = self.rng.choice(near or there[there != child[position]])
        return child
