"""What `info` says: the same keys with the same types at every step, so that whatever records steps can store them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from n2n_gym.evaluation import Evaluation
from n2n_gym.limits import Constraint
from n2n_gym.stages.base import Stage
from n2n_gym.student import Student

Info = dict[str, Any]
Taken = npt.NDArray[np.int64]

UNDECIDED = -1
"""Stands in `info["actions"]` for a decision that was not taken yet."""


class Finished(NamedTuple):
    """A finished episode.

    Attributes:
        stage: What its actions mean.
        actions: One per decision.
        evaluation: What the evaluator says of its student.
        reward: The episode's only reward.
        violated: The limits that the student does not keep.
    """

    stage: Stage
    actions: tuple[int, ...]
    evaluation: Evaluation
    reward: float
    violated: tuple[Constraint, ...] = ()

    @property
    def student(self) -> Student:
        """What it ended with."""
        return self.stage.student(self.actions)

    @property
    def info(self) -> Info:
        """The terminal step's `info`; no time in it, so that equal episodes have equal ones."""
        numbers = {key: type(UNFINISHED[key])(getattr(self.evaluation, key)) for key in OF_EVALUATION}
        return {**numbers, "violated": listed(self.violated), "actions": np.array(self.actions, dtype=np.int64)}


class Preview(NamedTuple):
    """What is known of an episode's student without any training.

    Attributes:
        fingerprint: Of its architecture: equal for students that are the same.
        parameters: How many it has.
        macs: Multiply-accumulates for one image.
        compression: C = 1 - its parameters / the teacher's, at most 1.
        reason: Why it is degenerate, or "".
        violated: The limits that it does not keep, whatever its accuracy and latency; as in a terminal step's `info`.
        worth: The reward of a student of its sizes that is as accurate as its teacher, as long as all limits are kept. -1 for
            one that is degenerate.
        base: The reward if it were never right. In between a reward grows with the accuracy A as base + (worth - base) A /
            A_teacher: base is 0, but where the reward is compression alone.
        needed: The accuracy that it must have to keep the limits on `accuracy`; 0 without any.
    """

    fingerprint: str
    parameters: int
    macs: int
    compression: float
    reason: str
    violated: str
    worth: float
    base: float
    needed: float

    @property
    def allowed(self) -> bool:
        """Whether training can make something of it: it is feasible and keeps the limits on sizes."""
        return not self.reason and not self.violated


OF_EVALUATION = ("accuracy", "teacher_accuracy", "compression", "parameters", "macs", "reason")
"""The keys that are read off a student's evaluation."""

UNFINISHED: Info = {
    **dict.fromkeys(("accuracy", "teacher_accuracy", "compression"), 0.0),
    **dict.fromkeys(("parameters", "macs"), 0),
    **dict.fromkeys(("reason", "violated"), ""),
}
"""What all keys but `actions` hold as long as there is no student."""


def unfinished(actions: Sequence[int], decisions: int) -> Info:
    """The `info` of a step that does not end its episode, and of a reset.

    Args:
        actions: Those taken so far.
        decisions: Length of an episode.
    """
    taken = np.full(decisions, UNDECIDED, dtype=np.int64)
    taken[: len(actions)] = actions
    return {**UNFINISHED, "actions": taken}


class Columns:
    """The `info` of episodes side by side, as Gymnasium makes it of single ones: an array a key, and `_KEY` says whose it is.

    Arrays that say the same at every step are made once and cannot be written to.

    Args:
        count: Episodes side by side.
    """

    def __init__(self, count: int) -> None:
        self._unfinished = {key: _constant(count, value) for key, value in UNFINISHED.items()}
        self._all = _constant(count, True)
        self._whose = {f"_{key}": self._all for key in (*UNFINISHED, "actions")}

    def of(self, taken: Taken, ended: npt.NDArray[np.int64], finished: Sequence[Finished]) -> Info:
        """What is known after a step of all episodes.

        Args:
            taken: The actions so far, shape (count, decisions); the `info` holds this very array.
            ended: Which episodes ended, indices.
            finished: Them.
        """
        info: Info = {**self._unfinished, **self._whose, "actions": taken}
        if finished:
            evaluations = [each.evaluation for each in finished]
            for key in OF_EVALUATION:
                read: Any = map(attrgetter(key), evaluations)
                self._fill(info, key, ended, map(str, read) if key == "reason" else read)
            if any(violated := [each.violated for each in finished]):
                self._fill(info, "violated", ended, map(listed, violated))
        return info

    def _fill(self, info: Info, key: str, ended: npt.NDArray[np.int64], values: Iterable[Any]) -> None:
        info[key] = self._unfinished[key].copy()
        info[key][ended] = list(values)

    def only(self, info: Info, chosen: npt.NDArray[np.bool_]) -> Info:
        """The part of an `info` that is of some episodes; the others have zeros and None, as in Gymnasium."""
        part: Info = {}
        for key in (*UNFINISHED, "actions"):
            part[key] = np.full_like(info[key], None if info[key].dtype == object else 0)
            part[key][chosen] = info[key][chosen]
            part[f"_{key}"] = chosen.copy()
        return part


def listed(limits: Sequence[Constraint]) -> str:
    """Limits as one text."""
    return "; ".join(map(str, limits)) if limits else ""


def _constant(count: int, value: Any) -> npt.NDArray[Any]:
    column = np.full(count, value, dtype=object if isinstance(value, str) else type(value))
    column.flags.writeable = False
    return column
