"""Tasks on spaces that are too large for a table: models of accuracy answer, one for what a search sees, one for the truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from agents.algorithms.plans import Plan, neighbours, uniform_plans
from agents.benchmark.tasks import Numbers, Task
from n2n_gym.rewards import DEGENERATE, reward_by_name
from n2n_gym.stages.base import Stage
from n2n_gym.student import Student
from n2n_gym.tables.sample import Sample, large_samples
from n2n_gym.tables.surrogate import EDITION, SurrogateEvaluator, surrogate_in

POOL = 1_000
"""Random students that stand for all that random search draws from."""

CLIMBERS = 5
"""Of the best of them, so many are climbed from in search of the best student."""

DIGITS = 12
"""Hexadecimal digits of a fingerprint that tell students apart: as a number they are exact wherever numbers go."""


@dataclass(frozen=True)
class LargeTask(Task):
    """The paper's reward in a space of which a sample was trained.

    What a search sees is predicted from validation accuracies, with noise as large as what the model leaves unexplained, the
    same for the same student in all runs. What a choice is worth is predicted from test accuracies of other trainings,
    without noise.
    """

    track: str = "large"

    @cached_property
    def path(self) -> Path:
        """The sample's file."""
        return large_samples().get(self.source, Path(self.source).expanduser())

    @cached_property
    def sample(self) -> Sample:
        """What was trained."""
        return surrogate_in(self.path).sample

    @property
    def space(self) -> str:
        return self.sample.name

    @cached_property
    def fingerprint(self) -> str:
        known = json.dumps([EDITION, self.sample.to_json()], sort_keys=True)
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    @property
    def stage(self) -> str:
        return self.sample.stage

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._decisions.actions,) * self._decisions.decisions

    @property
    def arguments(self) -> dict[str, Any]:
        asked = {"evaluator": "surrogate", "reward": self.question.reward, "seed": 0}
        return {"teacher": str(self.path), **self.sample.arguments, **asked}

    @property
    def _decisions(self) -> Stage:
        return self.sample.decisions

    # What a search sees

    @property
    def affordable(self) -> None:
        return None

    def students(self, codes: Sequence[int]) -> list[int]:
        return [self._numbers[code] if code in self._numbers else self._look(code) for code in codes]

    def costs(self, student: int) -> bool:
        return student in self._feasible

    def preferred(self, seed: int, codes: Sequence[int]) -> int:
        rewards = self._rewards(self._seen, codes)
        return codes[int(rewards.argmax())]

    def ceiling(self, seed: int) -> None:
        return None

    # What is true

    def worths(self, codes: Sequence[int]) -> Numbers:
        return self._rewards(self._truth, codes)

    @property
    def least(self) -> float:
        return DEGENERATE

    @cached_property
    def optimum(self) -> float:
        """The best that is known by the model of the truth: of the students that were `climbed` to."""
        return float(self.worths(self.climbed).max())

    @cached_property
    def climbed(self) -> list[int]:
        """Where climbing the model of the truth, one decision at a time, leads from the best of `POOL` random episodes."""
        worths = self.worths(self.pool)
        found = []
        for start in np.argsort(-worths)[:CLIMBERS].tolist():
            best, worth = self.pool[start], worths[start]
            while True:
                around = self.encode(neighbours(self._decisions, self._plan(best)).tolist())
                theirs = self.worths(around)
                if theirs.max() <= worth:
                    break
                best, worth = around[int(theirs.argmax())], theirs.max()
            found.append(best)
        return found

    def drawn_from(self, seed: int) -> tuple[Numbers, Numbers]:
        """As of `Task`, with `POOL` random students in the place of all, each as probable."""
        return self._pool_worths, np.ones(len(self._pool_worths))

    @cached_property
    def _pool_worths(self) -> Numbers:
        """What the students of `pool` are worth, from the one on that a search would choose."""
        order = np.argsort(-self._rewards(self._seen, self.pool), kind="stable")
        return self.worths([self.pool[index] for index in order.tolist()])

    @cached_property
    def pool(self) -> list[int]:
        """Episodes of distinct feasible students, drawn as random search draws them."""
        plans = uniform_plans(self._decisions, np.random.default_rng(0), POOL)
        codes = self.encode(plans.tolist())
        distinct = dict(zip(self.students(codes), codes, strict=True))
        return [code for student, code in distinct.items() if self.costs(student)]

    # Models

    @cached_property
    def _seen(self) -> SurrogateEvaluator:
        return SurrogateEvaluator(surrogate_in(self.path), self.arguments["seed"])

    @cached_property
    def _truth(self) -> SurrogateEvaluator:
        return SurrogateEvaluator(surrogate_in(self.path, truth=True), None)

    def _rewards(self, model: SurrogateEvaluator, codes: Sequence[int]) -> Numbers:
        """What students are rewarded by a model, those that cannot be built as the environment does, shape (episodes,)."""
        reward = reward_by_name(self.question.reward)
        found = np.full(len(codes), DEGENERATE)
        buildable = [index for index, student in enumerate(self.students(codes)) if self.costs(student)]
        if buildable:
            evaluations = model.evaluate([self._student(codes[index]) for index in buildable])
            found[buildable] = [reward(evaluation) for evaluation in evaluations]
        return found

    def _plan(self, code: int) -> Plan:
        return np.array(self.decode(code), dtype=np.int64)

    def _student(self, code: int) -> Student:
        return self._decisions.student(self._plan(code).tolist())

    def _look(self, code: int) -> int:
        """What tells an episode's student from others; it is remembered whether it costs a training."""
        architecture = self._student(code).architecture
        number = self._numbers[code] = int(architecture.fingerprint[:DIGITS], 16)
        if architecture.verdict(self.sample.teacher).feasible:
            self._feasible.add(number)
        return number

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return {}

    @cached_property
    def _feasible(self) -> set[int]:
        return set()
