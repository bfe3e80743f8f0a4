"""Who rewards finished episodes."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.error import InvalidAction

from n2n_gym.architecture import Architecture
from n2n_gym.architecture.removal import check_actions
from n2n_gym.envs.info import Finished, Preview, listed
from n2n_gym.envs.settings import Settings
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.rewards import Reward, relaxed, reward_by_name
from n2n_gym.stages.base import Stage
from n2n_gym.student import Actions

Overseer = Callable[["Judge", Sequence[Actions], Sequence[np.random.Generator]], list[Finished]]
"""Finishes a judge's episodes, and mostly asks it to do so (`Judge.evaluated`)."""


class Judge:
    """Turns finished episodes into rewards; shared by the single and the vector environment.

    Args:
        settings: What is compressed and how a student is judged.
        stage: What the actions mean.
        check_limits: Whether limits that no student of the stage can keep are refused.

    Attributes:
        update: Policy updates done, which relaxed limits depend on.
    """

    def __init__(self, settings: Settings, stage: Stage, *, check_limits: bool = True) -> None:
        self.stage = stage
        self.update = 0
        self._reward: Reward = reward_by_name(settings.reward)
        self._settings = settings
        self._overseer: Overseer = Judge.evaluated
        self._limited = bool(settings.limits)
        if settings.limits and check_limits:
            settings.limits.check(
                stage.ranges,
                classes=settings.problem.data.classes,
                teacher_parameters=settings.problem.architecture.parameters,
            )
        if settings.trains_nothing:
            _ = self.evaluator  # what does not fit is said at once

    def set_update(self, update: int) -> None:
        """Take over how many policy updates were done.

        Raises:
            InputError: If that is no number from 0 on.
        """
        try:
            number = operator.index(update)
        except TypeError:
            number = -1
        if number < 0:
            raise InputError(f"policy updates are counted in whole numbers from 0, not {update!r}")
        self.update = number

    def plain(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that an environment was made of as the settings have them: a live module is a name, a path a text."""
        return {name: getattr(self._settings, name, value) for name, value in given.items()}

    @cached_property
    def evaluator(self) -> Evaluator:
        """Made when the first episode ends, so that making an environment costs nothing."""
        return self._settings.make_evaluator(self.stage)

    def finish(self, episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]) -> list[Finished]:
        """What whole episodes end with, as whoever oversees the judge has it; by default as they are `evaluated`.

        Args:
            episodes: The actions of each.
            rngs: The random numbers of each one's environment, for an evaluator that draws.
        """
        return self._overseer(self, episodes, rngs)

    @contextlib.contextmanager
    def overseen(self, overseer: Overseer) -> Iterator[None]:
        """For a while, have somebody else finish episodes: count them, say with which random numbers they are evaluated."""
        before, self._overseer = self._overseer, overseer
        try:
            yield
        finally:
            self._overseer = before

    def evaluated(self, episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]) -> list[Finished]:
        """Evaluate the students of whole episodes in one batch; arguments as of `finish`."""
        evaluations = self.evaluator.evaluate_episodes(self.stage.student, episodes, rngs)
        return [self.finished(actions, evaluation) for actions, evaluation in zip(episodes, evaluations, strict=True)]

    def preview(self, actions: Actions) -> Preview:
        """What is known of an episode's student without training it.

        Raises:
            InvalidAction: If there is not one action for each decision, or one is out of range.
        """
        try:
            chosen = [operator.index(action) for action in actions]
            check_actions(chosen, self.stage.decisions, self.stage.actions)
        except (ValueError, TypeError):
            raise InvalidAction(
                f"expected an action from 0 to {self.stage.actions - 1} for each of {self.stage.decisions} decisions, "
                f"received {actions!r}"
            ) from None
        return self.preview_of(self.stage.student(chosen).architecture)

    def preview_of(self, student: Architecture) -> Preview:
        """What is known of a student without training it."""
        verdict = student.verdict(self.stage.teacher)
        reason = "" if verdict.feasible else str(verdict)
        perfect = Evaluation.of(student, self.stage.teacher, accuracy=1.0, teacher_accuracy=1.0, reason=reason)
        limits = self._settings.limits
        return Preview(
            student.fingerprint,
            student.parameters,
            student.macs,
            perfect.compression,
            reason,
            listed(limits.of_sizes.violated(perfect)),
            self._reward(perfect),
            self._reward(replace(perfect, accuracy=0.0)),
            limits.needed_accuracy(perfect) if limits else 0.0,
        )

    def finished(self, actions: Actions, evaluation: Evaluation) -> Finished:
        """What an episode is worth, given the evaluation of its student."""
        reward = self._reward(evaluation)
        violated = self._settings.limits.violated(evaluation) if self._limited and not evaluation.reason else ()
        if violated:
            reward = relaxed(reward, self._settings.schedule(self.update))
        return Finished(self.stage, tuple(actions), evaluation, reward, violated)

    def close(self) -> None:
        """Let go of the evaluator's processes and files, if it was made here."""
        if "evaluator" in self.__dict__ and isinstance(self._settings.evaluator, str):
            self.evaluator.close()
