"""Limits on what a student may cost or must achieve: A x <= b (section 3.3.1)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, Self

from n2n_gym.architecture import Range
from n2n_gym.errors import InputError, unknown
from n2n_gym.evaluation import Evaluation
from n2n_gym.problem import Problem
from n2n_gym.system.files import read_json


def _latency(evaluation: Evaluation) -> float:
    if evaluation.latency_ms is None:
        raise ValueError("the evaluator measured no latency; give its maker a latency_batch_size")
    return evaluation.latency_ms


QUANTITIES: dict[str, Callable[[Evaluation], float]] = {
    "parameters": lambda e: e.parameters,
    "macs": lambda e: e.macs,
    "model_bytes": lambda e: e.model_bytes,
    "activation_bytes": lambda e: e.activation_bytes,
    "latency_ms": _latency,
    "accuracy": lambda e: e.accuracy,
}
"""What can be limited, and where an evaluation has it; `class_accuracy[i]` besides."""

CLASS_ACCURACY = "class_accuracy"

SHRINKING = ("parameters", "macs", "model_bytes")
"""What grows with the square of a network's filters: halving them all divides it by four."""

SHORTEST_MS = 1e-6
_RANGES: dict[str, Range] = {
    "accuracy": (0.0, 1.0),
    CLASS_ACCURACY: (0.0, 1.0),
    "latency_ms": (SHORTEST_MS, math.inf),
}
"""Between what a quantity lies whatever the teacher."""

_NUMBER = r"(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NAME = r"(?P<name>[a-z_]+)(?:\[(?P<index>\d+)\])?"
_QUANTITY = re.compile(_NAME)
_TERM = re.compile(rf"(?P<sign>[+-])(?:(?P<factor>{_NUMBER})\*)?(?P<quantity>{_NAME})")
_LIMIT = re.compile(rf"(?P<sum>[^<>=]+)(?P<side><=|>=)(?P<bound>[+-]?{_NUMBER})")
_EXAMPLE = 'write it like "parameters<=20000", "class_accuracy[3]>=0.9" or "2*parameters + macs <= 1e6"'


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
        return cls(match["name"], int(match["index"]) if match["index"] else None)

    def of(self, evaluation: Evaluation) -> float:
        """Its value for one student."""
        if self.index is not None:
            return evaluation.class_accuracy[self.index]
        return QUANTITIES[self.name](evaluation)

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"


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
            raise InputError(f"the constraint {self.text!r} limits nothing: a number is too large, or all are 0")

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
            raise InputError(f"cannot read the constraint {text!r}; {_EXAMPLE}")
        side = 1.0 if limit["side"] == "<=" else -1.0
        rest = limit["sum"] if limit["sum"][0] in "+-" else "+" + limit["sum"]
        coefficients: dict[Quantity, float] = defaultdict(float)
        while rest:
            term = _TERM.match(rest)
            if term is None:
                raise InputError(f"cannot read {rest!r} in the constraint {text!r}; {_EXAMPLE}")
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

    @property
    def limits_what_shrinks(self) -> bool:
        """Whether it is an upper limit on `SHRINKING` quantities, and on nothing else."""
        return all(quantity.name in SHRINKING and weight >= 0 for quantity, weight in self.coefficients)

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
            InputError: If one cannot be read.
        """
        rows: list[Constraint] = []
        for text in [limits] if isinstance(limits, str | Constraint) else limits:
            if isinstance(text, Constraint):
                rows.append(text)
                continue
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

    def loosened(self, factor: float) -> Self:
        """The limits of students that are still to be shrunk: `SHRINKING` quantities may be so many times as large."""
        return type(self)(tuple(row.times(factor) if row.limits_what_shrinks else row for row in self.rows))

    def violated(self, evaluation: Evaluation) -> tuple[Constraint, ...]:
        """The limits that a student does not keep."""
        return tuple(row for row in self.rows if row.excess(evaluation) > 0)

    def excess(self, evaluation: Evaluation) -> float:
        """The largest share by which a student exceeds a limit; 0 if it keeps all."""
        return max((row.excess(evaluation) for row in self.violated(evaluation)), default=0.0)

    def check(self, problem: Problem, ranges: Mapping[str, Range]) -> None:
        """Refuse limits that no student can keep.

        Args:
            problem: Whose students they are for.
            ranges: Between what the students' sizes lie, from `student_ranges`.

        Raises:
            InputError: If a class does not exist, or a limit cannot be kept, alone or beside the others.
        """
        classes = problem.data.classes
        possible: dict[Quantity, Range] = {}
        for quantity in self.quantities:
            if quantity.index is not None and quantity.index >= classes:
                raise InputError(f"{quantity}: there are classes 0 to {classes - 1}")
            possible[quantity] = ranges.get(quantity.name, _RANGES.get(quantity.name, (0.0, math.inf)))
        if (parameters := Quantity("parameters")) in possible:  # a student is smaller than its teacher
            low, high = possible[parameters]
            possible[parameters] = (low, min(high, problem.architecture.parameters - 1))
        for row in self.rows:
            self._check_row(row, possible)
            if len(row.coefficients) == 1:  # what the others must be compatible with
                [(quantity, weight)] = row.coefficients
                low, high = possible[quantity]
                limit = row.bound / weight
                possible[quantity] = (low, min(high, limit)) if weight > 0 else (max(low, limit), high)
        for row in self.rows:
            self._check_row(row, possible)
        sums = [row for row in self.rows if len(row.coefficients) > 1]
        if not _compatible(sums, possible):
            raise InputError(f"no student can keep all of {'; '.join(map(str, sums))}: loosen or drop one")

    @staticmethod
    def _check_row(row: Constraint, ranges: Mapping[Quantity, Range]) -> None:
        if (least := row.least(ranges)) > row.bound:
            [(quantity, weight)] = row.coefficients if len(row.coefficients) == 1 else [(None, 1.0)]
            what = f"{quantity} is always" if quantity else "the sum is always"
            side = "at least" if weight > 0 else "at most"
            raise InputError(f"no student can keep {row}: {what} {side} {least / weight:,.6g} here; loosen or drop the limit")

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __str__(self) -> str:
        return "; ".join(map(str, self.rows))


Inequality = tuple[dict[Quantity, Fraction], Fraction]
"""Weights and what the weighted sum may be at most."""

MOST_INEQUALITIES = 5_000
"""Beyond so many, no further proof is tried that limits contradict each other."""


def _compatible(rows: Sequence[Constraint], ranges: Mapping[Quantity, Range]) -> bool:
    """Whether some point of the ranges keeps all rows: Fourier and Motzkin's elimination, the rarest quantity first."""
    mentions = Counter(quantity for row in rows for quantity, _ in row.coefficients)
    quantities = sorted(mentions, key=lambda quantity: mentions[quantity])
    system = [({q: Fraction(weight) for q, weight in row.coefficients if weight}, Fraction(row.bound)) for row in rows]
    for quantity in quantities:
        low, high = ranges[quantity]
        system.append(({quantity: Fraction(-1)}, -Fraction(low)))
        if high < math.inf:
            system.append(({quantity: Fraction(1)}, Fraction(high)))
    for quantity in quantities:
        system = _without(quantity, _tightest(system))
        if any(not weights and bound < 0 for weights, bound in system):
            return False
        if len(system) > MOST_INEQUALITIES:
            return True
    return True


def _without(quantity: Quantity, system: Iterable[Inequality]) -> list[Inequality]:
    """What the inequalities say of the other quantities: whatever is below this one is below whatever is above it."""
    over: list[Inequality] = []
    under: list[Inequality] = []
    rest: list[Inequality] = []
    for weights, bound in system:
        weight = weights.get(quantity, 0)
        (over if weight > 0 else under if weight < 0 else rest).append((weights, bound))
    for (upper, upper_bound), (lower, lower_bound) in product(over, under):
        a, b = 1 / upper[quantity], -1 / lower[quantity]
        sums = {q: a * upper.get(q, 0) + b * lower.get(q, 0) for q in upper.keys() | lower.keys()}
        rest.append(({q: weight for q, weight in sums.items() if weight}, a * upper_bound + b * lower_bound))
    return rest


def _tightest(system: Iterable[Inequality]) -> list[Inequality]:
    """The inequalities without those that another one with the same weights makes superfluous."""
    least: dict[tuple[tuple[Quantity, Fraction], ...], Fraction] = {}
    for weights, bound in system:
        scale = max(map(abs, weights.values()), default=Fraction(1))
        key = tuple(sorted((quantity, weight / scale) for quantity, weight in weights.items()))
        least[key] = min(bound / scale, least.get(key, bound / scale))
    return [(dict(key), bound) for key, bound in least.items()]


@dataclass(frozen=True)
class Relaxation:
    """epsilon_t: a student that exceeds a limit gets epsilon_t (R + 1) - 1 instead of its reward R (section 3.3.1).

    At policy update t, epsilon_t = (1 - t / updates) ** power, and 0 from then on. The default is the authors' code's.

    Attributes:
        updates: From this policy update on, limits are hard; 0 makes them hard from the start.
        power: How fast they tighten.
    """

    updates: int = 15
    power: float = 4.0

    def __post_init__(self) -> None:
        if self.updates < 0 or not 0 < self.power < math.inf:
            raise InputError(f"a relaxation takes at least 0 updates and a power above 0, not {self.updates}, {self.power:g}")

    def __str__(self) -> str:
        return f"relaxed:{self.updates}:{self.power!r}" if self.updates else "hard"

    def __call__(self, update: int) -> float:
        """epsilon_t in [0, 1] for t = `update`, from 0."""
        return (1.0 - update / self.updates) ** self.power if update < self.updates else 0.0


Schedule = Callable[[int], float]
"""epsilon_t as a function of the policy updates done; falls from 1 to 0."""

RELAXATIONS = ("hard", "relaxed", "relaxed:UPDATES", "relaxed:UPDATES:POWER")


def relaxation(text: str) -> Relaxation:
    """A schedule from text: `hard`, `relaxed` (the default of `Relaxation`), `relaxed:30` or `relaxed:30:2`.

    Raises:
        InputError: If it is none of these.
    """
    word, *numbers = text.split(":")
    try:
        if word == "hard" and not numbers:
            return Relaxation(updates=0)
        if word == "relaxed" and len(numbers) <= 2:
            return Relaxation(*(convert(number) for convert, number in zip((int, float), numbers, strict=False)))
    except InputError:
        raise
    except ValueError:
        pass
    raise unknown("relaxation", text, RELAXATIONS)


def _of_file(path: Path) -> list[Constraint]:
    data: Any = read_json(path, "file of constraints")
    try:
        return [Constraint.parse(item) if isinstance(item, str) else Constraint.of(**item) for item in data["constraints"]]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} holds no constraints ({type(error).__name__}: {error}); expected "
            '{"constraints": [...]} with texts, or objects with "coefficients" and "at_most"'
        ) from None
