"""What there is about a student that a limit can be on."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from n2n_gym.architecture import SIZES, Range
from n2n_gym.errors import InputError, unknown
from n2n_gym.evaluation import Evaluation


def _latency(evaluation: Evaluation) -> float:
    if evaluation.latency_ms is None:
        raise ValueError("the evaluator measured no latency; give its maker a latency_batch_size")
    return evaluation.latency_ms


SHORTEST_MS = 1e-6


@dataclass(frozen=True, slots=True)
class Measure:
    """How a quantity is measured, and what is known of it before any training.

    Attributes:
        value: Its value for one student.
        of_architecture: Whether a student's architecture alone decides it: then previews tell whether a limit is kept.
        shrinks: Whether it grows with the square of a network's filters, so that halving them all divides it by four: then
            stage 1 leaves `headroom` to stage 2.
        range: Between what it lies whatever the teacher.
    """

    value: Callable[[Evaluation], float]
    of_architecture: bool = False
    shrinks: bool = False
    range: Range = (0.0, math.inf)


QUANTITIES: dict[str, Measure] = {
    **{size: Measure(operator.attrgetter(size), of_architecture=True, shrinks=size != "activation_bytes") for size in SIZES},
    "latency_ms": Measure(_latency, range=(SHORTEST_MS, math.inf)),
    "accuracy": Measure(operator.attrgetter("accuracy"), range=(0.0, 1.0)),
}
"""What can be limited; `class_accuracy[i]` besides."""

CLASS_ACCURACY = "class_accuracy"

NAME = r"(?P<name>[a-z_][a-z0-9_]*)(?:\[(?P<index>\d+)\])?"
_QUANTITY = re.compile(NAME)
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """Something about a student that a limit can be on.

    Attributes:
        name: One of `QUANTITIES`, or `class_accuracy`.
        index: With `class_accuracy`, the class.
    """

    name: str
    index: int | None = None

    def __post_init__(self) -> None:
        if self.name not in (*QUANTITIES, CLASS_ACCURACY):
            raise unknown("constrained quantity", self.name, (*QUANTITIES, CLASS_ACCURACY))
        if (self.name == CLASS_ACCURACY) != (self.index is not None):
            raise InputError("class_accuracy, and nothing else, takes the number of a class: class_accuracy[3]>=0.9")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A quantity from its name, such as `parameters` or `class_accuracy[3]`.

        Raises:
            InputError: If there is none of that name.
        """
        match = _QUANTITY.fullmatch(text.strip())
        if match is None:
            raise unknown("constrained quantity", text, (*QUANTITIES, CLASS_ACCURACY))
        index = match["index"]
        if index is not None and len(index) > _MOST_DIGITS:
            raise InputError(f"class_accuracy: no data set has a class whose number has {len(index):,} digits")
        return cls(match["name"], None if index is None else int(index))

    @property
    def measure(self) -> Measure:
        """How it is measured."""
        if (label := self.index) is not None:
            return Measure(lambda evaluation: evaluation.class_accuracy[label], range=QUANTITIES["accuracy"].range)
        return QUANTITIES[self.name]

    def of(self, evaluation: Evaluation) -> float:
        """Its value for one student."""
        return self.measure.value(evaluation)

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"
