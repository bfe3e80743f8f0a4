"""What is known of a student: plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.system.documents import Count, Duration, Share, checked

OUT_OF_MEMORY = "out of memory"
TIMEOUT = "timeout"
WORKER_DIED = "worker process died"
WORKER_SILENT = "worker process gave no sign of life"
MACHINE_FAILURES = frozenset({OUT_OF_MEMORY, TIMEOUT, WORKER_DIED, WORKER_SILENT})
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
        rung: Epochs after which its training was stopped, for what it had reached was worth less than what others had
            (`HalvingEvaluator`); then `accuracy` is predicted. 0 if it was trained whole.
        rung_accuracy: Its validation accuracy when it was stopped.
    """

    accuracy: Share
    teacher_accuracy: Share
    parameters: Count
    teacher_parameters: Count
    macs: Count
    model_bytes: Count = 0
    activation_bytes: Count = 0
    class_accuracy: tuple[Share, ...] = ()
    epoch_accuracy: tuple[Share, ...] = ()
    test_accuracy: Share | None = None
    latency_ms: Duration | None = None
    reason: str = ""
    seconds: Duration = 0.0
    run: str = ""
    rung: int = 0
    rung_accuracy: Share | None = None

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
        return cls.of(student, teacher, accuracy=0.0, teacher_accuracy=0.0, reason=str(reason), seconds=seconds)

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
        """The evaluation that `to_json` wrote.

        Raises:
            InputError: If the data is none: a number is missing, of another type or out of range, or there is more.
        """
        if foreign := data.keys() - {field.name for field in fields(cls)}:
            raise InputError(f"an evaluation has no {min(foreign)}")
        return checked(data, cls, "not an evaluation")
