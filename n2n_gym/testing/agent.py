"""What an algorithm must do on the environments, as tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

import n2n_gym  # noqa: F401  registers the environments

Act = Callable[[dict[str, Any], bool], int]
"""A policy: from an observation, and whether it is to take the most probable action, to an action."""


class AgentSuite:
    """What an algorithm promises that searches with `search`. A subclass defines it, and may set the numbers.

    The environments look students up in the tables that the package ships, so nothing is trained.

    Attributes:
        evaluations: Students that a search may look at; a multiple of the episodes that the algorithm plays at a time.
        environments: Ids of the environments that it is for.
    """

    evaluations: int = 50
    environments: tuple[str, ...] = ("N2N/LayerRemoval-v0", "N2N/LayerShrink-v0")

    def search(self, env: gym.Env[Any, Any], evaluations: int, seed: int) -> Act | None:
        """Play so many episodes, and return what was learned; None for a search without a policy.

        A search that goes on is ended, as the benchmark ends it: by an exception that it lets pass.

        Args:
            env: A single environment, as `gym.make` returns it.
            evaluations: How many episodes.
            seed: Of everything random in the algorithm.
        """
        raise NotImplementedError("a suite's subclass says how its algorithm searches")

    def test_plays_as_many_episodes_as_it_may(self) -> None:
        for env_id in self.environments:
            played, _ = self._searched(env_id, seed=0)
            assert len(played) == self.evaluations

    def test_the_same_seed_plays_the_same_episodes_whatever_else_draws(self) -> None:
        for env_id in self.environments:
            np.random.seed(1)  # noqa: NPY002  what others draw is no affair of a search
            first, _ = self._searched(env_id, seed=3)
            np.random.seed(2)  # noqa: NPY002
            again, _ = self._searched(env_id, seed=3)
            other, _ = self._searched(env_id, seed=4)
            assert first == again
            assert first != other

    def test_looks_at_more_than_one_student(self) -> None:
        for env_id in self.environments:
            played, _ = self._searched(env_id, seed=0)
            assert len(set(played)) > 1

    def test_its_policy_plays_whole_episodes(self) -> None:
        for env_id in self.environments:
            _, act = self._searched(env_id, seed=0)
            if act is None:
                continue
            env = _env(env_id)
            for greedy in (False, True):
                observation, _ = env.reset(seed=0)
                seen = copy.deepcopy(observation)
                terminated = False
                while not terminated:
                    action = act(observation, greedy)
                    assert all(np.array_equal(seen[key], observation[key]) for key in seen), "it changed what it observed"
                    observation, _, terminated, _, info = env.step(action)
                    seen = copy.deepcopy(observation)
                assert min(info["actions"]) >= 0

    def _searched(self, env_id: str, seed: int) -> tuple[list[tuple[int, ...]], Act | None]:
        """The episodes that a search plays, and the policy that it ends with."""
        played: list[tuple[int, ...]] = []
        try:
            return played, self.search(_Recorded(_env(env_id), played, self.evaluations), self.evaluations, seed)
        except _EndedError:
            return played, None


class _EndedError(Exception):
    """A search has had its episodes."""


class _Recorded(gym.Wrapper[Any, Any, Any, Any]):
    """Writes down the actions of every episode that ends, and ends the search after so many."""

    def __init__(self, env: gym.Env[Any, Any], played: list[tuple[int, ...]], evaluations: int) -> None:
        super().__init__(env)
        self._played = played
        self._evaluations = evaluations

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if len(self._played) == self._evaluations:
            raise _EndedError
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self._played.append(tuple(map(int, info["actions"])))
        return observation, reward, terminated, truncated, info

    def report(self, actions: Sequence[int]) -> None:
        """What the algorithm would choose: one that it has looked at."""
        assert tuple(map(int, actions)) in self._played, "an algorithm reports a student that it has looked at"


def _env(env_id: str) -> gym.Env[Any, Any]:
    return gym.make(env_id, evaluator="table")
