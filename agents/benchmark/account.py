"""What a search pays for: distinct students that had to be trained, and nothing else."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import NoReturn, Self

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger

from agents.algorithms.sb3 import NEVER, PolicyUpdates
from agents.benchmark.tasks import Task
from n2n_gym.envs.info import Finished
from n2n_gym.envs.judge import Judge
from n2n_gym.errors import InputError
from n2n_gym.student import Actions

MOST_LOOKS, MOST_IDLE = 2_000, 200
"""A run that has not found as many students as it may pay for ends after so many episodes, or after so many in a row without a
new student."""


COUNTS = "an environment that is searched counts what is looked at"


class BudgetSpentError(BaseException):
    """The search is over: an environment says so instead of an episode's reward. Nothing is wrong.

    No `Exception`: an algorithm that goes on after whatever fails in an episode, `except Exception: continue`, would go on for
    ever.
    """


class Spending(ABC):
    """Counts what a search looks at.

    A student costs one training when it is looked at first. Degenerate students, and those whose sizes alone break a limit,
    cost nothing, nor do students that were looked at before.

    Args:
        budget: How many students may be paid for.

    Attributes:
        budget: As above.
        looks: Episodes that were played.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.looks = 0
        self._last_new = 0
        self._paid: set[Hashable] = set()
        self._process = os.getpid()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A copy of the environment spends the same budget."""
        return self

    def __reduce__(self) -> NoReturn:
        raise InputError(f"{COUNTS}: it cannot be sent to another process")

    @property
    def over(self) -> bool:
        """Whether all is spent."""
        idle = self.looks - self._last_new
        return len(self._paid) >= self.budget or self.looks >= MOST_LOOKS or idle >= MOST_IDLE

    def count(self, student: Hashable | None) -> bool:
        """Count an episode.

        Args:
            student: What tells its student from others; None for one that costs nothing.

        Returns:
            Whether it was paid for now.

        Raises:
            BudgetSpentError: If all was spent before.
            InputError: In a process that was forked: what it looks at would count for nobody.
        """
        if os.getpid() != self._process:
            raise InputError(f"{COUNTS}: it cannot be played in another process, forked or not")
        if self.over:
            raise BudgetSpentError(f"{len(self._paid)} students in {self.looks} episodes: the search is over")
        self.looks += 1
        if student is None or student in self._paid:
            return False
        self._paid.add(student)
        self._last_new = self.looks
        return True

    @abstractmethod
    def finish(self, judge: Judge, episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]) -> list[Finished]:
        """Oversee a judge (`Judge.overseen`): count the episodes that it finishes.

        An algorithm runs in this process, so it could look at the table itself; who submits one is trusted not to, and its
        file is read.
        """


def spend(agent: BaseAlgorithm, account: Spending) -> None:
    """Let an algorithm of this package search until its budget is spent.

    It is told to learn for as many episodes as it may pay for, and again, until it has paid for them.

    Args:
        agent: It, fresh.
        account: Counts what it looks at.
    """
    agent.set_logger(Logger(None, []))  # without one, Stable-Baselines3 leaves an empty folder in the temporary files
    assert agent.env is not None
    (judge, *_), (stage, *_) = agent.env.get_attr("judge"), agent.env.get_attr("stage")
    with judge.overseen(account.finish), contextlib.suppress(BudgetSpentError):
        while not account.over:
            begun = agent.num_timesteps > 0
            steps = account.budget * stage.decisions
            agent.learn(steps, callback=PolicyUpdates(), log_interval=NEVER, reset_num_timesteps=not begun)


class Account(Spending):
    """What a search of a table pays for, and what it reports.

    Args:
        task: What is searched.
        seed: Of the run.
        budget: How many students may be paid for.

    Attributes:
        students: Those that were paid for, in order: the numbers of the first episodes that led to them.
        reports: What the search said it would choose, and after how many students: (students, episode's number).
    """

    def __init__(self, task: Task, seed: int, budget: int) -> None:
        super().__init__(task.due(budget))
        self.task = task
        self.seed = seed
        self.students: list[int] = []
        self.reports: list[tuple[int, int]] = []

    def look(self, episodes: Sequence[Actions]) -> list[int]:
        """Write down finished episodes.

        Returns:
            The numbers of their students.

        Raises:
            BudgetSpentError: If all was spent before the last of them.
        """
        codes = self.task.encode(episodes)
        students = self.task.students(codes)
        for student, code in zip(students, codes, strict=True):
            if self.count(student if self.task.costs(student) else None):
                self.students.append(code)
        return students

    def finish(
        self,
        judge: Judge,
        episodes: Sequence[Actions],
        rngs: Sequence[np.random.Generator],
    ) -> list[Finished]:
        return judge.evaluated(episodes, self.task.rngs(self.seed, self.look(episodes)))

    def report(self, actions: Actions) -> None:
        """From now on the search would choose this student.

        Args:
            actions: An episode that leads to it.

        Raises:
            InputError: If it was not looked at, or cost nothing.
        """
        [code] = self.task.encode([actions])
        if self.task.students([code])[0] not in self._paid:
            raise InputError(
                "report() takes the actions of a student that this search has looked at and that could be trained"
            )
        self.reports.append((len(self.students), code))


def chosen(task: Task, seed: int, students: Sequence[int], reports: Sequence[tuple[int, int]], budget: int) -> int | None:
    """An episode of the student that a search chooses when so many were paid for.

    What it reported last until then; if it reported nothing, the one that is preferred by what it has seen.

    Args:
        task: What was searched.
        seed: Of the run.
        students: As of `Account`.
        reports: As of `Account`.
        budget: How many students.

    Returns:
        Its number; None if there was no student at all.
    """
    if said := [code for after, code in reports if after <= budget]:
        return said[-1]
    paid = students[:budget]
    return task.preferred(seed, paid) if paid else None
