"""REINFORCE with a moving-average baseline (section 3.4) or a critic (appendix 6), as Stable-Baselines3 algorithms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional

from agents.algorithms.episodes import Episodes
from agents.algorithms.episodic import EpisodicAlgorithm, keeps_limits
from agents.algorithms.policies import AutoregressiveLstmPolicy, BidirectionalLstmPolicy, SequencePolicy, masked
from agents.algorithms.saving import check_stage, policy_tensors, read_agent, restore_policy, restoring, save_agent, stage_in
from n2n_gym.envs.observation import observation_space
from n2n_gym.errors import InputError, unknown


class Reinforce(EpisodicAlgorithm):
    """The paper's agent: each update follows the gradient of equation 2 over a few whole episodes.

    Every rollout gets its own advantage R_k - b, where b is an exponential moving average of the rewards so far. By
    default advantages are divided by their running root mean square, so that learning does not slow down as rewards
    come to differ by little. `n_epochs` steps may be taken on the same rollouts, the later ones weighted by how much more
    probable their actions have become, within limits (the clipped objective of Schulman et al., 2017): students are dear.
    `n_epochs=1, normalize_advantage=False` is equation 2 to the letter.

    A policy can also imitate the best episodes that it has played (priority queue training, Abolafia et al., 2018):
    `elite_size` of them at first, ever fewer until the end of `learn`, when only the very best one is left.

    Args:
        policy: `BidirectionalLstmPolicy` (layer removal), `AutoregressiveLstmPolicy` (layer shrinkage), or a class.
        env: A compression environment, single or vectorised; all episodes must have the same length.
        learning_rate: Of Adam; the paper has 0.003 for removal and 0.01 for shrinkage.
        n_rollouts: Episodes per update; a multiple of the number of environments.
        n_epochs: Gradient steps per update.
        clip_range: By how much an action's probability may change, relatively, before later steps stop pushing it.
        baseline_decay: How much of the moving averages stays at each update.
        normalize_advantage: Divide advantages by their running root mean square.
        ent_coef: Weight of the policy's entropy (nats, mean over an episode's decisions) in the loss.
        anneal_entropy: Let that weight fall to 0, linearly, until the end of `learn`.
        max_grad_norm: Scale a step's gradient down to this norm if it is longer.
        elite_size: How many different episodes to imitate, of those whose students keep all limits.
        elite_coef: Weight of their log-probability (nats, sum over decisions, mean over episodes) in the loss; 0 is for none.
        use_masking: Never draw an action that `env.action_masks()` rules out.
        policy_kwargs: Arguments of the policy, such as `hidden`.
        stats_window_size: Episodes that the logged means run over.
        tensorboard_log: Folder of TensorBoard logs.
        verbose: 0 prints nothing, 1 a table after each `log_interval` updates.
        seed: Of the policy's initial weights and of its draws.
        device: Where the policy is; the default is the CPU, which is faster for so small a network.
        _init_setup_model: Whether to build the policy at once.

    Raises:
        ValueError: If the environments cannot share out the rollouts evenly.
    """

    policy: SequencePolicy
    _constructor: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "n_rollouts",
        "n_epochs",
        "clip_range",
        "baseline_decay",
        "normalize_advantage",
        "ent_coef",
        "anneal_entropy",
        "max_grad_norm",
        "elite_size",
        "elite_coef",
        "use_masking",
        "seed",
        "policy_kwargs",
    )
    """What a saved agent hands its constructor."""
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "BidirectionalLstmPolicy": BidirectionalLstmPolicy,
        "AutoregressiveLstmPolicy": AutoregressiveLstmPolicy,
    }

    def __init__(
        self,
        policy: str | type[SequencePolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 0.003,
        *,
        n_rollouts: int = 5,
        n_epochs: int = 1,
        clip_range: float = 0.2,
        baseline_decay: float = 0.7,
        normalize_advantage: bool = True,
        ent_coef: float = 0.0,
        anneal_entropy: bool = False,
        max_grad_norm: float | None = None,
        elite_size: int = 5,
        elite_coef: float = 0.0,
        use_masking: bool = True,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        if isinstance(policy, str) and policy not in self.policy_aliases:
            raise unknown("policy", policy, self.policy_aliases)
        super().__init__(
            policy,
            env,
            learning_rate,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
            supported_action_spaces=(spaces.Discrete,),
        )
        self.n_rollouts = n_rollouts
        self.n_epochs = n_epochs
        self.clip_range = clip_range
        self.baseline_decay = baseline_decay
        self.normalize_advantage = normalize_advantage
        self.ent_coef = ent_coef
        self.anneal_entropy = anneal_entropy
        self.max_grad_norm = max_grad_norm
        self.elite_size = elite_size
        self.elite_coef = elite_coef
        self.elite: Episodes | None = None
        self.use_masking = use_masking
        self.baseline: float | None = None
        self.advantage_square: float | None = None
        for name, value in (("n_rollouts", n_rollouts), ("n_epochs", n_epochs), ("elite_size", elite_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if env is not None and n_rollouts % self.n_envs:
            raise ValueError(f"n_rollouts ({n_rollouts}) must be a multiple of the number of environments ({self.n_envs})")
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        ).to(self.device)
        if self.seed is not None:
            self.policy.generator.manual_seed(self.seed)

    def predict(
        self,
        observation: npt.NDArray[Any] | dict[str, npt.NDArray[Any]],
        state: tuple[npt.NDArray[Any], ...] | None = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
        action_masks: npt.NDArray[Any] | None = None,
    ) -> tuple[npt.NDArray[Any], tuple[npt.NDArray[Any], ...] | None]:
        """The policy's next action and its memory; see `SequencePolicy.predict`."""
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks)

    def _update(self, callback: BaseCallback) -> bool:
        rollouts = self._collect_rollouts(callback)
        if rollouts is None:
            return False
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        self._train(rollouts)
        self._count_update(rollouts.returns)
        return True

    def _count_update(self, returns: Tensor) -> None:
        """One more update is done, whose episodes brought these returns."""
        self._n_updates += 1
        self.logger.record("rollout/reward_mean", float(returns.mean()))
        self.logger.record("rollout/reward_best", float(returns.max()))
        if self.ep_info_buffer:
            self.logger.record("rollout/ep_rew_mean", safe_mean([info["r"] for info in self.ep_info_buffer]))
            self.logger.record("rollout/ep_len_mean", safe_mean([info["l"] for info in self.ep_info_buffer]))
        self.logger.record("time/updates", self._n_updates, exclude="tensorboard")
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")

    def _collect_rollouts(self, callback: BaseCallback) -> Episodes | None:
        """Play `n_rollouts` whole episodes, all environments in step; None if the callback stopped the training."""
        assert self.env is not None
        assert isinstance(self._last_obs, dict)
        batches = []
        for _ in range(self.n_rollouts // self.n_envs):
            rows = self.policy.rows(self.policy.obs_to_tensor(self._last_obs)[0])
            actions, masks = [], []
            total = np.zeros(self.n_envs)
            state = None
            dones = np.zeros(self.n_envs, dtype=bool)
            while not dones.all():
                mask = self._masks(self.env)
                assert isinstance(self._last_obs, dict)
                chosen, state = self.policy.predict(self._last_obs, state, action_masks=mask)
                stepped = self._step(chosen, callback)
                if stepped is None:
                    return None
                rewards, dones, infos = stepped
                actions.append(torch.as_tensor(chosen))
                masks.append(torch.as_tensor(mask, dtype=torch.bool))
                total += rewards
            keeps = torch.tensor([keeps_limits(info) for info in infos])
            batches.append((rows, torch.stack(actions, 1), torch.stack(masks, 1), torch.as_tensor(total), keeps))
        callback.on_rollout_end()
        return Episodes(*(torch.cat(parts).to(self.device) for parts in zip(*batches, strict=True)))

    def _masks(self, env: VecEnv) -> npt.NDArray[Any]:
        if not self.use_masking:
            return np.ones((self.n_envs, self.policy.actions), dtype=np.bool_)
        return np.stack(env.env_method("action_masks"))

    def _train(self, rollouts: Episodes) -> None:
        """`n_epochs` steps; the first one is along the gradient of equation 2."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        ent_coef = self.ent_coef * (self._current_progress_remaining if self.anneal_entropy else 1.0)
        elite = self._imitated(rollouts) if self.elite_coef else None
        returns = rollouts.returns
        for epoch in range(self.n_epochs):
            probabilities, values = self._distribution(rollouts)
            log_probabilities = probabilities.log_prob(rollouts.actions)
            if epoch == 0:
                advantages = self._weights(returns, values)
                drawn_with = log_probabilities.detach()
            ratio = (log_probabilities - drawn_with).exp()
            limited = ratio.clamp(1 - self.clip_range, 1 + self.clip_range)
            gain = torch.minimum(ratio * advantages, limited * advantages).sum(1).mean()
            entropy = probabilities.entropy().mean()
            loss = self._critic_loss(returns, values) - gain - ent_coef * entropy
            if elite is not None:
                loss -= self.elite_coef * self._distribution(elite)[0].log_prob(elite.actions).sum(1).mean()
            self.policy.optimizer.zero_grad()
            loss.backward()
            if self.max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()

        self.baseline = self._averaged(self.baseline, float(returns.mean()))
        self.logger.record("train/loss", loss.item())
        self.logger.record("train/entropy", entropy.item())
        self.logger.record("train/baseline", self.baseline)

    def _distribution(self, episodes: Episodes) -> tuple[torch.distributions.Categorical, Tensor | None]:
        """What the policy would do at each decision that was taken, and what its critic expects there."""
        taken = episodes.actions.shape[1]
        whole = functional.pad(episodes.actions, (0, episodes.rows.shape[1] - taken))  # no policy looks at later actions
        logits, values = self.policy.evaluate(episodes.rows, whole)
        drawn = torch.distributions.Categorical(logits=masked(logits[:, :taken], episodes.masks))
        return drawn, None if values is None else values[:, :taken]

    def _imitated(self, rollouts: Episodes) -> Episodes | None:
        """The best episodes so far, fewer as training goes on; None if there are none yet."""
        self.elite = (rollouts if self.elite is None else self.elite.together(rollouts)).best(self.elite_size)
        count = max(1, math.ceil(self.elite_size * self._current_progress_remaining))
        return self.elite.best(count) if len(self.elite.returns) else None

    def _weights(self, returns: Tensor, values: Tensor | None) -> Tensor:
        """The advantages as they weight the gradient, shape as of `_advantages`."""
        advantages = self._advantages(returns, values)
        self.advantage_square = self._averaged(self.advantage_square, float(advantages.square().mean()))
        scale = self.advantage_square**0.5 + 1e-3 if self.normalize_advantage else 1.0
        return (advantages / scale).float()

    def _advantages(self, returns: Tensor, values: Tensor | None) -> Tensor:
        """How much better than expected each episode was (equation 2), shape (B, 1); with a critic at each step, (B, D)."""
        return (returns - (returns.mean() if self.baseline is None else self.baseline)).unsqueeze(1)

    def _critic_loss(self, returns: Tensor, values: Tensor | None) -> Tensor:
        return torch.zeros((), device=self.device)

    def _averaged(self, average: float | None, value: float) -> float:
        """The exponential moving average after one more value; it starts at the first."""
        return value if average is None else self.baseline_decay * average + (1 - self.baseline_decay) * value

    def save(self, path: str | Path, exclude: Any = None, include: Any = None) -> None:  # type: ignore[override]
        """Write weights, optimiser, baseline, counters, best episodes and random state to one safetensors file.

        Nothing in it can run.

        A learning-rate schedule is saved as the rate that it has reached.

        Args:
            path: The file, by custom ending in `.policy`.
            exclude: Not used; the file is always whole.
            include: Not used.
        """
        settings = {
            "algorithm": type(self).__name__,
            "policy_class": type(self.policy).__name__,
            "actions": self.policy.actions,
            "decisions": int(self.observation_space["position"].n) - 1,  # type: ignore[index]
            **stage_in(self.env),
            "observes_previous_action": "previous_action" in self.observation_space.spaces,  # type: ignore[attr-defined]
            **{name: getattr(self, name) for name in self._constructor},
            "learning_rate": self.policy.optimizer.param_groups[0]["lr"],
            "baseline": self.baseline,
            "advantage_square": self.advantage_square,
            "num_timesteps": self.num_timesteps,
            "n_updates": self._n_updates,
        }
        save_agent(Path(path), self._tensors(), settings | self._states())

    def _tensors(self) -> dict[str, Tensor]:
        """What `save` writes as tensors."""
        tensors = {**policy_tensors(self.policy), "generator": self.policy.generator.get_state()}
        if self.elite is not None:
            tensors |= {f"elite.{name}": part for name, part in self.elite._asdict().items()}
        return tensors

    def _states(self) -> dict[str, Any]:
        """What `save` writes besides, as JSON data."""
        return {}

    @classmethod
    def load(  # type: ignore[override]
        cls, path: str | Path, env: GymEnv | None = None, device: torch.device | str = "cpu", **settings: Any
    ) -> Self:
        """Read what `save` wrote.

        Args:
            path: The file.
            env: To learn on or to act in; another teacher's is fine. Without one the agent can `predict`.
            device: Where the policy will be.
            **settings: Arguments of the constructor to set anew.

        Raises:
            InputError: If the file is no saved agent, or was saved for another kind of environment.
        """
        tensors, saved = read_agent(Path(path), cls.__name__)
        with restoring(Path(path)):
            given = {name: saved[name] for name in cls._constructor} | settings
            agent = cls(saved["policy_class"], env, device=device, _init_setup_model=env is not None, **given)
            if env is None:
                previous_of = saved["actions"] if saved["observes_previous_action"] else None
                agent.observation_space = observation_space(saved["decisions"], previous_of=previous_of)
                agent.action_space = spaces.Discrete(saved["actions"])
                agent.n_envs = agent.n_rollouts  # what `set_env` expects
                agent._setup_model()
            check_stage(saved, agent.env, Path(path))
            if agent.policy.actions != saved["actions"]:
                raise InputError(
                    f"{path} chooses among {saved['actions']} actions, the environment has "
                    f"{agent.policy.actions}; was it trained for another stage?"
                )
            agent._restore(saved, tensors)
        return agent

    def _restore(self, saved: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        restore_policy(self.policy, tensors)
        self.policy.generator.set_state(tensors["generator"])
        if "elite.rows" in tensors:
            self.elite = Episodes(*(tensors[f"elite.{name}"].to(self.device) for name in Episodes._fields))
        self.baseline = saved["baseline"]
        self.advantage_square = saved["advantage_square"]
        self.num_timesteps = saved["num_timesteps"]
        self._n_updates = saved["n_updates"]


class ActorCritic(Reinforce):
    """REINFORCE with a critic in place of the moving average: each step's advantage is R_k - V(h_t) (appendix 6).

    Args:
        policy: As of `Reinforce`; it gets the critic, one linear layer on the LSTM's hidden state.
        env: As of `Reinforce`.
        learning_rate: As of `Reinforce`.
        vf_coef: Weight of the critic's mean squared error in the loss.
        policy_kwargs: As of `Reinforce`.
        **settings: Other arguments of `Reinforce`.
    """

    _constructor: ClassVar[tuple[str, ...]] = (*Reinforce._constructor, "vf_coef")

    def __init__(
        self,
        policy: str | type[SequencePolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 0.003,
        *,
        vf_coef: float = 0.5,
        policy_kwargs: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.vf_coef = vf_coef
        super().__init__(policy, env, learning_rate, policy_kwargs={**(policy_kwargs or {}), "critic": True}, **settings)

    def _advantages(self, returns: Tensor, values: Tensor | None) -> Tensor:
        assert values is not None
        return returns.unsqueeze(1) - values.detach()

    def _critic_loss(self, returns: Tensor, values: Tensor | None) -> Tensor:
        assert values is not None
        return self.vf_coef * (returns.unsqueeze(1) - values).square().mean()
