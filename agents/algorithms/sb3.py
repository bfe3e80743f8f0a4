"""The batching vector environment as Stable-Baselines3 wants it, and what its algorithms need beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.envs.wrappers import encoding_by_name


class BatchedVecEnv(VecEnv):
    """Lets any Stable-Baselines3 algorithm play episodes side by side and have their students trained in one batch.

    Episodes restart by themselves in the step that ends them, as Stable-Baselines3 expects. Each ending carries what
    its `Monitor` would have recorded, so logs and callbacks work as usual.

    Args:
        envs: From `gym.make_vec("N2N/...", num_envs=...)`.
    """

    def __init__(self, envs: CompressionVectorEnv) -> None:
        if not isinstance(envs, CompressionVectorEnv):
            raise TypeError(f"BatchedVecEnv takes what gym.make_vec('N2N/...') gives, unwrapped, not {type(envs).__name__}")
        self.envs = envs
        self._actions = np.zeros(envs.num_envs, dtype=np.int64)
        self._start = time.time()
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> VecEnvObs:
        observation, _ = self.envs.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        observation, rewards, terminations, _, _ = self.envs.step(self._actions)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        if terminations.all():
            seconds = round(time.time() - self._start, 6)
            for i, (info, finished) in enumerate(zip(infos, self.envs.finished, strict=True)):
                info |= finished.info
                info["terminal_observation"] = {key: value[i] for key, value in observation.items()}
                info["episode"] = {"r": float(rewards[i]), "l": self.envs.stage.decisions, "t": seconds}
            observation, _ = self.envs.reset()
        return observation, rewards.astype(np.float32), terminations, infos

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        value = getattr(self.envs, attr_name)
        each: Sequence[Any] = value if isinstance(value, list) else [value] * self.num_envs
        return [each[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        results = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        return [None if results is None else results[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: int | Iterable[int] | None = None) -> list[bool]:
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


class EncodedVecEnv(VecEnvWrapper):
    """Gives an algorithm flat, scaled vectors to observe.

    Args:
        venv: The environments.
        encoding: `layer` (the same size for every teacher) or `flat` (all decisions so far).
    """

    venv: BatchedVecEnv

    def __init__(self, venv: BatchedVecEnv, encoding: str = "layer") -> None:
        self._encoding = encoding_by_name(encoding, venv.envs.stage)
        super().__init__(venv, observation_space=self._encoding.space)

    def reset(self) -> VecEnvObs:
        return self._encoded(self.venv.reset())

    def step_wait(self) -> VecEnvStepReturn:
        observation, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                info["terminal_observation"] = self._encoding.encode(info["terminal_observation"])
        return self._encoded(observation), rewards, dones, infos

    def _encoded(self, observation: VecEnvObs) -> VecEnvObs:
        assert isinstance(observation, dict)
        return self._encoding.encode(observation)


class PolicyUpdates(BaseCallback):
    """Tells the environments how many policy updates were done, for limits that tighten with them.

    For the on-policy algorithms of Stable-Baselines3 and sb3-contrib; this package's own tell them themselves. It counts by
    the model's `num_timesteps`: go on with a loaded model with `learn(..., reset_num_timesteps=False)`, or limits start over.
    """

    def _on_rollout_start(self) -> None:
        if isinstance(self.model, OnPolicyAlgorithm):
            batch = self.model.n_steps * self.model.n_envs
            self.training_env.env_method("set_update", self.model.num_timesteps // batch)

    def _on_step(self) -> bool:
        return True
