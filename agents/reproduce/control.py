"""What a transferred policy must beat: drawing at the rate that it learned, without looking at the layers (table 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agents.reproduce.lab import Lab, Run
from agents.search.history import Episode, written
from n2n_gym.architecture import KEEP, REMOVE
from n2n_gym.evaluation import Evaluation
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.stages import RemovalStage
from n2n_gym.stages.base import Stage
from n2n_gym.student import Student

LAST = 5
"""Policy updates at the end of a run that tell what was learned."""


def learned_rate(source: Run, stage: Stage) -> float:
    """The share of layers that a policy removed in its last updates, of those that may be removed.

    Args:
        source: The run in which it learned.
        stage: The decisions of that run's teacher.
    """
    free = stage.masks[:, REMOVE]
    first = max(episode.iteration for episode in source.history) - LAST
    removed = [[int(action) for action in episode.actions] for episode in source.history if episode.iteration > first]
    return float(np.mean(np.array(removed)[:, free] == REMOVE))


def drawn_at(rate: float, stage: Stage, rng: np.random.Generator) -> tuple[int, ...]:
    """An episode that removes each layer with the same probability, where masks leave the choice.

    Args:
        rate: The probability.
        stage: The decisions.
        rng: Draws.
    """
    taken: list[int] = []
    while len(taken) < stage.decisions:
        offered = stage.mask(taken)
        wanted = REMOVE if rng.random() < rate else KEEP
        taken.append(wanted if offered[wanted] else int(np.flatnonzero(offered)[0]))
    return tuple(taken)


def constant_rate(lab: Lab, source: Run, teachers: tuple[str, str], dataset: str, *, updates: int, **settings: Any) -> Run:
    """Students of one teacher, drawn at the rate that a policy learned on another; nothing is learned.

    Whoever transfers no more than how much to remove is as good as this.

    Args:
        lab: Where to run.
        source: The run in which the policy learned.
        teachers: The one that it learned on, and the other.
        dataset: Their data set.
        updates: As many students are drawn as so many policy updates have.
        **settings: Fields of `Search`, as the policy's runs have them; the seed is the draws', too.
    """
    learned_on, other = (lab.problem(teacher, dataset) for teacher in teachers)
    rate = learned_rate(source, _stage(learned_on))
    search = replace(lab.search, **other | settings)
    stage = _stage(other)
    rng = np.random.default_rng(search.seed)
    plans = [drawn_at(rate, stage, rng) for _ in range(updates * search.rollouts)]
    lab.display.say(f"constant rate of {rate:.2f} on {other['teacher']}")
    with search.evaluator_of(stage, store=search.store) as evaluator:
        known = evaluator.evaluate([stage.student(actions) for actions in plans])
    return Run(lab.folder, {"rate": rate}, list(_episodes(plans, known, stage, search.rollouts)))


def _stage(problem: dict[str, Any]) -> RemovalStage:
    named = {name: value for name, value in problem.items() if name != "train_size"}
    return RemovalStage(Student(Problem(**named).architecture))


def _episodes(plans: Sequence[tuple[int, ...]], known: Sequence[Evaluation], stage: Stage, rollouts: int) -> Iterator[Episode]:
    for index, (actions, evaluation) in enumerate(zip(plans, known, strict=True)):
        yield Episode(
            stage=1,
            iteration=index // rollouts,
            rollout=index % rollouts,
            actions=written(actions),
            fingerprint=stage.student(actions).architecture.fingerprint[:16],
            accuracy=evaluation.accuracy,
            compression=evaluation.compression,
            parameters=evaluation.parameters,
            macs=evaluation.macs,
            reward=paper_reward(evaluation),
            reason=evaluation.reason,
            excess=0.0,
            seconds=evaluation.seconds,
            from_store=False,
        )
