"""Episodes side by side, their students trained in one batch."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import InvalidAction
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from n2n_gym.architecture.features import DECISION, HIGH
from n2n_gym.envs.judge import Finished, Judge
from n2n_gym.envs.observation import Observation, space_of
from n2n_gym.envs.settings import Settings
from n2n_gym.errors import InputError
from n2n_gym.stages.base import Mask, Stage

Actions = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]


class CompressionVectorEnv(VectorEnv[Observation, Actions, Numbers]):
    """`num_envs` episodes in step with each other: all have the same length, so all end together.

    Autoreset is Gymnasium's default: the step after the last one starts the next episodes and ignores its actions. The last
    step's `info` holds an array for each key of the single environment's, and under `_KEY` which episodes it is of: all.

    Args:
        num_envs: Episodes side by side.
        stage: What is decided.
        settings: What is compressed and how a student is judged.
        check_limits: Whether limits that no student of the stage can keep are refused.

    Raises:
        InputError: If `num_envs` is less than 1, or then.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}  # type: ignore[misc]

    def __init__(self, num_envs: int, stage: Stage, settings: Settings, *, check_limits: bool = True) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, not {num_envs}")
        self.num_envs = num_envs
        self.stage = stage
        self.judge = Judge(settings, stage, check_limits=check_limits)
        self.single_observation_space = space_of(stage)
        self.single_action_space = spaces.Discrete(stage.actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.finished: list[Finished] = []
        self._start()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed[0] if isinstance(seed, list) else seed)
        self._start()
        return self._observation(), {}

    def step(self, actions: Actions) -> tuple[Observation, Numbers, Numbers, Numbers, dict[str, Any]]:
        rewards = np.zeros(self.num_envs)
        terminations = np.zeros(self.num_envs, dtype=np.bool_)
        truncations = np.zeros(self.num_envs, dtype=np.bool_)
        info: dict[str, Any] = {}
        if self._position == self.stage.decisions:
            self._start()
            return self._observation(), rewards, terminations, truncations, info
        chosen = self._checked(actions)
        self._rows[:, self._position, DECISION] = chosen + 1
        self._position += 1
        if self._position == self.stage.decisions:
            episodes = (self._rows[:, :, DECISION].astype(np.int64) - 1).tolist()
            self.finished = self.judge.finish(episodes, self.np_random)
            rewards[:] = [finished.reward for finished in self.finished]
            info = _batched([finished.info for finished in self.finished])
            terminations[:] = True
        return self._observation(), rewards, terminations, truncations, info

    def _checked(self, actions: Actions) -> Actions:
        chosen = np.asarray(actions, dtype=np.int64)
        # as unsigned numbers, negative ones are the largest: one look at them finds those out of range on either side
        fit = chosen.shape == (self.num_envs,) and chosen.view(np.uint64).max() < self.stage.actions
        if not fit or (chosen is not actions and (chosen != actions).any()):
            raise InvalidAction(f"expected {self.num_envs} actions from 0 to {self.stage.actions - 1}, received {actions}")
        return chosen

    def set_update(self, update: int) -> None:
        """Tell the environments how many policy updates were done: relaxed limits tighten with them."""
        self.judge.update = update

    def action_masks(self) -> Mask:
        """Which actions have an effect now, shape (num_envs, actions)."""
        mask = self.stage.masks[min(self._position, self.stage.decisions - 1)]
        return np.tile(mask, (self.num_envs, 1))

    def close_extras(self, **kwargs: Any) -> None:
        self.judge.close()

    def _start(self) -> None:
        self._position = 0
        self._rows = np.tile(self.stage.rows, (self.num_envs, 1, 1))

    def _observation(self) -> Observation:
        over = self._position == self.stage.decisions
        previous = self._rows[:, self._position - 1, DECISION] if self._position else np.zeros(self.num_envs)
        observation: Observation = {
            "architecture": self._rows.reshape(self.num_envs, -1).copy(),
            "layer": np.tile(np.zeros_like(HIGH), (self.num_envs, 1)) if over else self._rows[:, self._position].copy(),
            "position": np.full(self.num_envs, self._position, dtype=np.int64),
        }
        if self.stage.shows_previous_action:
            observation["previous_action"] = previous.astype(np.int64)
        return observation


def _batched(infos: list[dict[str, Any]]) -> dict[str, Any]:
    """What Gymnasium makes of the infos of single environments, a whole column at a time."""
    info: dict[str, Any] = {}
    for key, value in infos[0].items():
        column = np.empty(len(infos), dtype=type(value) if isinstance(value, int | float) else object)
        column[:] = [each[key] for each in infos]
        info[key] = column
        info[f"_{key}"] = np.ones(len(infos), dtype=np.bool_)
    return info
