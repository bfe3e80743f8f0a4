"""Limits on what a student may cost or must achieve: A x <= b (section 3.3.1)."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np

from n2n_gym.architecture import Range
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.limits.feasibility import contradictory
from n2n_gym.limits.quantities import NAME, Quantity
from n2n_gym.system.documents import read_document, shown

_NUMBER = r"(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(rf"(?P<sign>[+-])(?:(?P<factor>{_NUMBER})\*)?(?P<quantity>{NAME})")
_LIMIT = re.compile(rf"(?P<sum>[^<>=]+)(?P<side><=|>=)(?P<bound>[+-]?{_NUMBER})")
_FORM = "quantities go left of <= or >= (not < or >), a number without unit and comma right of it"
_EXAMPLE = 'write it like "parameters<=20000", "class_accuracy[3]>=0.9" or "2*parameters + macs <= 1e6"'

_ACCURACY = Quantity("accuracy")


@dataclass(frozen=True)
class Constraint:
    """One row of A x <= b: a weighted sum of quantities that may be at most a bound.

    Attributes:
        coefficients: Quantities and their weights.
        bound: The largest value that the sum may have.
        text: How it was written.
    """

    coefficients: tuple[tuple[Quantity, float], ...]
    bound: float
    text: str

    def __post_init__(self) -> None:
        weights = [weight for _, weight in self.coefficients]
        if not all(map(math.isfinite, (*weights, self.bound))) or not any(weights):
            raise InputError(f"the constraint {shown(repr(self.text))} limits nothing: a number is too large, or all are 0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A limit as a user writes it, such as `parameters<=20000`.

        Args:
            text: A sum of quantities, each with a factor or without, `<=` or `>=`, and a number.

        Raises:
            InputError: If it cannot be read or names an unknown quantity.
        """
        limit = _LIMIT.fullmatch(re.sub(r"\s", "", text))
        if limit is None:
            raise InputError(f"cannot read the constraint {shown(repr(text))}: {_FORM}; {_EXAMPLE}")
        side = 1.0 if limit["side"] == "<=" else -1.0
        rest = limit["sum"] if limit["sum"][0] in "+-" else "+" + limit["sum"]
        coefficients: dict[Quantity, float] = defaultdict(float)
        while rest:
            term = _TERM.match(rest)
            if term is None:
                raise InputError(f"cannot read {shown(rest)!r} in the constraint {shown(repr(text))}: {_FORM}; {_EXAMPLE}")
            coefficients[Quantity.parse(term["quantity"])] += side * float(term["sign"] + (term["factor"] or "1"))
            rest = rest[term.end() :]
        return cls(tuple(sorted(coefficients.items())), side * float(limit["bound"]), text.strip())

    @classmethod
    def of(cls, coefficients: Mapping[str, float], *, at_most: float) -> Self:
        """A limit on a linear combination.

        Args:
            coefficients: A weight for each quantity's name (`class_accuracy[3]` for a class).
            at_most: The largest value of the weighted sum.

        Raises:
            InputError: If a quantity is unknown or a number not finite.
        """
        weights = {Quantity.parse(name): float(weight) for name, weight in coefficients.items()}
        text = " + ".join(f"{weight!r}*{quantity}" for quantity, weight in weights.items()) + f" <= {float(at_most)!r}"
        return cls(tuple(sorted(weights.items())), float(at_most), text.replace("+ -", "- "))

    def excess(self, evaluation: Evaluation) -> float:
        """By how much the sum exceeds the bound, as a share of the bound; 0 or less if the limit is kept."""
        total = sum(weight * quantity.of(evaluation) for quantity, weight in self.coefficients)
        return (total - self.bound) / max(abs(self.bound), 1e-12)

    def needed_accuracy(self, evaluation: Evaluation) -> float:
        """From which accuracy on a student keeps the limit; 0 for a limit that does not only depend on it and on sizes."""
        weights = dict(self.coefficients)
        accuracy = weights.pop(_ACCURACY, 0.0)
        if accuracy >= 0 or not all(quantity.measure.of_architecture for quantity in weights):
            return 0.0
        rest = sum(weight * quantity.of(evaluation) for quantity, weight in weights.items())
        return max((rest - self.bound) / -accuracy, 0.0)

    @property
    def limits_what_shrinks(self) -> bool:
        """Whether it is an upper limit on quantities that shrink with the filters, and on nothing else."""
        return all(quantity.measure.shrinks and weight >= 0 for quantity, weight in self.coefficients)

    @property
    def is_of_sizes(self) -> bool:
        """Whether an architecture alone decides if it is kept."""
        return all(quantity.measure.of_architecture for quantity, _ in self.coefficients)

    def times(self, factor: float) -> Self:
        """The same limit with another bound."""
        return self if factor == 1 else replace(self, bound=self.bound * factor, text=f"{self.text}, {factor:g} times")

    def least(self, ranges: Mapping[Quantity, Range]) -> float:
        """The smallest value that the weighted sum can have when each quantity lies in its range."""
        ends = (ranges[quantity][0 if weight > 0 else 1] * weight for quantity, weight in self.coefficients if weight)
        return sum(ends)

    def __str__(self) -> str:
        return self.text


Limits = str | Constraint | Iterable[str | Constraint]
"""How users give limits."""


@dataclass(frozen=True)
class Constraints:
    """All limits that a student must keep; falsy if there are none.

    Attributes:
        rows: The limits.
    """

    rows: tuple[Constraint, ...] = ()

    @classmethod
    def parse(cls, limits: Limits) -> Self:
        """Limits from text: each is a limit, several with `;` between them, or a `.json` file; or from `Constraint`s.

        A file holds `{"constraints": [...]}`; an item is a text, or an object such as
        `{"coefficients": {"parameters": 1, "macs": 0.01}, "at_most": 50000}`.

        Raises:
            InputError: If one cannot be read, or is neither.
        """
        if isinstance(limits, str) and not limits:  # an environment's way to say none
            return cls()
        rows: list[Constraint] = []
        several: Any = [limits] if isinstance(limits, str | os.PathLike | Constraint) else limits
        if not isinstance(several, Iterable):
            raise InputError(f"constraints must be text, or several of them, not {shown(repr(limits))}; {_EXAMPLE}")
        for given in several:
            if isinstance(given, Constraint):
                rows.append(given)
                continue
            text = os.fspath(given) if isinstance(given, os.PathLike) else given
            if not isinstance(text, str):
                raise InputError(f"a constraint must be text, not {shown(repr(given))}; {_EXAMPLE}")
            if not text.strip("; \t\n"):
                raise InputError(f"an empty constraint limits nothing; leave it out, or {_EXAMPLE}")
            for part in filter(None, map(str.strip, text.split(";"))):
                rows += _of_file(Path(part).expanduser()) if part.endswith(".json") else [Constraint.parse(part)]
        return cls(tuple(rows))

    @property
    def quantities(self) -> frozenset[Quantity]:
        """Everything that is limited."""
        return frozenset(quantity for row in self.rows for quantity, _ in row.coefficients)

    @property
    def need_latency(self) -> bool:
        """Whether students must be timed."""
        return self.untimed != self

    @property
    def untimed(self) -> Self:
        """The limits that do not depend on latency."""
        return type(self)(tuple(row for row in self.rows if all(q.name != "latency_ms" for q, _ in row.coefficients)))

    @property
    def classless(self) -> Self:
        """The limits that do not depend on the accuracy for single classes."""
        return type(self)(tuple(row for row in self.rows if all(q.index is None for q, _ in row.coefficients)))

    @property
    def of_sizes(self) -> Self:
        """The limits on sizes alone: an architecture keeps them or not, whatever its accuracy and latency."""
        return type(self)(tuple(row for row in self.rows if row.is_of_sizes))

    def loosened(self, factor: float) -> Self:
        """The limits of students that are still to be shrunk: what shrinks with the filters may be so many times as large."""
        return type(self)(tuple(row.times(factor) if row.limits_what_shrinks else row for row in self.rows))

    def violated(self, evaluation: Evaluation) -> tuple[Constraint, ...]:
        """The limits that a student does not keep."""
        return tuple(row for row in self.rows if row.excess(evaluation) > 0)

    def excess(self, evaluation: Evaluation) -> float:
        """The largest share by which a student exceeds a limit; 0 if it keeps all."""
        return max((row.excess(evaluation) for row in self.violated(evaluation)), default=0.0)

    def needed_accuracy(self, evaluation: Evaluation) -> float:
        """From which accuracy on a student of these sizes keeps the limits on it; 0 without such limits."""
        return max((row.needed_accuracy(evaluation) for row in self.rows), default=0.0)

    def check(self, ranges: Mapping[str, Range], *, classes: int, teacher_parameters: int) -> None:
        """Refuse limits that no student can keep.

        Args:
            ranges: Between what the students' sizes lie, from `student_ranges`.
            classes: How many classes the data has.
            teacher_parameters: What a student has fewer parameters than.

        Raises:
            InputError: If a class does not exist, or a limit cannot be kept, alone or beside the others.
        """
        possible: dict[Quantity, Range] = {}
        for quantity in self.quantities:
            if quantity.index is not None and quantity.index >= classes:
                raise InputError(f"{quantity}: there are classes 0 to {classes - 1}")
            possible[quantity] = ranges.get(quantity.name, quantity.measure.range)
        if (parameters := Quantity("parameters")) in possible:  # a student is smaller than its teacher
            low, high = possible[parameters]
            possible[parameters] = (low, min(high, teacher_parameters - 1))
        for row in self.rows:
            self._check_row(row, possible)
        self._check_beside_each_other(possible)
        sums = [row for row in self.rows if len(row.coefficients) > 1]
        if sums and _contradict(sums, possible):
            raise InputError(f"no student can keep all of {'; '.join(map(str, sums))}: loosen or drop one")

    @staticmethod
    def _check_row(row: Constraint, ranges: Mapping[Quantity, Range]) -> None:
        if (least := row.least(ranges)) > row.bound:
            [(quantity, weight)] = row.coefficients if len(row.coefficients) == 1 else [(None, 1.0)]
            what = f"{quantity} is always" if quantity else "the sum is always"
            side = "at least" if weight > 0 else "at most"
            raise InputError(f"no student can keep {row}: {what} {side} {least / weight:,.6g} here; loosen or drop the limit")

    def _check_beside_each_other(self, possible: dict[Quantity, Range]) -> None:
        """Refuse a limit that none keeps who keeps those on single quantities; it narrows what is possible to theirs."""
        narrowing: dict[tuple[Quantity, bool], Constraint] = {}  # the limit that a quantity's lower or upper end is due to
        for row in self.rows:
            if len(row.coefficients) == 1:
                [(quantity, weight)] = row.coefficients
                low, high = possible[quantity]
                limit, upper = row.bound / weight, weight > 0
                if limit < high if upper else limit > low:
                    narrowing[quantity, upper] = row
                    possible[quantity] = (low, limit) if upper else (limit, high)
        for row in self.rows:
            if row.least(possible) > row.bound:
                ends = [(quantity, weight < 0) for quantity, weight in row.coefficients if weight]
                others = "; ".join(str(narrowing[end]) for end in ends if end in narrowing)
                raise InputError(f"no student can keep {row} beside {others}: loosen or drop one")

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __str__(self) -> str:
        return "; ".join(map(str, self.rows))


def _contradict(rows: Sequence[Constraint], ranges: Mapping[Quantity, Range]) -> bool:
    """Whether no point of the ranges keeps all rows."""
    place = {quantity: index for index, quantity in enumerate(ranges)}
    weights = np.zeros((len(rows), len(ranges)))
    for index, row in enumerate(rows):
        for quantity, weight in row.coefficients:
            weights[index, place[quantity]] = weight
    lows, highs = np.array(list(ranges.values()), dtype=np.float64).T
    return contradictory(weights, np.array([row.bound for row in rows]), lows, highs)


class _Sum(TypedDict):
    """A limit on a weighted sum, as a file has it."""

    coefficients: dict[str, float]
    at_most: float


class _File(TypedDict):
    """A file of limits."""

    constraints: list[str | _Sum]


def _of_file(path: Path) -> list[Constraint]:
    expected = 'expected {"constraints": [...]} with texts, or objects with "coefficients" and "at_most"'
    data = read_document(path, _File, "file of constraints", remedy=expected)
    try:
        return [Constraint.parse(item) if isinstance(item, str) else Constraint.of(**item) for item in data["constraints"]]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
