"""What algorithms are compared on: an environment over a table, whose best student is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gymnasium as gym

import n2n_gym  # noqa: F401  registers the environments
from agents.sb3 import BatchedVecEnv
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.table import MEAN, Table

SIDE_BY_SIDE = 5
"""Episodes that this package's algorithms play at a time: those of a policy update (section 4.2)."""

ENVIRONMENTS = {"removal": "N2N/LayerRemoval-v0", "shrink": "N2N/LayerShrink-v0"}


@dataclass(frozen=True)
class Task:
    """One environment of the benchmark. A student's accuracy is the mean over its trainings.

    Attributes:
        name: A table of the package, or a `.npz` file.
    """

    name: str

    @property
    def table(self) -> Table:
        """Its students."""
        return _table(self.name)

    @property
    def policy_stage(self) -> int:
        """1 for removal, 2 for shrinkage: this package's algorithms have settings for each."""
        return 1 if self.table.stage == "removal" else 2

    def env(self) -> gym.Env[Any, Any]:
        """One episode at a time."""
        return gym.make(ENVIRONMENTS[self.table.stage], **self._arguments)

    def vector_env(self) -> BatchedVecEnv:
        """Episodes side by side, for algorithms of Stable-Baselines3's kind."""
        envs = gym.make_vec(
            ENVIRONMENTS[self.table.stage],
            num_envs=SIDE_BY_SIDE,
            vectorization_mode="vector_entry_point",
            **self._arguments,
        )
        assert isinstance(envs, CompressionVectorEnv)
        return BatchedVecEnv(envs)

    @property
    def _arguments(self) -> dict[str, Any]:
        evaluator = f"table:{self.name}" if self.name.endswith(".npz") else "table"
        return {**self.table.facts["problem"], "evaluator": evaluator, "seed": MEAN}


@lru_cache(maxsize=8)
def _table(name: str) -> Table:
    return Table.load(name)
