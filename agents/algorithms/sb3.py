"""The batching vector environment as Stable-Baselines3 wants it, and what its algorithms need beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

import n2n_gym  # noqa: F401  registers the environments
from n2n_gym.envs.vector import ONE_EACH, CompressionVectorEnv
from n2n_gym.envs.wrappers import encoding_by_name
from n2n_gym.errors import InputError

ENVIRONMENTS = {"removal": "N2N/LayerRemoval-v0", "shrink": "N2N/LayerShrink-v0", "both": "N2N/BothStages-v0"}
"""Each stage's, by its name."""


class BatchedVecEnv(VecEnv):
    """Lets any Stable-Baselines3 algorithm play episodes side by side and have their students trained in one batch.

    Episodes restart by themselves in the step that ends them, as Stable-Baselines3 expects. Each ending carries what
    its `Monitor` would have recorded, so logs and callbacks work as usual.

    Args:
        envs: From `gym.make_vec("N2N/...", num_envs=...)`.

    Raises:
        TypeError: If it is something else, or wrapped.
        InputError: If its episodes start again in the step that ends them.
    """

    def __init__(self, envs: CompressionVectorEnv) -> None:
        if not isinstance(envs, CompressionVectorEnv):
            raise TypeError(f"BatchedVecEnv takes what gym.make_vec('N2N/...') gives, unwrapped, not {type(envs).__name__}")
        if envs.autoreset_mode is AutoresetMode.SAME_STEP:
            raise InputError("BatchedVecEnv starts the next episodes itself; make its environments without autoreset_mode")
        self.envs = envs
        self._actions = np.zeros(envs.num_envs, dtype=np.int64)
        self._start = time.time()
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> VecEnvObs:
        observation, info = self.envs.reset(seed=self._seeds)
        self.reset_infos = _each(info)
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        observation, rewards, terminations, truncations, columns = self.envs.step(self._actions)
        dones = terminations | truncations
        infos = _each(columns)
        for info, truncated in zip(infos, (truncations & ~terminations).tolist(), strict=True):
            info["TimeLimit.truncated"] = truncated
        if dones.all():  # all are equally long
            seconds = round(time.time() - self._start, 6)
            for i, info in enumerate(infos):
                info["terminal_observation"] = {key: value[i] for key, value in observation.items()}
                info["episode"] = {"r": float(rewards[i]), "l": int(observation["position"][i]), "t": seconds}
            observation, started = self.envs.reset()
            self.reset_infos = _each(started)
        return observation, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        self.envs.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        found = getattr(self.envs, attr_name)
        # a method is handed out, as by DummyVecEnv, and not called
        each = (found,) * self.num_envs if callable(found) else self.envs.get_attr(attr_name)
        return [each[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        self._refuse_some(f"set {attr_name}", indices)
        self.envs.set_attr(attr_name, [value] * self.num_envs)

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        if method_name not in ONE_EACH:
            self._refuse_some(f"call {method_name}", indices)
        answers = self.envs.call(method_name, *method_args, **method_kwargs)
        return [answers[i] for i in self._get_indices(indices)]

    def _refuse_some(self, what: str, indices: int | Iterable[int] | None) -> None:
        """What the episodes share cannot be another for some of them."""
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise InputError(f"cannot {what} for some of the environments: they share it; leave indices out")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: int | Iterable[int] | None = None) -> list[bool]:
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


def episodes_side_by_side(stage: str, count: int, **settings: Any) -> BatchedVecEnv:
    """So many episodes of a stage.

    Args:
        stage: One of `ENVIRONMENTS`.
        count: How many.
        **settings: Of the environment.
    """
    envs = gym.make_vec(ENVIRONMENTS[stage], num_envs=count, vectorization_mode="vector_entry_point", **settings)
    assert isinstance(envs, CompressionVectorEnv)
    return BatchedVecEnv(envs)


def _each(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """The info of each environment."""
    keys = [key for key in columns if not key.startswith("_")]
    values = [list(columns[key]) if columns[key].ndim > 1 else columns[key].tolist() for key in keys]
    return [dict(zip(keys, each, strict=True)) for each in zip(*values, strict=True)]


class EncodedVecEnv(VecEnvWrapper):
    """Gives an algorithm flat, scaled vectors to observe.

    Args:
        venv: The environments: `BatchedVecEnv`, or what `make_vec_env("N2N/...")` of Stable-Baselines3 gives.
        encoding: `layer` (the same size for every teacher) or `flat` (all decisions so far).

    Raises:
        InputError: If the encoding is unknown, or another wrapper has changed the observations.
        TypeError: If they are other environments.
    """

    def __init__(self, venv: VecEnv, encoding: str = "layer") -> None:
        try:
            stage = venv.get_attr("stage")[0]
        except AttributeError:
            raise TypeError(f"EncodedVecEnv wraps compression environments side by side, not {venv}") from None
        self._encoding = encoding_by_name(encoding, stage, venv.observation_space)
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


NEVER = 10**9
"""Updates between two tables of Stable-Baselines3's logger, where what there is to say is recorded otherwise."""


class PolicyUpdates(BaseCallback):
    """Tells the environments how many policy updates were done, for limits that tighten with them.

    For the on-policy algorithms of Stable-Baselines3 and sb3-contrib; this package's own tell them themselves. It counts by
    the model's `num_timesteps`: go on with a loaded model with `learn(..., reset_num_timesteps=False)`, or limits start over.

    Raises:
        InputError: When an off-policy algorithm begins to learn with it.
    """

    def _on_training_start(self) -> None:
        if isinstance(self.model, OffPolicyAlgorithm):
            raise InputError(
                f"{type(self.model).__name__} has no policy updates of whole batches to count: tell the environments yourself "
                "how far limits have tightened, env_method('set_update', number), or leave PolicyUpdates() out"
            )

    def _on_rollout_start(self) -> None:
        if isinstance(self.model, OnPolicyAlgorithm):
            batch = self.model.n_steps * self.model.n_envs
            self.training_env.env_method("set_update", self.model.num_timesteps // batch)

    def _on_step(self) -> bool:
        return True
