"""The algorithms by name: one word swaps them, in Python and as `n2n compress --agent`.

Each has settings that suit episodes with a single reward at the end: no discounting (gamma = 1), returns instead of
bootstrapped advantages (lambda = 1), whole episodes in a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.bayesian import GaussianProcessSearch, RandomForestSearch
from agents.algorithms.cross_entropy import CrossEntropy
from agents.algorithms.dyna import Dyna
from agents.algorithms.embedding import ArchitectureCompression
from agents.algorithms.evolution import InformedEvolution, RegularizedEvolution
from agents.algorithms.local_search import LocalSearch
from agents.algorithms.planned import PlannedSearch, RandomSearch
from agents.algorithms.prior import AccuracyPrior, prior_beside
from agents.algorithms.reinforce import ActorCritic, Reinforce
from agents.algorithms.saving import (
    check_stage,
    policy_tensors,
    pretrained_policies,
    read_agent,
    restore_policy,
    restore_weights,
    restoring,
    save_agent,
    stage_in,
)
from agents.algorithms.sb3 import BatchedVecEnv, EncodedVecEnv
from agents.algorithms.tpe import ParzenEstimator
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.registry import Registry

STAGES: dict[int, dict[str, Any]] = {
    1: {
        "policy": "BidirectionalLstmPolicy",
        "learning_rate": 0.003,
        "n_epochs": 5,
        "max_grad_norm": 0.2,
        "ent_coef": 1.6,
        "anneal_entropy": True,
        "elite_coef": 0.1,
    },
    2: {"policy": "AutoregressiveLstmPolicy", "learning_rate": 0.01, "ent_coef": 1.0},
}
"""Policy and learning rate of each stage (section 4.2), how often a batch of rollouts is learned from, an entropy bonus, how
much the best episodes are imitated; what each was seen to change stands in docs/settings.md."""


@dataclass(frozen=True)
class Algorithm(ABC):
    """How an algorithm is made for a stage, saved and loaded.

    Attributes:
        kind: Its class.
        settings: Arguments of the class.
    """

    kind: type[BaseAlgorithm]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def any_length(self) -> bool:
        """Whether it learns a policy that fits episodes with any number of decisions."""
        return False

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """The same algorithm with other values of some arguments of its class."""
        return replace(self, settings={**self.settings, **settings})

    @abstractmethod
    def make(self, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None) -> BaseAlgorithm:
        """A fresh agent.

        Args:
            envs: Episodes side by side; as many as an update has.
            stage: 1 or 2.
            seed: Of weights and draws.
            learning_rate: Instead of the algorithm's default for the stage.
        """

    def save(self, agent: BaseAlgorithm, path: Path) -> None:
        """Write an agent as it is between two updates."""
        agent.save(path)

    @abstractmethod
    def load(
        self, path: Path, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None
    ) -> BaseAlgorithm:
        """Read an agent that goes on as if it had not stopped; arguments as in `make`."""

    def transfer(self, agent: BaseAlgorithm, path: Path) -> None:
        """Give a fresh agent the policy that a saved one learned, maybe on another teacher; all else starts anew.

        Raises:
            InputError: If the file is no agent of this algorithm, or its policy has another shape.
        """
        tensors, saved = read_agent(path, type(agent).__name__)
        check_stage(saved, agent.get_env(), path)
        self._inform(agent, tensors, path)
        try:
            restore_weights(agent.policy, tensors)
        except RuntimeError:
            raise InputError(
                f"the policy in {path} does not fit this environment: it was trained for another stage, with other "
                "settings, or sees a fixed number of decisions (those with a recurrent policy do not)"
            ) from None

    def study(self, agent: BaseAlgorithm, known: Iterable[tuple[Architecture, Evaluation]]) -> None:
        """Show a fresh agent what is known of students of its teacher from before; most have no use for it."""
        return

    def _inform(self, agent: BaseAlgorithm, tensors: dict[str, torch.Tensor], path: Path) -> None:
        """Tell a fresh agent what else the file of its policy knows; most have no use for it."""
        return


class Recurrent(Algorithm):
    """`Reinforce`, its actor-critic form, or another subclass."""

    kind: type[Reinforce]

    @property
    def any_length(self) -> bool:
        return True

    def make(self, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None) -> BaseAlgorithm:
        settings = STAGES[stage] | dict(self.settings) | _rate(learning_rate)
        return self.kind(env=envs, n_rollouts=envs.num_envs, seed=seed, **settings)

    def load(
        self, path: Path, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None
    ) -> BaseAlgorithm:
        return self.kind.load(path, envs)


class _Imagining(Recurrent):
    """`Dyna`, whose policies travel with what it knows of accuracies."""

    kind: type[Dyna]

    def _inform(self, agent: BaseAlgorithm, tensors: dict[str, torch.Tensor], path: Path) -> None:
        assert isinstance(agent, Dyna)
        with restoring(path):
            agent.inform(AccuracyPrior.within(tensors) or prior_beside(path))


class _Pretrained(_Imagining):
    """`Dyna` that knows other networks; of episodes through both stages it knows no policy, but what accuracies are likely."""

    def make(self, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None) -> BaseAlgorithm:
        agent = super().make(envs, stage=stage, seed=seed, learning_rate=learning_rate)
        path = pretrained_policies()[stage]
        if path.stem == envs.envs.stage.name:
            self.transfer(agent, path)
        else:
            self._inform(agent, {}, path)
        return agent


class Planned(Algorithm):
    """Search without a learned policy: a subclass of `PlannedSearch`."""

    kind: type[PlannedSearch]

    def make(self, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None) -> BaseAlgorithm:
        return self.kind(envs, seed=seed, **self.settings)

    def load(
        self, path: Path, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None
    ) -> BaseAlgorithm:
        return self.kind.load(path, envs, **self.settings)


class _Studying(Planned):
    """`ArchitectureCompression`, which learns from what was trained before."""

    def study(self, agent: BaseAlgorithm, known: Iterable[tuple[Architecture, Evaluation]]) -> None:
        assert isinstance(agent, ArchitectureCompression)
        agent.study(known)


@dataclass(frozen=True)
class OnPolicy(Algorithm):
    """An algorithm of Stable-Baselines3 or sb3-contrib on encoded observations.

    Attributes:
        policy: Its policy's name.
        encoding: What it observes.
    """

    policy: str = "MlpPolicy"
    encoding: str = "flat"

    @property
    def any_length(self) -> bool:
        return self.encoding == "layer"

    def make(self, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None) -> BaseAlgorithm:
        whole = {"n_steps": envs.envs.stage.decisions, "gamma": 1.0, "gae_lambda": 1.0, "device": "cpu"}
        if self.kind is not A2C:
            whole["batch_size"] = envs.num_envs * envs.envs.stage.decisions
        encoded = EncodedVecEnv(envs, self.encoding)
        return self.kind(self.policy, encoded, seed=seed, **(whole | dict(self.settings) | _rate(learning_rate)))  # type: ignore[arg-type]

    def save(self, agent: BaseAlgorithm, path: Path) -> None:
        save_on_policy(agent, path)

    def load(
        self, path: Path, envs: BatchedVecEnv, *, stage: int, seed: int, learning_rate: float | None = None
    ) -> BaseAlgorithm:
        agent = self.make(envs, stage=stage, seed=seed, learning_rate=learning_rate)
        restore_on_policy(agent, path)
        return agent


def _rate(learning_rate: float | None) -> dict[str, float]:
    return {} if learning_rate is None else {"learning_rate": learning_rate}


def save_on_policy(agent: BaseAlgorithm, path: Path) -> None:
    """Write a Stable-Baselines3 agent between two updates: weights, optimiser, counters, random states; no pickle."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002  Stable-Baselines3 draws from it
    tensors = {
        **policy_tensors(agent.policy),
        "torch_random": torch.get_rng_state(),
        "numpy_random": torch.from_numpy(keys.astype(np.int64)),  # type: ignore[union-attr]
    }
    settings = {
        "algorithm": type(agent).__name__,
        "actions": int(agent.action_space.n),  # type: ignore[attr-defined]
        **stage_in(agent.env),
        "num_timesteps": agent.num_timesteps,
        "n_updates": agent._n_updates,
        "numpy_random": [kind, position, has_gauss, gauss],
    }
    save_agent(path, tensors, settings)


def restore_on_policy(agent: BaseAlgorithm, path: Path) -> None:
    """Give an agent what `save_on_policy` wrote.

    Raises:
        InputError: If the file is damaged, another algorithm's, or of another teacher or stage.
    """
    tensors, saved = read_agent(path, type(agent).__name__)
    check_stage(saved, agent.env, path)
    try:
        restore_policy(agent.policy, tensors)
    except RuntimeError:
        raise InputError(f"{path} does not fit: it was trained with other observations or actions") from None
    with restoring(path):
        agent.num_timesteps = saved["num_timesteps"]
        agent._n_updates = saved["n_updates"]
        torch.set_rng_state(tensors["torch_random"])
        kind, position, has_gauss, gauss = saved["numpy_random"]
        keys = tensors["numpy_random"].numpy().astype(np.uint32)
        np.random.set_state((kind, keys, position, has_gauss, gauss))  # noqa: NPY002


PLAIN = {"n_epochs": 1, "ent_coef": 0.0, "normalize_advantage": False, "max_grad_norm": None, "elite_coef": 0.0}
"""The paper's gradient and nothing else. Those called imitating are without it: they take what else `STAGES` has."""

IMAGINED = PLAIN | {"ent_coef": 0.05, "anneal_entropy": False, "normalize_advantage": True}
"""Imagined episodes cost next to nothing: new ones are better than further steps on the same."""

ALGORITHMS: Registry[Algorithm] = Registry(
    "agent",
    kind=Algorithm,
    wanted="its class within Planned(...), Recurrent(...) or OnPolicy(...) of agents.algorithms.registry",
)
ALGORITHMS.register("reinforce", Recurrent(Reinforce, PLAIN))
ALGORITHMS.register("reinforce-imitating", Recurrent(Reinforce))
ALGORITHMS.register("actor-critic", Recurrent(ActorCritic, PLAIN))
ALGORITHMS.register("actor-critic-imitating", Recurrent(ActorCritic))
ALGORITHMS.register("dyna", _Imagining(Dyna, IMAGINED))
ALGORITHMS.register("dyna-pretrained", _Pretrained(Dyna, IMAGINED))
ALGORITHMS.register("a2c", OnPolicy(A2C, {"learning_rate": 0.001, "normalize_advantage": True}))
ALGORITHMS.register("ppo", OnPolicy(PPO, {"learning_rate": 0.001}))
ALGORITHMS.register(
    "recurrent-ppo",
    OnPolicy(
        RecurrentPPO,
        {"learning_rate": 0.003, "policy_kwargs": {"lstm_hidden_size": 64}},
        policy="MlpLstmPolicy",
        encoding="layer",
    ),
)
ALGORITHMS.register("maskable-ppo", OnPolicy(MaskablePPO, {"learning_rate": 0.001}))
ALGORITHMS.register("random", Planned(RandomSearch))
ALGORITHMS.register("evolution", Planned(RegularizedEvolution, {"population_size": 10, "sample_size": 3}))
ALGORITHMS.register("informed-evolution", Planned(InformedEvolution))
ALGORITHMS.register("local-search", Planned(LocalSearch))
ALGORITHMS.register("cross-entropy", Planned(CrossEntropy))
ALGORITHMS.register("tpe", Planned(ParzenEstimator))
ALGORITHMS.register("random-forest", Planned(RandomForestSearch))
ALGORITHMS.register("gaussian-process", Planned(GaussianProcessSearch))
ALGORITHMS.register("architecture-compression", _Studying(ArchitectureCompression))


def algorithm(name: str) -> Algorithm:
    """One of `ALGORITHMS`.

    Raises:
        InputError: If the name is unknown.
    """
    found, _ = ALGORITHMS.look_up(name)
    return found


def check_agent(name: str, learning_rate: float | None, policies: Collection[Path] = ()) -> None:
    """Refuse an agent that does not exist or lacks a library, a learning rate for one that has none, others' policies.

    Raises:
        InputError: Then.
    """
    kind = algorithm(name).kind
    if issubclass(kind, PlannedSearch):
        kind.check_installed()
        if learning_rate is not None:
            raise InputError(f"{name} learns no policy: leave the learning rate out")
        if policies:
            raise InputError(f"{name} learns no policy that could start from {', '.join(map(str, policies))}")
    for path in policies:
        read_agent(path, kind.__name__)
