"""What algorithms are compared on: an environment over a table, whose best student is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

import n2n_gym  # noqa: F401  registers the environments
from agents.algorithms.sb3 import BatchedVecEnv
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.errors import InputError
from n2n_gym.tables import MEAN, Table, table_names

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
        return Table.load(self.name)

    @property
    def policy_stage(self) -> int:
        """1 for removal, 2 for shrinkage: this package's algorithms have settings for each."""
        return 1 if self.table.stage == "removal" else 2

    def env(self) -> gym.Env[Any, Any]:
        """One episode at a time."""
        return gym.make(ENVIRONMENTS[self.table.stage], **self._arguments)

    def vector_env(self, num_envs: int = SIDE_BY_SIDE) -> BatchedVecEnv:
        """Episodes side by side, for algorithms of Stable-Baselines3's kind."""
        envs = gym.make_vec(
            ENVIRONMENTS[self.table.stage],
            num_envs=num_envs,
            vectorization_mode="vector_entry_point",
            **self._arguments,
        )
        assert isinstance(envs, CompressionVectorEnv)
        return BatchedVecEnv(envs)

    @property
    def _arguments(self) -> dict[str, Any]:
        facts = self.table.facts
        problem = {**facts["problem"], "recipe": facts["recipe"]["name"]}
        # random search's exact expectation is that of episodes whose every action is as likely, also one that can only fail
        return {**problem, "evaluator": f"table:{self.name}", "seed": MEAN, "lookahead": False}


def tasks_by_name(names: Sequence[str] = ()) -> list[Task]:
    """Tasks on the tables of these names; on all tables of the package by default.

    Raises:
        InputError: If there is none, or two tables have the same name.
    """
    tasks = [Task(name) for name in names or table_names()]
    if not tasks:
        raise InputError("there is no table to compare algorithms on; build one (n2n table build) and name its file: --tasks")
    called = [task.table.name for task in tasks]
    if len(set(called)) != len(called):
        raise InputError(f"the tables must have different names, not {', '.join(called)}")
    return tasks
