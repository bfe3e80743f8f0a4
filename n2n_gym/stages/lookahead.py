"""Which actions can still lead to a feasible student: known by having found one that they lead to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from n2n_gym.stages.base import Stage

Episode = tuple[int, ...]

MOST_ENDS = 64
"""So many ways to make the next decisions are tried where no episode is known whose student can be built."""

NEAREST = 8
"""Of so many next decisions each is changed, one after the other, where the student is only too large."""

MOST_KNOWN = 100_000
"""Beginnings of episodes that are remembered."""

MOST_PASSES = 5
"""Over all decisions, in search of the episode with the smallest student."""


class Lookahead:
    """Finds for each action a whole episode that goes on from it and ends with a feasible student.

    Shapes, sizes and verdict of a student are arithmetic, so nothing is trained. What was found for a beginning mostly holds
    one decision later, too: then one student is looked at for each other action. Where it does not, the end of the episode
    with the smallest student is tried, with the next few decisions made so that it is still smaller; and where that cannot be
    built, after every way to make them. An action that fits none of these is taken to lead nowhere.

    Args:
        stage: Whose decisions they are.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._known: dict[Episode, dict[int, Episode]] = {}

    def actions(self, taken: Episode) -> dict[int, Episode]:
        """The actions that can follow those taken so far, each with an episode that ends with a feasible student."""
        if taken not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            earlier = self._known.get(taken[:-1], {}).values()
            found: dict[int, Episode] = {}
            for chain in self._stage.chains(len(taken)):
                ending: Episode | None = None
                for action in chain:
                    ending = (*taken, action, *ending[len(taken) + 1 :]) if ending else self._ending((*taken, action), earlier)
                    if ending is not None:
                        found[action] = ending
            self._known[taken] = found
        return self._known[taken]

    def _ending(self, begun: Episode, earlier: Iterable[Episode]) -> Episode | None:
        start = len(begun)
        for whole in earlier:
            if whole[:start] == begun:
                return whole  # seen to be feasible one decision ago
        guesses = dict.fromkeys((*begun, *whole[start:]) for whole in (*earlier, self._smallest, *self._stage.endings))
        found = next((whole for whole in guesses if self._stage.feasible(whole)), None)
        if found is not None:
            return found
        nearest = range(start, min(start + NEAREST, self._stage.decisions))
        smallest = self._descended((*begun, *self._smallest[start:]), nearest, passes=1)
        if self._stage.student(smallest).architecture.shapes:
            return smallest if self._stage.feasible(smallest) else None
        ends = ((*begun, *middle, *self._smallest[start + len(middle) :]) for middle in self._middles(start))
        return next((whole for whole in ends if self._stage.feasible(whole)), None)

    def _middles(self, start: int) -> Iterable[Episode]:
        """Every way to make as many of the next decisions as `MOST_ENDS` allows."""
        choices: list[tuple[int, ...]] = []
        for position in range(start, self._stage.decisions):
            choices.append(self._stage.effective(position))
            if math.prod(map(len, choices)) > MOST_ENDS:
                choices.pop()
                break
        return itertools.product(*choices)

    @cached_property
    def _smallest(self) -> Episode:
        """The episode with the smallest student that changing one decision after the other leads to."""
        smallest = min(self._stage.endings, key=self._size)
        return self._descended(smallest, range(self._stage.decisions), passes=MOST_PASSES)

    def _descended(self, best: Episode, positions: Iterable[int], passes: int) -> Episode:
        """The episode with the smallest student that changing one of some decisions after the other leads to."""
        size = self._size(best)
        for _ in range(passes):
            before = best
            for position in positions:
                for action in self._stage.effective(position):
                    rival = (*best[:position], action, *best[position + 1 :])
                    if rival != best and (smaller := self._size(rival)) < size:
                        best, size = rival, smaller
            if best == before:
                break
        return best

    def _size(self, whole: Episode) -> tuple[bool, int, int]:
        """Whether a student cannot be built, and its size: the smaller the better."""
        student = self._stage.student(whole).architecture
        return (not student.shapes, max(student.fc_inputs, self._stage.teacher.fc_inputs), student.parameters)
