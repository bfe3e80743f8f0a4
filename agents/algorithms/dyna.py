"""Dyna (Sutton, 1991): a policy that learns from imagined episodes, and real trainings where they promise most."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from agents.algorithms.candidates import CENTRES, chosen, drawn_plans, fitted, of_all_sizes, some_neighbours
from agents.algorithms.episodes import Episodes
from agents.algorithms.known import Candidate, Drawn, KnownStudents
from agents.algorithms.plans import Plan, Plans, start_plan
from agents.algorithms.policies import SequencePolicy
from agents.algorithms.prior import AccuracyPrior
from agents.algorithms.reinforce import Reinforce
from agents.algorithms.surrogate import AccuracyModel, GaussianProcess
from n2n_gym.rewards import DEGENERATE
from n2n_gym.stages.base import Stage


def observed(stage: Stage, episodes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What a policy sees at the start of so many imagined episodes: rows of features, and masks."""
    rows, masks = (torch.as_tensor(each, device=device) for each in (stage.rows, stage.masks))
    return rows.expand(episodes, -1, -1), masks.expand(episodes, -1, -1)


class Dyna(Reinforce):
    """A recurrent policy that follows REINFORCE's gradient over imagined episodes.

    Sizes and verdicts are known before any training, so only accuracy has to be imagined: a Gaussian process predicts it from
    a student's architecture, and learns from all students that were trained. In each update the policy plays imagined
    episodes, whose rewards are exact in all but the accuracy, and learns from them. Then their students, random ones and the
    neighbours of the best so far are candidates: those with the highest expected improvement are trained, each student once,
    and none that is degenerate or exceeds a limit on sizes.

    Args:
        policy: As of `Reinforce`.
        env: As of `Reinforce`.
        learning_rate: As of `Reinforce`.
        warm_up: Random students at the start.
        imagined_updates: Gradient updates on imagined episodes before each real one.
        imagined_rollouts: Imagined episodes of each.
        optimism: How many standard deviations above its expectation an imagined accuracy lies, in log-odds.
        **settings: Other arguments of `Reinforce`; `n_rollouts`, the real episodes of an update, must be the number of
            environments.

    Attributes:
        informed: Whether its policy has learned before, maybe on other networks: then it says which students
            come first, and not chance.
        prior: What is known of accuracies from other networks; with it, even the first students are imagined.
    """

    model: ClassVar[type[AccuracyModel]] = GaussianProcess
    _constructor: ClassVar[tuple[str, ...]] = (
        *Reinforce._constructor,
        "warm_up",
        "imagined_updates",
        "imagined_rollouts",
        "optimism",
    )

    def __init__(
        self,
        policy: str | type[SequencePolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 0.003,
        *,
        warm_up: int = 5,
        imagined_updates: int = 10,
        imagined_rollouts: int = 32,
        optimism: float = 1.0,
        **settings: Any,
    ) -> None:
        for name, value in (("warm_up", warm_up), ("imagined_rollouts", imagined_rollouts)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.warm_up = warm_up
        self.imagined_updates = imagined_updates
        self.imagined_rollouts = imagined_rollouts
        self.optimism = optimism
        self.informed = False
        self.prior: AccuracyPrior | None = None
        super().__init__(policy, env, learning_rate, **settings)
        if env is not None and self.n_rollouts != self.n_envs:
            raise ValueError(f"n_rollouts ({self.n_rollouts}) must be the number of environments ({self.n_envs})")

    def _setup_model(self) -> None:
        super()._setup_model()
        self.rng = np.random.default_rng(self.seed)
        self.known: KnownStudents | None = None
        if self.env is not None:
            self.stage: Stage = self.env.get_attr("stage")[0]
            self.known = KnownStudents(self.stage, self.env.get_attr("judge")[0])

    def inform(self, prior: AccuracyPrior | None) -> None:
        """Tell it that its policy has learned before, and what is known of accuracies."""
        self.informed, self.prior = True, prior
        if self.known is not None:
            self.known.prior = prior

    def _update(self, callback: BaseCallback) -> bool:
        assert self.known is not None
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        plans = self._proposed(self.known, self.n_envs)
        played = self._play(plans, callback)
        if played is None:
            return False
        callback.on_rollout_end()
        returns, infos = played
        self.known.add(plans, returns, infos)
        self._count_update(torch.tensor(returns))
        return True

    def _proposed(self, known: KnownStudents, count: int) -> Plans:
        """The students to train next; imagines and learns before."""
        candidates = known.new(drawn_plans(self.stage, self.rng))
        if len(known) < self.warm_up and self.prior is None:
            likely = known.new(self._believed()) if self.informed else {}
            plans = [plan for plan, _ in likely.values()][:count] or of_all_sizes(candidates, count, self.rng)
        else:
            model = fitted(self.model, known, self.rng)
            candidates |= self._imagined(known, model)
            for centre in known.best_plans(CENTRES):
                candidates |= known.new(some_neighbours(self.stage, centre, self.rng))
            plans = chosen(model, known, list(candidates.values()), count)
        proposed = {known.look(plan).fingerprint for plan in plans}
        for _ in range(count - len(plans)):
            plans.append(plan := known.fresh(lambda: start_plan(self.stage, self.rng), proposed, self.rng))
            proposed.add(known.look(plan).fingerprint)
        return np.stack(plans)

    def first_choice(self) -> Plan:
        """The student that it would choose before any was trained: by what is known of others, else its policy's likeliest."""
        assert self.known is not None
        first: Plan = self._proposed(self.known, 1)[0] if self.prior else self._believed()[0]
        return first

    def _believed(self) -> Plans:
        """Episodes as the policy would play them now, the likeliest first."""
        rows, masks = observed(self.stage, self.imagined_rollouts, self.device)
        likeliest = self.policy.play(rows[:1], masks[:1], deterministic=True)
        return torch.cat([likeliest, self.policy.play(rows, masks)]).cpu().numpy()

    def _imagined(self, known: KnownStudents, model: AccuracyModel) -> dict[str, Drawn]:
        """Let the policy learn from imagined episodes; their students that are worth a training, by fingerprint."""
        found: dict[str, Drawn] = {}
        rows, masks = observed(self.stage, self.imagined_rollouts, self.device)
        for _ in range(self.imagined_updates):
            actions = self.policy.play(rows, masks)
            plans = actions.cpu().numpy()
            students = [known.look(plan) for plan in plans]
            returns = self._imagined_returns(known, model, students)
            keeps = torch.tensor([student.allowed for student in students], device=self.device)
            self._train(Episodes(rows, actions, masks, torch.as_tensor(returns, device=self.device), keeps))
            found |= known.new(plans)
        return found

    def _imagined_returns(self, known: KnownStudents, model: AccuracyModel, students: list[Candidate]) -> np.ndarray[Any, Any]:
        """What students that were trained brought, and what others may bring, shape (students,)."""
        returns = np.full(len(students), DEGENERATE)
        open_ones = [i for i, student in enumerate(students) if student.allowed]
        if open_ones:
            there = [students[i] for i in open_ones]
            features, prospects = known.described(there), known.prospects(there)
            kept = model.kept(features, prospects)
            returns[open_ones] = kept * prospects.rewards(model.accuracies(features, self.optimism)) + (1 - kept) * DEGENERATE
        for i, student in enumerate(students):
            if (value := known.return_of(student.fingerprint)) is not None:
                returns[i] = value
        return returns

    def _tensors(self) -> dict[str, Tensor]:
        tensors = super()._tensors()
        for each in (self.known, self.prior):
            if each is not None:
                tensors |= each.memory()
        return tensors

    def _states(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state, "informed": self.informed}

    def _restore(self, saved: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        super()._restore(saved, tensors)
        self.rng.bit_generator.state = saved["rng"]
        if saved.get("informed"):
            self.inform(AccuracyPrior.within(tensors))
        if self.known is not None:
            self.known.remember(tensors)
