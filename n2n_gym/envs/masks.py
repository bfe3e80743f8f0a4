"""Which actions are of use at a moment of an episode, each found once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.stages.base import Stage

ActionMask = npt.NDArray[np.int8]
"""1 for an action that is of use, 0 for one that is not: what the `sample(mask=...)` of Gymnasium's spaces takes."""

KNOWN = 16_384
"""Moments whose masks are remembered."""


class Masks:
    """The masks of a stage. Copies of it, and what is pickled, leave out what was remembered.

    Args:
        stage: What is decided.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._known: dict[tuple[int, ...], ActionMask] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Masks, (self.stage,)

    def after(self, taken: Sequence[Sequence[int]]) -> ActionMask:
        """The masks of episodes after the actions that each has taken, shape (episodes, actions).

        An episode that is over has no next decision: it gets the last one's.
        """
        return np.stack([self._after(tuple(each[: self.stage.decisions - 1])) for each in taken])

    def _after(self, taken: tuple[int, ...]) -> ActionMask:
        mask = self._known.get(taken)
        if mask is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            mask = self._known[taken] = self.stage.mask(taken).astype(np.int8)
        return mask
