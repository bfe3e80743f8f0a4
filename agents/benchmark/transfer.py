"""What learning on other networks is worth on the next one: nothing, five, ten or twenty-five students trained there."""

from __future__ import annotations

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.logger import Logger

from agents.algorithms.candidates import drawn_plans
from agents.algorithms.plans import Plan, uniform_plans
from agents.algorithms.pretraining import SampledSpace, learned_prior
from agents.algorithms.prior import likened
from agents.algorithms.registry import algorithm
from agents.benchmark.account import BudgetSpentError, Spending, spend
from n2n_gym.architecture.summary import summary
from n2n_gym.envs.info import Finished
from n2n_gym.envs.judge import Judge
from n2n_gym.student import Actions

Numbers = npt.NDArray[np.float64]

BUDGETS = (0, 5, 10, 25)
"""Students that may be trained on the new network before one is chosen."""

SIDE_BY_SIDE = 5

DRAWS = 50
"""Random students whose mean is what choosing one by chance is worth; all can be trained: that costs nothing to ask."""

TRIES = 1_000
"""Episodes among which so many are looked for."""

SHOWN = 5

RATES = tuple(np.linspace(0.1, 0.9, 9).tolist())
"""Shares of layers to remove, and of the way to the smallest factor, that a constant rate may be."""


class Contender(ABC):
    """Chooses a student of a new space."""

    @abstractmethod
    def untried(self, space: SampledSpace, rng: np.random.Generator) -> list[Plan]:
        """What it chooses before any student was trained: one episode, or several to choose from by chance."""

    @abstractmethod
    def tried(self, space: SampledSpace, seed: int, budget: int) -> list[tuple[Plan, float]]:
        """Distinct feasible students that it has trained, in order, with their rewards; at most so many."""


@dataclass(frozen=True)
class Searching(Contender):
    """An algorithm of the package, from nothing or with a policy that has learned on other spaces.

    Attributes:
        agent: Its name.
        policies: Files of policies, by stage.
        knows: Whether it also knows what lies beside the policy of other spaces' accuracies.
    """

    agent: str
    policies: dict[str, Path] | None = None
    knows: bool = True

    def untried(self, space: SampledSpace, rng: np.random.Generator) -> list[Plan]:
        if self.policies is None:
            return list(uniform_plans(space.known.stage, rng, DRAWS))
        agent = self._made(space, int(rng.integers(2**31)))
        agent.set_logger(Logger(None, []))  # it imagines before anything is spent
        return [agent.first_choice()]

    def tried(self, space: SampledSpace, seed: int, budget: int) -> list[tuple[Plan, float]]:
        agent = self._made(space, seed)
        tally = Tally(space, budget)
        spend(agent, tally)
        return tally.students

    def _made(self, space: SampledSpace, seed: int) -> Any:
        kind = algorithm(self.agent)
        agent: Any = kind.make(space.vector_env(SIDE_BY_SIDE, seed), stage=space.known.stage.number, seed=seed)
        if self.policies is not None:
            kind.transfer(agent, self.policies[space.sample.stage])
            if not self.knows:
                agent.inform(None)
        return agent


class Tally(Spending):
    """Writes down the students that were paid for, with their rewards.

    Args:
        space: What is searched.
        budget: How many may be paid for.

    Attributes:
        students: The first episode that led to each, in order, and its reward.
    """

    def __init__(self, space: SampledSpace, budget: int) -> None:
        super().__init__(budget)
        self.students: list[tuple[Plan, float]] = []
        self._space = space

    def finish(self, judge: Judge, episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]) -> list[Finished]:
        done = judge.evaluated(episodes, rngs)
        for actions, each in zip(episodes, done, strict=True):
            student = self._space.known.look(plan := np.array(actions))
            if self.count(student.fingerprint if student.allowed else None):
                self.students.append((plan, each.reward))
        return done


class Proposing(Contender):
    """Proposes students one after the other, and learns nothing from them."""

    @abstractmethod
    def proposals(self, space: SampledSpace, rng: np.random.Generator) -> Iterator[Plan]:
        """Episodes without end."""

    def tried(self, space: SampledSpace, seed: int, budget: int) -> list[tuple[Plan, float]]:
        tally = Tally(space, budget)
        judge = space.vector_env(1, seed).get_attr("judge")[0]
        rng = np.random.default_rng(seed)
        with judge.overseen(tally.finish), contextlib.suppress(BudgetSpentError):
            for plan in self.proposals(space, rng):
                judge.finish([plan.tolist()], [rng])
        return tally.students


@dataclass(frozen=True)
class ConstantRate(Proposing):
    """Removes each layer with the same probability; shrinks all by the same factor, or by the next to it.

    Attributes:
        rates: For each stage, one of `RATES`.
    """

    rates: dict[str, float]

    @classmethod
    def chosen_on(cls, spaces: Sequence[SampledSpace]) -> ConstantRate:
        """The rates that are worth most on some spaces."""
        best = {}
        for stage in {space.sample.stage for space in spaces}:
            there = [space for space in spaces if space.sample.stage == stage]
            worth = [np.mean([_worth_of(space, cls({stage: rate})._drawn(space)) for space in there]) for rate in RATES]
            best[stage] = RATES[int(np.argmax(worth))]
        return cls(best)

    def untried(self, space: SampledSpace, rng: np.random.Generator) -> list[Plan]:
        return self._drawn(space)

    def _drawn(self, space: SampledSpace) -> list[Plan]:
        """Some that can be trained; where there are none, one that cannot."""
        first, *others = itertools.islice(self.proposals(space, np.random.default_rng(0)), TRIES)
        allowed = (plan for plan in (first, *others) if space.known.look(plan).allowed)
        return list(itertools.islice(allowed, DRAWS)) or [first]

    def proposals(self, space: SampledSpace, rng: np.random.Generator) -> Iterator[Plan]:
        stage, rate = space.known.stage, self.rates[space.sample.stage]
        masks, most = stage.masks, stage.actions - 1
        while True:
            if space.sample.stage == "removal":
                wanted = np.where(rng.random(stage.decisions) < rate, 1 - stage.keep, stage.keep)
            else:  # from the largest factor, the last action, down
                wanted = np.floor(most * (1 - rate) + rng.random(stage.decisions)).astype(int)
            offered = np.where(masks, -abs(np.arange(stage.actions) - wanted[:, None]), -np.inf)
            yield offered.argmax(1)


class AcrossSpaces(Proposing):
    """Predicts accuracies of a new space from students of others, and proposes who promises most.

    Args:
        spaces: What it learns from.
    """

    def __init__(self, spaces: Sequence[SampledSpace]) -> None:
        self._prior = learned_prior(spaces)

    def untried(self, space: SampledSpace, rng: np.random.Generator) -> list[Plan]:
        return [next(self.proposals(space, rng))]

    def proposals(self, space: SampledSpace, rng: np.random.Generator) -> Iterator[Plan]:
        known = space.known
        found = list(known.new([plan for _ in range(5) for plan in drawn_plans(known.stage, rng)]).values())
        rows = likened([student.features for _, student in found], summary(space.sample.teacher))
        worth = self._prior.predict(rows) * [student.worth for _, student in found]
        yield from (found[index][0] for index in np.argsort(-worth, kind="stable"))
        while True:
            yield from uniform_plans(known.stage, rng, DRAWS)


@dataclass(frozen=True)
class Choice:
    """What a contender chose.

    Attributes:
        contender: Its name.
        space: The sample's name.
        seed: Of the run.
        budget: Students that it had trained.
        plans: The episode that leads to it; where it is one of `DRAWS` by chance, the first `SHOWN` of them.
        worth: Its reward as the model of the truth expects it.
    """

    contender: str
    space: str
    seed: int
    budget: int
    plans: tuple[tuple[int, ...], ...]
    worth: float


def compete(contenders: dict[str, Contender], space: SampledSpace, seeds: Sequence[int]) -> Iterator[Choice]:
    """Let contenders choose on a space that none of them has seen."""
    for name, contender in contenders.items():
        for seed in seeds:
            plans = contender.untried(space, np.random.default_rng(seed))
            yield _choice(name, space, seed, 0, plans)
            students = contender.tried(space, seed, BUDGETS[-1])
            for budget in BUDGETS[1:]:
                best = max(students[:budget], key=lambda found: found[1], default=None)
                yield _choice(name, space, seed, budget, plans if best is None else best[:1])


def _choice(contender: str, space: SampledSpace, seed: int, budget: int, plans: Sequence[Plan]) -> Choice:
    shown = tuple(tuple(plan.tolist()) for plan in plans[:SHOWN])
    return Choice(contender, space.sample.name, seed, budget, shown, _worth_of(space, plans))


def _worth_of(space: SampledSpace, plans: Sequence[Plan]) -> float:
    """Their mean reward by the model of the truth."""
    return float(space.worths([space.known.look(plan) for plan in plans], space.truth).mean())
