"""Search without a learned policy: uniform random search and regularised evolution, as Stable-Baselines3 algorithms.

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
from agents.algorithms.saving import read_agent, restoring, save_agent
from n2n_gym.errors import InputError
from n2n_gym.stages.base import Stage

Plans = npt.NDArray[np.int64]

TRIES = 20
"""Draws in search of a feasible student, before another way is taken."""


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

    def _setup_model(self) -> None:
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
        """Episodes drawn uniformly among those that have an effect, shape (count, decisions).

        Where masks look ahead, among those of feasible students; where these are rare, decision by decision.
        """
        plans: Plans = np.where(self.masks, self.rng.random((count, *self.masks.shape)), -1.0).argmax(2)
        if self.stage.lookahead:
            for plan in plans:
                for _ in range(TRIES):
                    if self.stage.feasible(plan.tolist()):
                        break
                    plan[:] = np.where(self.masks, self.rng.random(self.masks.shape), -1.0).argmax(1)
                else:
                    plan[:] = self._guided()
        return plans

    def _guided(self) -> list[int]:
        """An episode drawn decision by decision among what can still become a feasible student.

        It has a share of its own of decisions that leave things as they are: with the same for all, their students would all
        be nearly as large as they may be.
        """
        share = self.rng.random()
        plan: list[int] = []
        for _ in range(len(self.masks)):
            useful = np.flatnonzero(self.stage.mask(plan))
            others = useful[useful != self.stage.keep]
            keeps = len(others) < len(useful) and (not len(others) or self.rng.random() < share)
            plan.append(self.stage.keep if keeps else int(self.rng.choice(others)))
        return plan

    def _update(self, callback: BaseCallback) -> bool:
        plans = self.propose(self.n_envs)
        returns = np.zeros(self.n_envs)
        infos: list[dict[str, Any]] = []
        for actions in plans.T:
            stepped = self._step(actions, callback)
            if stepped is None:
                return False
            rewards, dones, infos = stepped
            returns += rewards
            if dones.all():  # a truncated episode, too, is over: the rest of its plan is not played
                break
        callback.on_rollout_end()
        self.observe(plans, returns.tolist(), infos)
        self._n_updates += 1
        self.logger.record("rollout/reward_mean", float(returns.mean()))
        self.logger.record("rollout/reward_best", self.best_return)
        return True

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


class RegularizedEvolution(PlannedSearch):
    """Ageing evolution (Real et al., AAAI 2019): mutate the best of a few, let the oldest go.

    Args:
        env: A compression environment, single or vectorised.
        population_size: Episodes that are alive.
        sample_size: Of them, how many compete to be the parent.
        **settings: Arguments of `PlannedSearch`.
    """

    _constructor: ClassVar[tuple[str, ...]] = ("population_size", "sample_size")

    def __init__(self, env: GymEnv | str, *, population_size: int = 50, sample_size: int = 10, **settings: Any) -> None:
        if not 1 <= sample_size <= population_size:
            raise ValueError(f"sample_size must be 1 to population_size ({population_size}), not {sample_size}")
        self.population_size = population_size
        self.sample_size = sample_size
        self.population: list[tuple[npt.NDArray[np.int64], float]] = []
        super().__init__(env, **settings)

    def propose(self, count: int) -> Plans:
        newcomers = min(count, self.population_size - len(self.population)) if self.population else count
        children = [self._child() for _ in range(count - newcomers)]
        return np.concatenate([self.uniform(newcomers), *(child[None] for child in children)])

    def observe(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        super().observe(plans, returns, infos)
        self.population += zip(plans, returns, strict=True)
        del self.population[: -self.population_size]

    def memory(self) -> dict[str, Tensor]:
        plans = np.array([plan for plan, _ in self.population], dtype=np.int64).reshape(-1, len(self.masks))
        returns = [value for _, value in self.population]
        return {"plans": torch.from_numpy(plans), "returns": torch.tensor(returns, dtype=torch.float64)}

    def remember(self, tensors: dict[str, Tensor]) -> None:
        self.population = list(zip(tensors["plans"].numpy(), tensors["returns"].tolist(), strict=True))

    def _child(self) -> npt.NDArray[np.int64]:
        """The best of a sample with one decision changed; where masks look ahead, so that a feasible student comes of it."""
        child = self._changed()
        for _ in range(TRIES if self.stage.lookahead else 0):
            if self.stage.feasible(child.tolist()):
                break
            child = self._changed()
        return child

    def _changed(self) -> npt.NDArray[np.int64]:
        """The best of a sample with one decision changed, if there is one to make."""
        child = self._parent().copy()
        free = np.flatnonzero(self.masks.sum(1) > 1)
        if not len(free):
            return child
        position = self.rng.choice(free)
        others = np.flatnonzero(self.masks[position])
        child[position] = self.rng.choice(others[others != child[position]])
        return child

    def _parent(self) -> npt.NDArray[np.int64]:
        """The best of a sample."""
        rivals = self.rng.choice(len(self.population), min(self.sample_size, len(self.population)), replace=False)
        parent: npt.NDArray[np.int64]
        parent, _ = self.population[max(rivals, key=lambda i: self.population[i][1])]
        return parent
