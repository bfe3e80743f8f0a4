"""The evaluator contract: students in, evaluations out (section 3.3).

Whatever makes evaluation faster or safer - a store, worker processes, a finished table - is another `Evaluator`
around or instead of one, and passes the same tests.
"""

from __future__ import annotations

import copy
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.student import Actions, Student
from n2n_gym.system.progress import STUDENT, report


@dataclass(frozen=True)
class Rung:
    """Where trainings are stopped, maybe to go on later.

    Attributes:
        epoch: After so many epochs of the whole training.
        states: Folder that holds trainings which were stopped.
    """

    epoch: int
    states: Path

    def file(self, key: str) -> Path:
        """Of a student's training."""
        return self.states / f"{key}.safetensors"


_MAY_LACK = ("test_accuracy", "rung_accuracy")
_SHARES = ("accuracy", "teacher_accuracy", "class_accuracy", "epoch_accuracy", *_MAY_LACK)
"""What of an evaluation lies from 0 to 1; the last ones may be None."""


class Evaluator(ABC):
    """Trains students and says how good they are.

    The contract: `evaluate` answers in the order it was asked, once per student, however often one occurs; equal
    students get equal evaluations, whatever else is evaluated beside or before them and by however many workers;
    a degenerate student or a failed training is an `Evaluation` with a reason, never an exception. Nothing is trained
    or downloaded before the first call of `evaluate` or `context`. Students are equal whose `key` is: those with equal
    architectures, and where they inherit their teacher's weights, also with equal origins.
    """

    @property
    @abstractmethod
    def teacher(self) -> Architecture:
        """The teacher's architecture."""

    @property
    def inherits(self) -> bool:
        """Whether students start from their teacher's weights, so that it matters which of its layers theirs were."""
        return False

    def key(self, student: Student) -> str:
        """What a student is known by: 64 hexadecimal digits."""
        return student.lineage if self.inherits else student.architecture.fingerprint

    @property
    def epochs(self) -> int:
        """Epochs of a student's training; 0 where trainings cannot be stopped on the way."""
        return 0

    def until(self, rung: Rung) -> Evaluator:
        """The same evaluator, but its trainings stop early, and go on from where they were stopped.

        Where its rung is the last epoch, it is equal to this one.

        Raises:
            InputError: If its trainings cannot be stopped on the way.
        """
        raise InputError("trainings can be stopped on the way only where students are trained, in processes of this machine")

    def sharing(self, folder: Path) -> Evaluator:
        """An equal evaluator whose copies in other processes share, through a folder, what all of them need."""
        return self

    @abstractmethod
    def context(self) -> dict[str, Any]:
        """Everything but the student that an evaluation depends on, as JSON data; readies the teacher."""

    @abstractmethod
    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        """Train students that are feasible and distinct; yield index and evaluation as each is done, in any order."""

    def evaluate(self, students: Sequence[Student]) -> list[Evaluation]:
        """One evaluation per student, in the same order.

        Raises:
            InputError: If `stream` does not do what it must: an evaluator of the user's own may not.
        """
        verdicts = [student.architecture.verdict(self.teacher) for student in students]
        distinct = {self.key(s): s for s, verdict in zip(students, verdicts, strict=True) if verdict.feasible}
        keys = list(distinct)
        done: dict[str, Evaluation] = {}
        if distinct:
            stream = self.stream(list(distinct.values()))
            if not isinstance(stream, Iterable):
                raise self._misbehaves(f"stream gives {type(stream).__name__}")
            try:
                for answer in stream:
                    i, evaluation = self._answer(answer, len(keys))
                    done[keys[i]] = evaluation
                    report(STUDENT, len(done), len(keys))
            finally:  # at once, though the traceback of an interruption holds it: it may keep workers busy, and others waiting
                if isinstance(stream, Generator):
                    stream.close()
            if len(done) < len(keys):
                raise self._misbehaves(f"stream answered {len(done)} of {len(keys)} students")
        return [
            done[self.key(s)] if verdict.feasible else Evaluation.failed(s.architecture, self.teacher, verdict)
            for s, verdict in zip(students, verdicts, strict=True)
        ]

    def _answer(self, answer: Any, count: int) -> tuple[int, Evaluation]:
        """What `stream` yields for one of so many students, once it was looked at."""
        try:
            index, evaluation = answer
            index = operator.index(index)
        except (TypeError, ValueError):
            index, evaluation = -1, None
        if not isinstance(evaluation, Evaluation):
            raise self._misbehaves(f"stream yields {answer!r}")
        if not 0 <= index < count:
            raise self._misbehaves(f"stream yields index {index} where there are {count} students")
        for name in _SHARES:
            value = getattr(evaluation, name)
            for share in value if isinstance(value, tuple | list) else (value,):
                if not ((isinstance(share, float | int) and 0 <= share <= 1) or (share is None and name in _MAY_LACK)):
                    raise InputError(f"evaluator {type(self).__name__}: {name} must be a float from 0 to 1, not {share!r}")
        return index, evaluation

    def _misbehaves(self, how: str) -> InputError:
        must = "it must yield (index, Evaluation) once for each student that it is given"
        return InputError(f"evaluator {type(self).__name__}: {how}; {must}")

    def evaluate_episodes(
        self, student: Callable[[Actions], Student], episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]
    ) -> list[Evaluation]:
        """One evaluation per finished episode, in the same order.

        Args:
            student: What an episode's actions lead to.
            episodes: The actions of each.
            rngs: The random numbers of each one's environment, for an evaluator that draws.
        """
        return self.evaluate([student(actions) for actions in episodes])

    def close(self) -> None:  # noqa: B027  most have nothing to let go of
        """Let go of processes and files; evaluating again takes them up again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class WrappingEvaluator(Evaluator):
    """An evaluator around another one, which trains the students or passes them on.

    Args:
        inner: The other one.
    """

    inner: Evaluator

    @property
    def teacher(self) -> Architecture:
        return self.inner.teacher

    @property
    def inherits(self) -> bool:
        return self.inner.inherits

    def context(self) -> dict[str, Any]:
        return self.inner.context()

    @property
    def epochs(self) -> int:
        return self.inner.epochs

    def until(self, rung: Rung) -> Evaluator:
        if not self.epochs:
            return super().until(rung)
        stopping = copy.copy(self)
        stopping.inner = self.inner.until(rung)
        return stopping

    def close(self) -> None:
        self.inner.close()


def dearest_first(students: Sequence[Student]) -> list[int]:
    """The students' indices in the order in which several machines should train them: none waits for a late dear one."""
    return sorted(range(len(students)), key=lambda i: -students[i].architecture.macs)
