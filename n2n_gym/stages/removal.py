"""Stage 1: keep or remove each layer (section 3.2.1)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import KEEP, REMOVE, Architecture, Range, Variable, removal_decisions, student_ranges
from n2n_gym.architecture.features import decision_rows
from n2n_gym.errors import InputError
from n2n_gym.layers import Layer
from n2n_gym.stages.base import Stage
from n2n_gym.student import Actions, Student


class RemovalStage(Stage):
    """Keep or remove each layer of the teacher (section 3.2.1).

    Args:
        start: The teacher itself.
        lookahead: As of `Stage`.

    Raises:
        InputError: If it is a student that was edited already.
    """

    name: ClassVar[str] = "removal"
    number: ClassVar[int] = 1
    shows_previous_action: ClassVar[bool] = False
    keep: ClassVar[int] = KEEP

    def __init__(self, start: Student, *, lookahead: bool = True) -> None:
        if start.edited:
            raise InputError("layers are removed from the teacher itself, not from a student")
        decisions = removal_decisions(start.teacher)
        self.start = start
        self.lookahead = lookahead
        self.layers = tuple((decision.layer,) for decision in decisions)
        self.variables = (Variable.LAYER,) * len(decisions)
        self.rows = decision_rows(start.teacher, [d.layer for d in decisions], self.variables)
        self.masks = np.ones((len(decisions), 2), dtype=np.bool_)
        self.masks[:, REMOVE] = [not decision.protected for decision in decisions]
        nodes = start.teacher.nodes
        lean = tuple(KEEP if d.protected else REMOVE for d in decisions)
        pools_kept = tuple(KEEP if nodes[d.layer].layer.pools else a for d, a in zip(decisions, lean, strict=True))
        self.endings = (pools_kept, lean, (KEEP,) * len(decisions))

    def student(self, actions: Actions) -> Student:
        return self.start.removed(actions)

    def actions_of(self, student: Architecture) -> tuple[int, ...] | None:
        actions = self.aligned(student, operator.eq)
        return actions if self.student(actions).architecture == student else None

    def aligned(self, student: Architecture, like: Callable[[Layer, Layer], bool]) -> tuple[int, ...]:
        """The actions that leave a main path whose layers are like a student's, one after the other, if there are any.

        Args:
            student: An architecture.
            like: Whether the teacher's layer, the first argument, may have become the student's.
        """
        path = self.base.main_path
        before = [self.base.nodes[index].layer for index in path]
        after = [student.nodes[index].layer for index in student.main_path]
        removable = {layers[0] for layers, mask in zip(self.layers, self.masks, strict=True) if mask[REMOVE]}
        # fits[i][j]: what is left of the teacher from its layer i on can be the student from its layer j on
        fits = np.zeros((len(before) + 1, len(after) + 1), dtype=np.bool_)
        fits[-1, -1] = True
        for i in reversed(range(len(before))):
            same = np.array([like(before[i], layer) for layer in after], dtype=np.bool_)
            fits[i, :-1] = same & fits[i + 1, 1:]
            if path[i] in removable:
                fits[i] |= fits[i + 1]
        kept: set[int] = set()
        for i, index in enumerate(path):
            j = len(kept)
            if j < len(after) and like(before[i], after[j]) and fits[i + 1, j + 1]:
                kept.add(index)
        return tuple(KEEP if layers[0] in kept else REMOVE for layers in self.layers)

    def describe(self, position: int, action: int) -> str:
        protected = not self.masks[position, REMOVE]
        return "protected" if protected else "removed" if action == REMOVE else "kept"

    @property
    def ranges(self) -> Mapping[str, Range]:
        return student_ranges(self.base, shrinkage=False)

    def trend(self, rng: np.random.Generator) -> tuple[int, ...]:
        first, last = rng.random(2)
        kept = np.linspace(first, last, self.decisions)
        removed = (rng.random(self.decisions) > kept) & self.masks[:, REMOVE]
        return tuple(np.where(removed, REMOVE, KEEP).tolist())

    def remains(self, student: Student) -> npt.NDArray[np.float64]:
        kept = set(student.origins)
        return np.array([float(layers[0] in kept) for layers in self.layers])

    def removed(self, actions: Sequence[int]) -> frozenset[int]:
        removals = (action == REMOVE and self.masks[i, REMOVE] for i, action in enumerate(actions))
        return frozenset(layers[0] for layers, gone in zip(self.layers, removals, strict=False) if gone)
