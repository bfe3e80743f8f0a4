"""The distinct students that a stage's episodes can end with."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.errors import InputError
from n2n_gym.stages.base import Stage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.student import Student

MOST_EPISODES = 20_000_000
MOST_STUDENTS = 200_000


class Space:
    """The distinct students of a stage, and which of them each action sequence leads to.

    Args:
        stage: The decisions.

    Attributes:
        students: Each once.
        row_of: Index into them of each action sequence, in lexicographic order.

    Raises:
        InputError: If there are too many for a table.
    """

    def __init__(self, stage: Stage) -> None:
        episodes = stage.actions**stage.decisions
        if episodes > MOST_EPISODES:
            raise InputError(
                f"{stage.decisions} decisions of {stage.actions} actions make more episodes than the {MOST_EPISODES:,} of a "
                "table; start from a smaller network"
            )
        maps = [_effective(stage, position) for position in range(stage.decisions)]
        if _combinations(maps) > MOST_STUDENTS and isinstance(stage, ShrinkStage):
            maps = [_choices(stage, position) for position in range(stage.decisions)]
        if _combinations(maps) > MOST_STUDENTS:
            raise InputError(
                f"{stage.decisions} decisions of {stage.actions} actions make {_combinations(maps):,} students, more than the "
                f"{MOST_STUDENTS:,} of a table; start from a smaller network"
            )
        found: dict[str, int] = {}
        self.students: list[Student] = []
        rows = []
        for actions in itertools.product(*(representatives for representatives, _ in maps)):
            student = stage.student(actions)
            row = found.setdefault(student.architecture.fingerprint, len(found))
            if row == len(self.students):
                self.students.append(student)
            rows.append(row)
        grid = np.array(rows, dtype=np.min_scalar_type(len(found))).reshape([len(choices) for choices, _ in maps])
        self.row_of: npt.NDArray[Any] = grid[np.ix_(*(places for _, places in maps))].ravel()


Choices = tuple[list[int], npt.NDArray[np.intp]]
"""At one position, some of the actions, and which of them each action is like."""


def _combinations(maps: list[Choices]) -> int:
    return math.prod(len(representatives) for representatives, _ in maps)


def _effective(stage: Stage, position: int) -> Choices:
    """The actions that are not masked; the others are like the one that leaves things as they are."""
    representatives = np.flatnonzero(stage.masks[position]).tolist()
    places = [representatives.index(a if a in representatives else stage.keep) for a in range(stage.actions)]
    return representatives, np.array(places, dtype=np.intp)


def _choices(stage: Stage, position: int) -> Choices:
    """The actions that differ in effect while all else stays: those that give a variable another value.

    Only where decisions are about variables of their own: of two activations in a row, removing either is like keeping both,
    but removing both is not.
    """
    found: dict[str, int] = {}
    representatives: list[int] = []
    places = []
    for action in range(stage.actions):
        actions = [stage.keep] * stage.decisions
        if stage.masks[position, action]:
            actions[position] = action
        place = found.setdefault(stage.student(actions).architecture.fingerprint, len(found))
        if place == len(representatives):
            representatives.append(actions[position])
        places.append(place)
    return representatives, np.array(places, dtype=np.intp)
