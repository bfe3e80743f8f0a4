"""The compression MDP as a Gymnasium environment (section 3.1); the two stages differ in their `Stage` alone."""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded

from n2n_gym.architecture.features import DECISION, HIGH
from n2n_gym.envs.judge import Finished, Judge
from n2n_gym.envs.observation import Observation, space_of
from n2n_gym.envs.render import draw_ansi, draw_rgb_array
from n2n_gym.envs.settings import Settings
from n2n_gym.errors import unknown
from n2n_gym.stages.base import Mask, Stage


class CompressionEnv(gym.Env[Observation, np.int64], ABC):
    """One episode edits one network: one decision a step, one reward at the end.

    Attributes:
        stage: What is decided.
        judge: Who rewards.
        finished: The last episode that was finished; kept through `reset`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # type: ignore[misc]

    def __init__(self, stage: Stage, settings: Settings, render_mode: Literal["ansi", "rgb_array"] | None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown("render mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.stage = stage
        self.judge = Judge(settings, stage)
        self.observation_space = space_of(stage)
        self.action_space = spaces.Discrete(stage.actions)
        self.finished: Finished | None = None
        self._position = stage.decisions  # reset comes first
        self._actions: list[int] = []
        self._rows = stage.rows.copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._position = 0
        self._actions = []
        self._rows = self.stage.rows.copy()
        return self._observation(), {}

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self._position >= self.stage.decisions:
            raise ResetNeeded("the episode is over; call reset() before the next step()")
        chosen = int(action)
        if chosen != action or not 0 <= chosen < self.stage.actions:
            raise InvalidAction(f"action must be 0 to {self.stage.actions - 1}, not {action}")
        self._actions.append(chosen)
        self._rows[self._position, DECISION] = chosen + 1
        self._position += 1
        if self._position < self.stage.decisions:
            return self._observation(), 0.0, False, False, {}
        [self.finished] = self.judge.finish([self._actions], self.np_random)
        return self._observation(), self.finished.reward, True, False, self.finished.info

    def set_update(self, update: int) -> None:
        """Tell the environment how many policy updates were done: relaxed limits tighten with them."""
        self.judge.update = update

    def action_masks(self) -> Mask:
        """Which actions have an effect now, shape (actions,); for sb3-contrib's MaskablePPO and for planners."""
        mask: Mask = self.stage.masks[min(self._position, self.stage.decisions - 1)]
        return mask.copy()

    def render(self) -> str | npt.NDArray[np.uint8] | None:
        if self.render_mode == "ansi":
            return draw_ansi(self.stage, self._actions)
        if self.render_mode == "rgb_array":
            return draw_rgb_array(self.stage, self._actions)
        return None

    def close(self) -> None:
        self.judge.close()

    def _observation(self) -> Observation:
        position = self._position
        over = position >= self.stage.decisions
        observation: Observation = {
            "architecture": self._rows.flatten(),
            "layer": np.zeros_like(HIGH) if over else self._rows[position].copy(),
            "position": np.int64(position),
        }
        if self.stage.shows_previous_action:
            observation["previous_action"] = np.int64(self._actions[-1] + 1 if self._actions else 0)
        return observation
