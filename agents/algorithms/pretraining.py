"""A policy that learns on many networks at once, in imagined episodes, so that it knows something of the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.logger import Logger

from agents.algorithms.dyna import Dyna, observed
from agents.algorithms.episodes import Episodes
from agents.algorithms.known import Candidate, KnownStudents
from agents.algorithms.prior import AccuracyPrior, likened
from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import BatchedVecEnv, episodes_side_by_side
from n2n_gym.architecture.summary import summary
from n2n_gym.errors import InputError
from n2n_gym.rewards import DEGENERATE
from n2n_gym.tables.sample import Sample
from n2n_gym.tables.surrogate import Surrogate, surrogate_in

LAST_RATE = 0.1
"""Share of its first value that the learning rate falls to, in a line."""


@dataclass(frozen=True)
class SampledSpace:
    """A space of which some students were trained; a model predicts the others (`Surrogate`).

    Attributes:
        path: File of the sample.
    """

    path: Path

    @cached_property
    def sample(self) -> Sample:
        """What was trained."""
        return Sample.load(self.path)

    @cached_property
    def known(self) -> KnownStudents:
        """What its students are, but for their accuracy."""
        envs = self.vector_env(1)
        return KnownStudents(envs.get_attr("stage")[0], envs.get_attr("judge")[0])

    @cached_property
    def seen(self) -> Surrogate:
        """Predicts what a search sees."""
        return surrogate_in(self.path)

    @cached_property
    def truth(self) -> Surrogate:
        """Predicts what students are worth, from trainings that no search sees."""
        return surrogate_in(self.path, truth=True)

    def vector_env(self, num_envs: int, seed: int = 0) -> BatchedVecEnv:
        """Episodes side by side, whose students have the accuracy that the model predicts, and noise.

        Args:
            num_envs: How many.
            seed: Draws the noise.
        """
        sample = self.sample
        return episodes_side_by_side(
            sample.stage,
            num_envs,
            teacher=str(self.path),
            **sample.arguments,
            evaluator="surrogate",
            seed=seed,
            store=None,
        )

    def worths(self, students: Sequence[Candidate], model: Surrogate) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Rewards that a model expects of students, shape (students,)."""
        found = np.full(len(students), DEGENERATE)
        allowed = [index for index, student in enumerate(students) if student.allowed]
        if allowed:
            relative = model.predict(np.stack([students[index].features for index in allowed])) / model.teacher_accuracy
            found[allowed] = relative * [students[index].worth for index in allowed]
        return found


def pretrain(
    spaces: Sequence[SampledSpace],
    *,
    updates: int = 3_000,
    rollouts: int = 16,
    learning_rate: float | None = None,
    seed: int = 0,
    on_update: Callable[[int, float], None] = lambda _update, _reward: None,
) -> Dyna:
    """Let a policy learn on several spaces in turn; nothing is trained but the policy.

    Each update draws a space, plays imagined episodes there and follows REINFORCE's gradient, against the mean of these
    episodes: spaces differ in what can be reached.

    Args:
        spaces: What it learns on, all of one stage.
        updates: Steps of the gradient.
        rollouts: Episodes of each.
        learning_rate: At the start; by default the agent's.
        seed: Of weights and draws.
        on_update: Told the update and its mean reward.

    Returns:
        An agent whose policy can be handed to any `dyna` (`Dyna.save`).

    Raises:
        InputError: If there is no space.
    """
    if not spaces:
        raise InputError("a policy learns on one space at least")
    rng = np.random.default_rng(seed)
    stage = spaces[0].known.stage.number
    agent = algorithm("dyna").make(spaces[0].vector_env(1), stage=stage, seed=seed, learning_rate=learning_rate)
    assert isinstance(agent, Dyna)
    agent.set_logger(Logger(None, []))
    first_rate = float(agent.lr_schedule(1.0))
    agent.lr_schedule = lambda left: first_rate * (LAST_RATE + (1 - LAST_RATE) * left)
    for update in range(updates):
        space = spaces[int(rng.integers(len(spaces)))]
        agent._update_current_progress_remaining(update, updates)
        agent.baseline = None
        played = _played(agent, space, rollouts)
        agent._train(played)
        on_update(update, float(played.returns.mean()))
    return agent


def learned_prior(spaces: Sequence[SampledSpace]) -> AccuracyPrior:
    """What the trained students of some spaces say of others'."""
    rows, accuracies = [], []
    for space in spaces:
        students = [space.known.look(np.array(student.episode)) for student in space.sample.students]
        rows.append(likened([student.features for student in students], summary(space.sample.teacher)))
        accuracies += [np.mean(student.accuracy[:-1]) / space.sample.val_accuracy for student in space.sample.students]
    return AccuracyPrior(np.vstack(rows), np.array(accuracies))


def _played(agent: Dyna, space: SampledSpace, rollouts: int) -> Episodes:
    rows, masks = observed(space.known.stage, rollouts, agent.device)
    actions = agent.policy.play(rows, masks)
    students = [space.known.look(plan) for plan in actions.numpy()]
    returns = torch.as_tensor(space.worths(students, space.seen))
    return Episodes(rows, actions, masks, returns, torch.tensor([student.allowed for student in students]))
