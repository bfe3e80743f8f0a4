"""What the algorithms that play whole episodes side by side have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback

from agents.algorithms.plans import Plans
from n2n_gym.envs.info import UNDECIDED


def keeps_limits(info: dict[str, Any]) -> bool:
    """Whether an episode has a student and it is of use: not degenerate, and within all limits.

    Its reward does not say: while limits are relaxed, students that exceed them are rewarded, too. An episode that was
    truncated has no student; its reward is 0.
    """
    return bool(info["actions"][-1] != UNDECIDED) and not info["reason"] and not info["violated"]


class EpisodicAlgorithm(BaseAlgorithm):
    """Starts training at the start of an episode, and steps all environments together."""

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Train until at least this many environment steps were made; updates are never cut short."""
        name = tb_log_name or type(self).__name__
        total_timesteps, ready = self._setup_learn(total_timesteps, callback, reset_num_timesteps, name, progress_bar)
        assert self.env is not None
        assert isinstance(self._last_obs, dict)
        if self._last_obs["position"].any():  # an episode that was interrupted is not gone on with
            self._last_obs = self.env.reset()  # type: ignore[assignment]
        ready.on_training_start(locals(), globals())
        while self.num_timesteps < total_timesteps:
            self._begin_update(ready)
            if not self._update(ready):
                break
            if log_interval and self._n_updates % log_interval == 0:
                self.logger.dump(step=self.num_timesteps)
        ready.on_training_end()
        return self

    @abstractmethod
    def _update(self, callback: BaseCallback) -> bool:
        """Play the episodes of one update and learn from them; False if the callback stopped the training."""

    def _begin_update(self, callback: BaseCallback) -> None:
        """Tell callback and environments that the episodes of the next policy update begin."""
        assert self.env is not None
        callback.on_rollout_start()
        self.env.env_method("set_update", self._n_updates)

    def _play(self, plans: Plans, callback: BaseCallback) -> tuple[list[float], list[dict[str, Any]]] | None:
        """Play planned episodes, one in each environment: their returns, and their last steps' infos.

        None if the callback stopped the training. A truncated episode, too, is over: the rest of its plan is not played.
        """
        returns = np.zeros(self.n_envs)
        infos: list[dict[str, Any]] = []
        for actions in plans.T:
            stepped = self._step(actions, callback)
            if stepped is None:
                return None
            rewards, dones, infos = stepped
            returns += rewards
            if dones.all():
                break
        return returns.tolist(), infos

    def _step(
        self, actions: npt.NDArray[Any], callback: BaseCallback
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], list[dict[str, Any]]] | None:
        """Step every environment once: rewards, which episodes are over, infos; None if the callback stopped the training."""
        assert self.env is not None
        self._last_obs, rewards, dones, infos = self.env.step(actions)  # type: ignore[assignment]
        self.num_timesteps += self.n_envs
        self._update_info_buffer(infos, dones)
        callback.update_locals(locals())
        if dones.any() and not dones.all():
            raise ValueError(f"{type(self).__name__} plays episodes side by side; these environments' differ in length")
        return (rewards, dones, infos) if callback.on_step() else None
