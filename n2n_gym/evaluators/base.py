"""The evaluator contract: architectures in, evaluations out (section 3.3).

Whatever makes evaluation faster or safer - a store, worker processes, a finished table - is another `Evaluator`
around or instead of one, and passes the same tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import numpy as np

from n2n_gym import __version__
from n2n_gym.architecture import Architecture

Actions = Sequence[int]
"""Of a whole episode, one per decision."""

OUT_OF_MEMORY = "out of memory"
TIMEOUT = "timeout"
WORKER_DIED = "worker process died"
MACHINE_FAILURES = frozenset({OUT_OF_MEMORY, TIMEOUT, WORKER_DIED})
"""Reasons that the machine is to blame for, not the student: another try may go well."""


@dataclass(frozen=True)
class Evaluation:
    """What is known of one student after its short training; compression and accuracy are against the teacher.

    Attributes:
        accuracy: Validation accuracy in [0, 1].
        teacher_accuracy: The teacher's, on the same images.
        parameters: The student's trainable parameters.
        teacher_parameters: The teacher's.
        macs: The student's multiply-accumulates for one image.
        model_bytes: Size of its weights and running statistics in float32.
        activation_bytes: Peak of the feature maps that one image's forward pass holds at once.
        class_accuracy: Validation accuracy for the images of each class; 0 for a class without any.
        epoch_accuracy: Validation accuracy after each epoch, if the evaluator measures it.
        test_accuracy: Test accuracy, which only tables have (`DistillationEvaluator.thorough`): no search may see it.
        latency_ms: Measured time of a forward pass, if the evaluator measures it.
        reason: Why the student is degenerate or failed, or "".
        seconds: Time that its training took.
        run: Name of the run that trained it, or "".
    """

    accuracy: float
    teacher_accuracy: float
    parameters: int
    teacher_parameters: int
    macs: int
    model_bytes: int = 0
    activation_bytes: int = 0
    class_accuracy: tuple[float, ...] = ()
    epoch_accuracy: tuple[float, ...] = ()
    test_accuracy: float | None = None
    latency_ms: float | None = None
    reason: str = ""
    seconds: float = 0.0
    run: str = ""

    @classmethod
    def of(
        cls, student: Architecture, teacher: Architecture, *, accuracy: float, teacher_accuracy: float, **facts: Any
    ) -> Evaluation:
        """The evaluation of a student, with what its architecture says.

        Args:
            student: Its architecture.
            teacher: The teacher's.
            accuracy: The student's validation accuracy.
            teacher_accuracy: The teacher's.
            **facts: Further attributes.
        """
        return cls(
            accuracy=accuracy,
            teacher_accuracy=teacher_accuracy,
            parameters=student.parameters,
            teacher_parameters=teacher.parameters,
            macs=student.macs,
            model_bytes=student.model_bytes,
            activation_bytes=student.activation_bytes,
            **facts,
        )

    @classmethod
    def failed(cls, student: Architecture, teacher: Architecture, reason: str, seconds: float = 0.0) -> Evaluation:
        """The evaluation of a student that is degenerate or whose training failed."""
        return cls.of(student, teacher, accuracy=0.0, teacher_accuracy=0.0, reason=reason, seconds=seconds)

    @property
    def compression(self) -> float:
        """C = 1 - student's parameters / teacher's parameters (section 3.3)."""
        return 1.0 - self.parameters / self.teacher_parameters

    @property
    def relative_accuracy(self) -> float:
        """A / A_teacher; 0 for a student that failed."""
        return self.accuracy / self.teacher_accuracy if self.teacher_accuracy else 0.0

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Evaluation:
        """The evaluation that `to_json` wrote."""
        tuples = {name: tuple(data.get(name, ())) for name in ("class_accuracy", "epoch_accuracy")}
        return cls(**{**data, **tuples})


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
        self, student: Callable[[Actions], Architecture], episodes: Sequence[Actions], rng: np.random.Generator
    ) -> list[Evaluation]:
        """One evaluation per finished episode, in the same order.

        Args:
            student: The architecture that an episode's actions lead to.
            episodes: The actions of each.
            rng: The environment's random numbers, for an evaluator that draws.
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


def library_versions(*others: str) -> dict[str, str]:
    """Versions of the libraries that a student's training depends on, and of others by their names on PyPI."""
    return {"n2n-gym": __version__, **{name: version(name) for name in ("torch", *others)}}
