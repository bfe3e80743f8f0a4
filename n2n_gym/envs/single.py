"""The compression MDP as a Gymnasium environment (section 3.1); the two stages differ in their `Stage` alone."""

from __future__ import annotations

import operator
from abc import ABC
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded

from n2n_gym.architecture.features import DECISION, HIGH
from n2n_gym.envs.info import UNDECIDED, Finished, Info, Preview, unfinished
from n2n_gym.envs.judge import Judge
from n2n_gym.envs.masks import ActionMask, Masks
from n2n_gym.envs.observation import Observation, space_of
from n2n_gym.envs.registration import PlainSpec
from n2n_gym.envs.render import RENDER_MODES, Renderer
from n2n_gym.envs.settings import Settings
from n2n_gym.stages.base import Stage


class CompressionEnv(gym.Env[Observation, np.int64], ABC):
    """One episode edits one network: one decision a step, one reward at the end.

    It may be copied and pickled at any moment, and used in another thread than the one it was made in.

    Attributes:
        stage: What is decided.
        judge: Who rewards.
        finished: The last episode that was finished; kept through `reset`.
    """

    spec = PlainSpec()
    metadata: ClassVar[dict[str, Any]] = {"render_modes": RENDER_MODES, "render_fps": 4}  # type: ignore[misc]

    def __init__(self, stage: Stage, settings: Settings, render_mode: Literal["ansi", "rgb_array"] | None) -> None:
        self.render_mode = render_mode
        self.stage = stage
        self.judge = Judge(settings, stage)
        self.observation_space = space_of(stage)
        self.action_space = spaces.Discrete(stage.actions)
        self.finished: Finished | None = None
        self._masks = Masks(stage)
        self._renderer = Renderer(stage, render_mode)
        self._position = stage.decisions  # reset comes first
        self._actions: list[int] = []
        self._rows = stage.rows.copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        super().reset(seed=seed)
        self._position = 0
        self._actions = []
        self._rows = self.stage.rows.copy()
        return self._observation(), unfinished([], self.stage.decisions)

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, Info]:
        if self._position >= self.stage.decisions:
            over = "the episode is over" if self._actions else "no episode was begun"
            raise ResetNeeded(f"{over}; call reset() before the next step()")
        try:
            chosen = operator.index(action)
        except TypeError:
            chosen = UNDECIDED
        if not 0 <= chosen < self.stage.actions:
            raise InvalidAction(f"action must be a whole number from 0 to {self.stage.actions - 1}, not {action!r}")
        self._actions.append(chosen)
        self._rows[self._position, DECISION] = chosen + 1
        self._position += 1
        if self._position < self.stage.decisions:
            return self._observation(), 0.0, False, False, unfinished(self._actions, self.stage.decisions)
        [self.finished] = self.judge.finish([self._actions], [self.np_random])
        return self._observation(), self.finished.reward, True, False, self.finished.info

    def set_update(self, update: int) -> None:
        """Tell the environment how many policy updates were done: relaxed limits tighten with them."""
        self.judge.set_update(update)

    def preview(self, actions: Sequence[int]) -> Preview:
        """What is known of a whole episode's student without training it: its sizes, and whether it is feasible and allowed.

        Args:
            actions: One for each decision.

        Raises:
            InvalidAction: If there are not so many, or one is out of range.
        """
        return self.judge.preview(actions)

    def action_masks(self) -> ActionMask:
        """Which actions are of use now, 1 or 0, shape (actions,), int8: as `action_space.sample(mask=...)` wants it."""
        mask: ActionMask = self._masks.after([self._actions])[0]
        return mask

    def render(self) -> str | npt.NDArray[np.uint8] | None:
        return self._renderer.frame(self._actions)

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
