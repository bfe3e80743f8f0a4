"""A stage of Algorithm 1 as decisions, actions and an edit; no gymnasium here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import Architecture, Range, Variable
from n2n_gym.architecture.features import Rows
from n2n_gym.architecture.summary import LENGTH, summary
from n2n_gym.stages.lookahead import Episode, Lookahead
from n2n_gym.student import Actions, Student

Mask = npt.NDArray[np.bool_]


class Stage(ABC):
    """A stage of Algorithm 1: its decisions, its actions, its edit.

    Args:
        start: What an episode starts from.
        lookahead: Whether `mask` rules out what can only fail; without, only what `masks` and `with_effect` do.

    Attributes:
        start: What an episode starts from.
        lookahead: As above.
        rows: One row of features per decision, shape (decisions, columns), float32.
        layers: The layers of `base` that each decision is about.
        variables: What of those layers is decided.
        masks: Which actions may have an effect at all, shape (decisions, actions), bool: not those on protected layers. Some
            that shrink a layer have none, where rounding or the least width stands against it.
        endings: Whole episodes whose ends are likely to make any beginning feasible.
        name: By which it is known.
        number: Of Algorithm 1; with both in one episode, that whose agents' settings serve.
        shows_previous_action: Whether the observation holds the previous action.
        keep: The action that leaves things as they are.
    """

    start: Student
    lookahead: bool
    rows: Rows
    layers: tuple[tuple[int, ...], ...]
    variables: tuple[Variable, ...]
    masks: Mask
    endings: tuple[Episode, ...]
    name: ClassVar[str]
    number: ClassVar[int]
    shows_previous_action: ClassVar[bool]
    keep: ClassVar[int]

    @abstractmethod
    def __init__(self, start: Student, *, lookahead: bool = True) -> None: ...

    @abstractmethod
    def student(self, actions: Actions) -> Student:
        """The student that a whole episode's actions make of `start`."""

    @abstractmethod
    def actions_of(self, student: Architecture) -> tuple[int, ...] | None:
        """A whole episode's actions that lead to an architecture; None if they are not found."""

    @abstractmethod
    def describe(self, position: int, action: int) -> str:
        """What an action does at a position, in a word or two."""

    @property
    @abstractmethod
    def ranges(self) -> Mapping[str, Range]:
        """Between what the sizes of all students lie."""

    @abstractmethod
    def trend(self, rng: np.random.Generator) -> tuple[int, ...]:
        """A whole episode that treats layers by depth: how much is kept of one lies on a line between two random ends."""

    @abstractmethod
    def remains(self, student: Student) -> npt.NDArray[np.float64]:
        """How much a student has left of what each decision is about, shape (decisions,), from 0 for nothing to 1 for all, and
        more where a layer gives the channels of others that are gone.

        Other than the actions that led to it, this tells only what makes a difference: two episodes whose kernels are rounded
        to the same size have the same.
        """

    def described(self, student: Student) -> npt.NDArray[np.float64]:
        """What the accuracy of a student is predicted from: its whole, and what remains of each layer, shape (columns,).

        The whole is zeros where it cannot be built.
        """
        architecture = student.architecture
        return np.concatenate([summary(architecture) if architecture.shapes else np.zeros(LENGTH), self.remains(student)])

    def removed(self, actions: Sequence[int]) -> frozenset[int]:
        """The layers of `base` that the first actions of an episode remove."""
        return frozenset()

    def resized(self, actions: Sequence[int]) -> Architecture:
        """`base` as the first actions of an episode shrink it."""
        return self.base

    @property
    def teacher(self) -> Architecture:
        """What students are measured against."""
        return self.start.teacher

    @property
    def base(self) -> Architecture:
        """The architecture that an episode starts from."""
        return self.start.architecture

    @property
    def decisions(self) -> int:
        """Length of an episode."""
        return len(self.rows)

    @property
    def actions(self) -> int:
        """How many actions there are to choose from."""
        return int(self.masks.shape[1])

    def effective(self, position: int) -> tuple[int, ...]:
        """The actions that have an effect at a position, whatever was decided before."""
        return self._effective[position]

    def with_effect(self, taken: Sequence[int]) -> Mask:
        """Which actions may have an effect after the first actions of an episode, shape (actions,); see `masks`."""
        mask: Mask = self.masks[len(taken)].copy()
        return mask

    def chains(self, position: int) -> tuple[tuple[int, ...], ...]:
        """The effective actions at a position, those in one chain such that an episode which is feasible with one of them is
        feasible with all that come after it.
        """
        return tuple((action,) for action in self.effective(position))

    @cached_property
    def _effective(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(np.flatnonzero(mask).tolist()) for mask in self.masks)

    def mask(self, taken: Sequence[int]) -> Mask:
        """Which actions are of use after those taken so far: they have an effect, and a feasible student can still follow.

        Args:
            taken: The episode's actions up to now.

        Returns:
            Shape (actions,). Where nothing feasible can follow any more, because earlier masks were ignored, all that have an
            effect. After the last decision, the same as before it.
        """
        begun = tuple(map(int, taken[: self.decisions - 1]))
        effective = self.with_effect(begun)
        if self.lookahead and (useful := self._ahead.actions(begun)):
            effective[[action for action in range(self.actions) if action not in useful]] = False
        return effective

    def random_actions(self, rng: np.random.Generator) -> tuple[int, ...]:
        """A whole episode, decision by decision uniformly random among what the masks offer."""
        taken: list[int] = []
        while len(taken) < self.decisions:
            taken.append(int(rng.choice(np.flatnonzero(self.mask(taken)))))
        return tuple(taken)

    def feasible(self, actions: Actions) -> bool:
        """Whether a whole episode ends with a feasible student: arithmetic, nothing is trained."""
        return self.student(actions).architecture.verdict(self.teacher).feasible

    @cached_property
    def _ahead(self) -> Lookahead:
        return Lookahead(self)
