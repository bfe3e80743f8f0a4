"""Search without a learned policy, as Stable-Baselines3 algorithms, and the simplest: uniform random search.

They are the lines that a learning agent must beat at an equal number of evaluated students.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from agents.algorithms.episodic import EpisodicAlgorithm, keeps_limits
from agents.algorithms.plans import Plans, uniform_plans
from agents.algorithms.saving import read_agent, restoring, save_agent
from n2n_gym.errors import InputError
from n2n_gym.stages.base import Stage


class PlanPolicy(BasePolicy):
    """Plays one whole episode's actions by heart: the best that were found.

    Args:
        observation_space: A compression environment's.
        action_space: A compression environment's.
        lr_schedule: Not used.
        decisions: Length of an episode.
    """

    plan: Tensor

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Discrete, lr_schedule: Schedule, *, decisions: int
    ) -> None:
        super().__init__(observation_space, action_space)
        self.register_buffer("plan", torch.zeros(decisions, dtype=torch.int64))

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        return self.plan[observation["position"].long().view(-1).clamp(max=len(self.plan) - 1)]


class PlannedSearch(EpisodicAlgorithm):
    """Proposes whole episodes, plays them side by side and remembers what they brought.

    Args:
        env: A compression environment, single or vectorised.
        policy: Not for use; Stable-Baselines3 hands it through.
        stats_window_size: Episodes that the logged means run over.
        tensorboard_log: Folder of TensorBoard logs.
        verbose: 0 prints nothing, 1 a table after each batch of episodes.
        seed: Of the proposals.
    """

    policy: PlanPolicy
    _constructor: ClassVar[tuple[str, ...]] = ()
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"PlanPolicy": PlanPolicy}

    def __init__(
        self,
        env: GymEnv | str,
        policy: str | type[PlanPolicy] = "PlanPolicy",
        *,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=0.0,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device="cpu",
            support_multi_env=True,
            seed=seed,
            supported_action_spaces=(spaces.Discrete,),
        )
        self.best_keeps, self.best_return = False, -np.inf
        self._setup_model()

    @classmethod
    def check_installed(cls) -> None:
        """Refuse to begin where a library is missing that this search needs and the package does without.

        Raises:
            InputError: Then.
        """

    def _setup_model(self) -> None:
        self.check_installed()
        assert self.env is not None
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.rng = np.random.default_rng(self.seed)
        self.stage: Stage = self.env.get_attr("stage")[0]
        self.masks: npt.NDArray[np.bool_] = self.stage.masks
        self.policy = PlanPolicy(self.observation_space, self.action_space, self.lr_schedule, decisions=len(self.masks))  # type: ignore[arg-type]

    @abstractmethod
    def propose(self, count: int) -> Plans:
        """The next episodes to play, shape (count, decisions)."""

    def observe(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        """What the proposed episodes brought: their returns, and their last steps' infos."""
        for plan, value, info in zip(plans, returns, infos, strict=True):
            keeps = keeps_limits(info)
            if (keeps, value) > (self.best_keeps, self.best_return):
                self.best_keeps, self.best_return = keeps, float(value)
                self.policy.plan.copy_(torch.as_tensor(plan))

    def uniform(self, count: int) -> Plans:
        """Episodes drawn uniformly, shape (count, decisions); see `uniform_plans`."""
        return uniform_plans(self.stage, self.rng, count)

    def _update(self, callback: BaseCallback) -> bool:
        plans = self._checked(self.propose(self.n_envs))
        played = self._play(plans, callback)
        if played is None:
            return False
        returns, infos = played
        callback.on_rollout_end()
        self.observe(plans, returns, infos)
        self._n_updates += 1
        self.logger.record("rollout/reward_mean", float(np.mean(returns)))
        self.logger.record("rollout/reward_best", self.best_return)
        return True

    def _checked(self, proposed: Any) -> Plans:
        """What `propose` gave, in the type that it must have.

        Raises:
            InputError: If it is something else: a search of the user's own may give anything.
        """
        try:
            plans = np.asarray(proposed)
        except ValueError:  # lists of different lengths
            plans = np.empty(0)
        shape = (self.n_envs, len(self.masks))
        if plans.shape != shape or plans.dtype.kind not in "iu":
            given = f"{plans.dtype} of shape {plans.shape}" if plans.size else repr(proposed)
            raise InputError(f"{type(self).__name__}.propose must give whole numbers of shape {shape}, not {given}")
        most = self.masks.shape[1] - 1
        if plans.min() < 0 or plans.max() > most:
            raise InputError(f"{type(self).__name__}.propose must give actions from 0 to {most}, not {plans.tolist()}")
        return plans.astype(np.int64, copy=False)

    def memory(self) -> dict[str, Tensor]:
        """What it has learned besides the best plan."""
        return {}

    def remember(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `memory` returned."""

    def save(self, path: str | Path, exclude: Any = None, include: Any = None) -> None:  # type: ignore[override]
        """Write everything to one safetensors file; `exclude` and `include` are not used."""
        settings = {
            "algorithm": type(self).__name__,
            "actions": self.masks.shape[1],
            "best_keeps": self.best_keeps,
            "best_return": self.best_return if np.isfinite(self.best_return) else None,
            "num_timesteps": self.num_timesteps,
            "n_updates": self._n_updates,
            "rng": self.rng.bit_generator.state,
            **{name: getattr(self, name) for name in self._constructor},
        }
        save_agent(Path(path), {"plan": self.policy.plan, **self.memory()}, settings)

    @classmethod
    def load(cls, path: str | Path, env: GymEnv | None = None, **settings: Any) -> Self:  # type: ignore[override]
        """Read what `save` wrote.

        Args:
            path: The file.
            env: To go on in.
            **settings: Arguments of the constructor to set anew.

        Raises:
            InputError: If the file is no saved agent of this class, or was saved for another number of decisions.
        """
        tensors, saved = read_agent(Path(path), cls.__name__)
        if env is None:
            raise InputError(f"give the environment that {path} is to act in: {cls.__name__}.load(path, env)")
        with restoring(Path(path)):
            agent = cls(env, **{name: saved[name] for name in cls._constructor} | settings)
            if tensors["plan"].shape != agent.policy.plan.shape:
                raise InputError(f"{path} plans {len(tensors['plan'])} decisions, the environment has {len(agent.masks)}")
            agent.policy.plan.copy_(tensors.pop("plan"))
            agent.best_keeps = saved["best_keeps"]
            agent.best_return = -np.inf if saved["best_return"] is None else saved["best_return"]
            agent.num_timesteps = saved["num_timesteps"]
            agent._n_updates = saved["n_updates"]
            agent.rng.bit_generator.state = saved["rng"]
            agent.remember(tensors)
        return agent


class RandomSearch(PlannedSearch):
    """Actions drawn uniformly among those of use."""

    def propose(self, count: int) -> Plans:
        return self.uniform(count)
