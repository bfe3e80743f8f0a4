"""Stage 2: shrink what stage 1 left (section 3.2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import (
    FACTORS,
    Architecture,
    Range,
    ShrinkDecision,
    Variable,
    shrink,
    shrink_decisions,
    size_of,
    student_ranges,
)
from n2n_gym.architecture.features import decision_rows
from n2n_gym.errors import InputError
from n2n_gym.stages.base import Stage
from n2n_gym.student import Actions, Student


class ShrinkStage(Stage):
    """Shrink each configuration variable of what stage 1 left (section 3.2.2).

    Args:
        start: What stage 1 left.
        lookahead: As of `Stage`.

    Raises:
        InputError: If it has nothing that can shrink.
    """

    name: ClassVar[str] = "shrink"
    number: ClassVar[int] = 2
    shows_previous_action: ClassVar[bool] = True
    keep: ClassVar[int] = len(FACTORS) - 1

    def __init__(self, start: Student, *, lookahead: bool = True) -> None:
        decisions = shrink_decisions(start.architecture)
        if not decisions:
            raise InputError("nothing is left to shrink: the network has no convolution and no hidden linear layer")
        self.start = start
        self.lookahead = lookahead
        self._decisions = decisions
        self.layers = tuple(decision.layers for decision in decisions)
        self.variables = tuple(decision.variable for decision in decisions)
        self.rows = decision_rows(start.architecture, [d.layers[0] for d in decisions], self.variables)
        self.masks = np.ones((len(decisions), len(FACTORS)), dtype=np.bool_)
        narrow = tuple(0 if variable is Variable.OUTPUTS else self.keep for variable in self.variables)
        small = tuple(self.keep if variable is Variable.PADDING else 0 for variable in self.variables)
        self.endings = (narrow, small, (self.keep,) * len(decisions))

    def student(self, actions: Actions) -> Student:
        return self.start.shrunk(actions)

    def chains(self, position: int) -> tuple[tuple[int, ...], ...]:
        return self._chains[position]

    @cached_property
    def _chains(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Fewer filters only make a student smaller; kernels and paddings that are rounded alike are the same."""
        found = []
        for decision in self._decisions:
            alike: dict[int | None, list[int]] = {}
            for action, factor in reversed([*enumerate(FACTORS)]):
                value = _value(shrink(self.base, {decision: factor}), decision)
                alike.setdefault(None if decision.variable is Variable.OUTPUTS else value, []).append(action)
            found.append(tuple(map(tuple, alike.values())))
        return tuple(found)

    def actions_of(self, student: Architecture) -> tuple[int, ...] | None:
        if len(student.nodes) != len(self.base.nodes):
            return None
        pairs = zip(self._decisions, self._action_for, strict=True)
        actions = [known.get(_value(student, decision)) for decision, known in pairs]
        found = tuple(action for action in actions if action is not None)
        return found if len(found) == self.decisions and self.student(found).architecture == student else None

    @cached_property
    def _action_for(self) -> tuple[dict[int | None, int], ...]:
        """For each decision, the largest action that gives its variable a value."""
        return tuple(
            {_value(shrink(self.base, {d: factor}), d): action for action, factor in enumerate(FACTORS)}
            for d in self._decisions
        )

    def describe(self, position: int, action: int) -> str:
        return f"x {FACTORS[action]:g}"

    @property
    def ranges(self) -> Mapping[str, Range]:
        return student_ranges(self.base, removal=False)

    def trend(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Filters on a line; kernels and paddings stay: small kernels hardly save anything, and blind a network."""
        outputs = np.array([variable is Variable.OUTPUTS for variable in self.variables])
        first, last = rng.random(2)
        kept = np.linspace(first, last, int(outputs.sum()))
        actions = np.full(self.decisions, self.keep)
        actions[outputs] = (kept * len(FACTORS)).astype(np.int64)
        return tuple(actions.tolist())

    def remains(self, student: Student) -> npt.NDArray[np.float64]:
        of = [(d.layers[0], d.variable) for d in self._decisions]
        left = [size_of(student.architecture, *each) / size_of(self.base, *each) for each in of]
        return np.array(left, dtype=np.float64)

    def resized(self, actions: Sequence[int]) -> Architecture:
        return shrink(self.base, {d: FACTORS[action] for d, action in zip(self._decisions, actions, strict=False)})


def _value(architecture: Architecture, decision: ShrinkDecision) -> int | None:
    """What a decision's variable is in the layer that leads it; None where the layer has none such any more."""
    return architecture.nodes[decision.layers[0]].layer.value(decision.variable)
