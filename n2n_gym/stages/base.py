"""A stage of Algorithm 1 as decisions, actions and an edit; no gymnasium here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import Architecture, Range, Variable
from n2n_gym.architecture.features import Rows

Mask = npt.NDArray[np.bool_]


class Stage(ABC):
    """A stage of Algorithm 1: its decisions, its actions, its edit.

    Attributes:
        base: The architecture that an episode starts from.
        rows: One row of features per decision, shape (decisions, columns), float32.
        layers: The layers of `base` that each decision is about.
        variables: What of those layers is decided.
        masks: Which actions have an effect, shape (decisions, actions), bool.
        name: `removal` or `shrink`.
        shows_previous_action: Whether the observation holds the previous action.
        keep: The action that leaves things as they are.
    """

    base: Architecture
    rows: Rows
    layers: tuple[tuple[int, ...], ...]
    variables: tuple[Variable, ...]
    masks: Mask
    name: ClassVar[str]
    shows_previous_action: ClassVar[bool]
    keep: ClassVar[int]

    @abstractmethod
    def student(self, actions: Sequence[int]) -> Architecture:
        """The architecture that a whole episode's actions make of `base`."""

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

    def mask(self, taken: Sequence[int]) -> Mask:
        """Which actions are of use after the first ones of an episode, shape (actions,)."""
        mask: Mask = self.masks[len(taken)]
        return mask

    def removed(self, actions: Sequence[int]) -> frozenset[int]:
        """The layers of `base` that the first actions of an episode remove."""
        return frozenset()

    def resized(self, actions: Sequence[int]) -> Architecture:
        """`base` as the first actions of an episode shrink it."""
        return self.base

    @property
    def decisions(self) -> int:
        """Length of an episode."""
        return len(self.rows)

    @property
    def actions(self) -> int:
        """How many actions there are to choose from."""
        return int(self.masks.shape[1])
