"""Ageing evolution, as published and with what costs no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from agents.algorithms.informed import InformedSearch
from agents.algorithms.planned import PlannedSearch
from agents.algorithms.plans import TRIES, Plan, Plans, neighbours, plan_by_depth

STEPS = (-2, -1, 1, 2)
"""By how much a change moves an action that has more than one neighbour."""


class RegularizedEvolution(PlannedSearch):
    """Ageing evolution (Real et al., AAAI 2019): mutate the best of a few, let the oldest go.

    Args:
        env: A compression environment, single or vectorised.
        population_size: Episodes that are alive.
        sample_size: Of them, how many compete to be the parent.
        **settings: Arguments of `PlannedSearch`.
    """

    _constructor: ClassVar[tuple[str, ...]] = ("population_size", "sample_size")

    def __init__(self, env: GymEnv | str, *, population_size: int = 50, sample_size: int = 10, **settings: Any) -> None:
        if not 1 <= sample_size <= population_size:
            raise ValueError(f"sample_size must be 1 to population_size ({population_size}), not {sample_size}")
        self.population_size = population_size
        self.sample_size = sample_size
        self.population: list[tuple[Plan, float]] = []
        super().__init__(env, **settings)

    def propose(self, count: int) -> Plans:
        newcomers = min(count, self.population_size - len(self.population)) if self.population else count
        children = [self._child() for _ in range(count - newcomers)]
        return np.concatenate([self.uniform(newcomers), *(child[None] for child in children)])

    def observe(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        super().observe(plans, returns, infos)
        self.population += zip(plans, returns, strict=True)
        del self.population[: -self.population_size]

    def memory(self) -> dict[str, Tensor]:
        plans = np.array([plan for plan, _ in self.population], dtype=np.int64).reshape(-1, len(self.masks))
        returns = [value for _, value in self.population]
        alive = {"plans": torch.from_numpy(plans), "returns": torch.tensor(returns, dtype=torch.float64)}
        return super().memory() | alive

    def remember(self, tensors: dict[str, Tensor]) -> None:
        super().remember(tensors)
        self.population = list(zip(tensors["plans"].numpy(), tensors["returns"].tolist(), strict=True))

    def _child(self) -> Plan:
        """The best of a sample with one decision changed; where masks look ahead, so that a feasible student comes of it."""
        child = self._changed()
        for _ in range(TRIES if self.stage.lookahead else 0):
            if self.stage.feasible(child.tolist()):
                break
            child = self._changed()
        return child

    def _changed(self) -> Plan:
        """The best of a sample with one decision changed, if there is one to make."""
        around = neighbours(self.stage, parent := self._parent())
        if not len(around):
            return parent.copy()
        changed = (around != parent).argmax(1)
        position = self.rng.choice(np.unique(changed))
        child: Plan = self.rng.choice(around[changed == position])
        return child

    def _parent(self) -> Plan:
        """The best of a sample."""
        rivals = self.rng.choice(len(self.population), min(self.sample_size, len(self.population)), replace=False)
        parent: Plan
        parent, _ = self.population[max(rivals, key=lambda i: self.population[i][1])]
        return parent


class InformedEvolution(RegularizedEvolution, InformedSearch):
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

    def __init__(self, env: GymEnv | str, *, population_size: int = 24, sample_size: int = 6, **settings: Any) -> None:
        super().__init__(env, population_size=population_size, sample_size=sample_size, **settings)

    def uniform(self, count: int) -> Plans:
        plans = [self.fresh(lambda: plan_by_depth(self.stage, self.rng)) for _ in range(count)]
        return np.array(plans, dtype=np.int64).reshape(count, len(self.masks))

    def _child(self) -> Plan:
        return self.fresh(self._changed)

    def _changed(self) -> Plan:
        child = self._parent().copy()
        free = np.flatnonzero(self.masks.sum(1) > 1)
        for position in self.rng.choice(free, min(len(free), int(self.rng.integers(1, 3))), replace=False):
            there = np.flatnonzero(self.masks[position])
            near = [a for a in there if a - child[position] in STEPS]
            child[position] = self.rng.choice(near or there[there != child[position]])
        return child
