"""The evaluator contract: architectures in, evaluations out (section 3.3).

Whatever makes evaluation faster or safer - a store, worker processes, a finished table - is another `Evaluator`
around or instead of one, and passes the same tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.evaluation import Actions, Evaluation


class Evaluator(ABC):
    """Trains students and says how good they are.

    The contract: `evaluate` answers in the order it was asked, once per architecture, however often one occurs; equal
    architectures get equal evaluations, whatever else is evaluated beside or before them and by however many workers;
    a degenerate student or a failed training is an `Evaluation` with a reason, never an exception. Nothing is trained
    or downloaded before the first call of `evaluate` or `context`.
    """

    @property
    @abstractmethod
    def teacher(self) -> Architecture:
        """The teacher's architecture."""

    @abstractmethod
    def context(self) -> dict[str, Any]:
        """Everything but the architecture that an evaluation depends on, as JSON data; readies the teacher."""

    @abstractmethod
    def stream(self, students: Sequence[Architecture]) -> Iterator[tuple[int, Evaluation]]:
        """Train students that are feasible and distinct; yield index and evaluation as each is done, in any order."""

    def evaluate(self, students: Sequence[Architecture]) -> list[Evaluation]:
        """One evaluation per student, in the same order."""
        verdicts = [student.verdict(self.teacher) for student in students]
        distinct = {s.fingerprint: s for s, verdict in zip(students, verdicts, strict=True) if verdict.feasible}
        fingerprints = list(distinct)
        done: dict[str, Evaluation] = {}
        if distinct:
            done = {fingerprints[i]: evaluation for i, evaluation in self.stream(list(distinct.values()))}
        return [
            done[student.fingerprint] if verdict.feasible else Evaluation.failed(student, self.teacher, verdict)
            for student, verdict in zip(students, verdicts, strict=True)
        ]

    def evaluate_episodes(
        self, student: Callable[[Actions], Architecture], episodes: Sequence[Actions], rngs: Sequence[np.random.Generator]
    ) -> list[Evaluation]:
        """One evaluation per finished episode, in the same order.

        Args:
            student: The architecture that an episode's actions lead to.
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

    def context(self) -> dict[str, Any]:
        return self.inner.context()

    def close(self) -> None:
        self.inner.close()


def dearest_first(students: Sequence[Architecture]) -> list[int]:
    """The students' indices in the order in which several machines should train them: none waits for a late dear one."""
    return sorted(range(len(students)), key=lambda i: -students[i].macs)
