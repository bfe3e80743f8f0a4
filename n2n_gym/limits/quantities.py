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


QUANTITIES: dict[str, Callable[[Evaluation], float]] = {
    **{size: operator.attrgetter(size) for size in SIZES},
    "latency_ms": _latency,
    "accuracy": operator.attrgetter("accuracy"),
}
"""What can be limited, and where an evaluation has it; `class_accuracy[i]` besides."""

CLASS_ACCURACY = "class_accuracy"

SHRINKING = ("parameters", "macs", "model_bytes")
"""What grows with the square of a network's filters: halving them all divides it by four."""

SHORTEST_MS = 1e-6
RANGES: dict[str, Range] = {
    "accuracy": (0.0, 1.0),
    CLASS_ACCURACY: (0.0, 1.0),
    "latency_ms": (SHORTEST_MS, math.inf),
}
"""Between what a quantity lies whatever the teacher."""

NAME = r"(?P<name>[a-z_]+)(?:\[(?P<index>\d+)\])?"
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

    def of(self, evaluation: Evaluation) -> float:
        """Its value for one student."""
        if self.index is not None:
            return evaluation.class_accuracy[self.index]
        return QUANTITIES[self.name](evaluation)

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"
