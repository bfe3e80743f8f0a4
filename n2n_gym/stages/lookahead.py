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
"""So many ways to make the next decisions are tried where no episode is known that goes on."""

MOST_KNOWN = 100_000
"""Beginnings of episodes that are remembered."""

MOST_PASSES = 5
"""Over all decisions, in search of the episode with the smallest student."""


class Lookahead:
    """Finds for each action a whole episode that goes on from it and ends with a feasible student.

    Shapes, sizes and verdict of a student are arithmetic, so nothing is trained. What was found for a beginning mostly holds
    one decision later, too: then one student is looked at for each other action. Where it does not, the end of the episode
    with the smallest student is tried, after every way to make the next few decisions: an action that fits none of these is
    taken to lead nowhere.

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
        guesses = dict.fromkeys((*begun, *whole[start:]) for whole in (*earlier, self._smallest, *self._stage.endings))
        next_ones = ((*begun, *middle, *self._smallest[start + len(middle) :]) for middle in self._middles(start))
        return next((whole for whole in itertools.chain(guesses, next_ones) if self._stage.feasible(whole)), None)

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
        best = min(self._stage.endings, key=self._size)
        size = self._size(best)
        for _ in range(MOST_PASSES):
            before = best
            for position in range(self._stage.decisions):
                for action in self._stage.effective(position):
                    rival = (*best[:position], action, *best[position + 1 :])
                    if rival != best and (smaller := self._size(rival)) < size:
                        best, size = rival, smaller
            if best == before:
                break
        return best

    def _size(self, whole: Episode) -> tuple[bool, int, int]:
        """A student's size, the smaller the better; one that cannot be built is worse than any."""
        student = self._stage.student(whole).architecture
        return (not student.shapes, max(student.fc_inputs, self._stage.teacher.fc_inputs), student.parameters)
