"""What the algorithms that play whole episodes side by side have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback


class EpisodicAlgorithm(BaseAlgorithm):
    """Starts training at the start of an episode, and steps all environments together."""

    def _begin(
        self, total_timesteps: int, callback: MaybeCallback, reset_num_timesteps: bool, name: str, progress_bar: bool
    ) -> tuple[int, BaseCallback]:
        """Prepare `learn`: the step to stop at, and the callback, which has been told that training starts."""
        total_timesteps, ready = self._setup_learn(total_timesteps, callback, reset_num_timesteps, name, progress_bar)
        assert self.env is not None
        assert isinstance(self._last_obs, dict)
        if self._last_obs["position"].any():  # an episode that was interrupted is not gone on with
            self._last_obs = self.env.reset()  # type: ignore[assignment]
        ready.on_training_start(locals(), globals())
        return total_timesteps, ready

    def _begin_update(self, callback: BaseCallback) -> None:
        """Tell callback and environments that the episodes of the next policy update begin."""
        assert self.env is not None
        callback.on_rollout_start()
        self.env.env_method("set_update", self._n_updates)

    def _step(
        self, actions: npt.NDArray[Any], callback: BaseCallback
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]] | None:
        """Step every environment once: rewards and which episodes are over; None if the callback stopped the training."""
        assert self.env is not None
        self._last_obs, rewards, dones, infos = self.env.step(actions)  # type: ignore[assignment]
        self.num_timesteps += self.n_envs
        self._update_info_buffer(infos, dones)
        callback.update_locals(locals())
        return (rewards, dones) if callback.on_step() else None
