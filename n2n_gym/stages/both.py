"""Both stages as one episode: first keep or remove each layer, then shrink what is left (sections 3.2.1 and 3.2.2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import (
    FACTORS,
    KEEP,
    REMOVE,
    Architecture,
    Range,
    Variable,
    shrink,
    shrink_decisions,
    size_of,
    student_ranges,
)
from n2n_gym.layers import Layer
from n2n_gym.stages.base import Mask, Stage
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.student import Actions, Student

GONE = 0
"""The action that removes a layer: as where layers shrink, the lower an action is, the less of a layer it leaves."""


class BothStages(Stage):
    """Remove layers, then shrink what is left, in one episode that is equally long whatever is removed.

    The decisions about shrinking are the teacher's. Those about a layer that is gone have no effect; where removals tie
    outputs together that the teacher decides one by one, what decides for the first of those layers counts for all.

    Args:
        start: The teacher itself.
        lookahead: As of `Stage`.

    Raises:
        InputError: If it is a student that was edited already, or has nothing that can shrink.
    """

    name: ClassVar[str] = "both"
    number: ClassVar[int] = 2
    shows_previous_action: ClassVar[bool] = True
    keep: ClassVar[int] = ShrinkStage.keep

    def __init__(self, start: Student, *, lookahead: bool = True) -> None:
        self._removal, self._shrink = RemovalStage(start), ShrinkStage(start)
        self.start = start
        self.lookahead = lookahead
        self.layers = self._removal.layers + self._shrink.layers
        self.variables = self._removal.variables + self._shrink.variables
        self.rows = np.concatenate([self._removal.rows, self._shrink.rows])
        self.masks = np.zeros((len(self.layers), len(FACTORS)), dtype=np.bool_)
        self.masks[: self._removal.decisions, [self.keep, GONE]] = self._removal.masks[:, [KEEP, REMOVE]]
        self.masks[self._removal.decisions :] = self._shrink.masks
        ways = itertools.product(self._removal.endings, self._shrink.endings)
        self.endings = tuple((*_actions(removals), *shrinkages) for removals, shrinkages in ways)

    def student(self, actions: Actions) -> Student:
        left = self.start.removed(_removals(actions[: self._removal.decisions]))
        decided = actions[self._removal.decisions :]
        return left.shrunk([self.keep if by is None else decided[by] for by in _deciders(left)])

    def with_effect(self, taken: Sequence[int]) -> Mask:
        position = len(taken) - self._removal.decisions
        if position < 0 or position in _deciders(self.start.removed(_removals(taken[: self._removal.decisions]))):
            return super().with_effect(taken)
        mask: Mask = np.arange(self.actions) == self.keep
        return mask

    def chains(self, position: int) -> tuple[tuple[int, ...], ...]:
        later = position - self._removal.decisions
        return super().chains(position) if later < 0 else self._shrink.chains(later)

    def actions_of(self, student: Architecture) -> tuple[int, ...] | None:
        removals = self._removal.aligned(student, _may_become)
        left = self.start.removed(removals)
        decided = [self.keep] * self._shrink.decisions
        if deciders := _deciders(left):
            shrinkages = ShrinkStage(left).actions_of(student) or ()
            for by, action in zip(deciders, shrinkages, strict=False):
                if by is not None:
                    decided[by] = action
        actions = (*_actions(removals), *decided)
        return actions if self.student(actions).architecture == student else None

    def describe(self, position: int, action: int) -> str:
        if position < self._removal.decisions:
            return self._removal.describe(position, *_removals([action]))
        return self._shrink.describe(position - self._removal.decisions, action)

    @property
    def ranges(self) -> Mapping[str, Range]:
        return student_ranges(self.base)

    def trend(self, rng: np.random.Generator) -> tuple[int, ...]:
        return (*_actions(self._removal.trend(rng)), *self._shrink.trend(rng))

    def remains(self, student: Student) -> npt.NDArray[np.float64]:
        places = {origin: index for index, origin in enumerate(student.origins)}
        left = []
        for layers, variable in zip(self._shrink.layers, self._shrink.variables, strict=True):
            origin = next((layer for layer in layers if layer in places), None)
            size = 0 if origin is None else size_of(student.architecture, places[origin], variable)
            left.append(size / size_of(self.base, layers[0], variable))
        return np.concatenate([self._removal.remains(student), left])

    def removed(self, actions: Sequence[int]) -> frozenset[int]:
        return self._removal.removed(_removals(actions[: self._removal.decisions]))

    def resized(self, actions: Sequence[int]) -> Architecture:
        """`base` with the layers that the first actions of an episode have left as they are by now."""
        removals = _removals(actions[: self._removal.decisions])
        left = self.start.removed(removals + (KEEP,) * (self._removal.decisions - len(removals)))
        decided = actions[self._removal.decisions :]
        decisions = zip(shrink_decisions(left.architecture), _deciders(left), strict=True)
        shrunk = shrink(
            left.architecture, {d: FACTORS[decided[by]] for d, by in decisions if by is not None and by < len(decided)}
        )
        nodes = list(self.base.nodes)
        for node, origin in zip(shrunk.nodes, left.origins, strict=True):
            nodes[origin] = replace(nodes[origin], layer=node.layer)
        return replace(self.base, nodes=tuple(nodes))


def _removals(actions: Iterable[int]) -> tuple[int, ...]:
    """What actions here are in the first stage; what does not remove a layer keeps it."""
    return tuple(REMOVE if action == GONE else KEEP for action in actions)


def _actions(removals: Iterable[int]) -> tuple[int, ...]:
    """The contrary."""
    return tuple(GONE if action == REMOVE else BothStages.keep for action in removals)


@lru_cache(maxsize=4096)
def _may_become(before: Layer, after: Layer) -> bool:
    """Whether shrinking, in a block or elsewhere, makes one layer another."""
    return any(_shrunk_towards(before, after, keeps_size) == after for keeps_size in (False, True))


def _shrunk_towards(before: Layer, after: Layer, keeps_size: bool) -> Layer:
    """A layer with as many of its variables as possible shrunk to those of another."""
    layer = before
    for variable in before.variables:
        for tenths in range(1, len(FACTORS) + 1):
            kernel = keeps_size and variable is Variable.KERNEL
            shrunk = layer.shrunk(variable, tenths, keeps_size=kernel, multiple=before.output_parts)
            if shrunk.value(variable) == after.value(variable):
                layer = shrunk
                break
    return layer


@lru_cache(maxsize=4096)
def _deciders(left: Student) -> tuple[int | None, ...]:
    """For each decision about how what is left shrinks, which of the teacher's makes it; None where the teacher has none."""
    deciders: dict[tuple[int, Variable], int] = {}
    for position, decision in enumerate(shrink_decisions(left.teacher)):
        deciders.update(dict.fromkeys(((layer, decision.variable) for layer in decision.layers), position))
    found: list[int | None] = []
    for decision in shrink_decisions(left.architecture):
        made = (deciders.get((left.origins[layer], decision.variable)) for layer in decision.layers)
        found.append(next((by for by in made if by is not None), None))
    return tuple(found)
