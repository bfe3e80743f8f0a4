"""Finished tables: every student of a space, really trained, to look up instead of training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import SIZES, Architecture
from n2n_gym.errors import InputError, unknown
from n2n_gym.evaluation import Actions, Evaluation
from n2n_gym.problem import Problem
from n2n_gym.rewards import REWARDS
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.student import Student
from n2n_gym.tables.files import read_columns, table_names, table_path, write_columns
from n2n_gym.tables.statistics import Numbers, best_row, expected_maxima, noise, pareto_rows

Rows = npt.NDArray[np.intp]

ACCURACIES = ("accuracy", "test_accuracy")

Objective = str | Callable[[Evaluation], float]
"""What is best: a reward's name, `accuracy`, `test_accuracy`, or a function of an evaluation."""

MEAN = "mean"
Seed = int | str
"""Which training of a student counts: that of one seed, or `mean`: the mean over all."""


@dataclass(frozen=True)
class Entry:
    """A student of a table.

    Attributes:
        row: Where it stands.
        actions: An episode that leads to it.
        evaluation: What is known of it.
        value: The objective's.
    """

    row: int
    actions: tuple[int, ...]
    evaluation: Evaluation
    value: float


class Table:
    """All students that the episodes of one environment can end with, each trained with several seeds.

    Args:
        facts: Name, problem, stage, recipe, seeds, teacher, versions and dates, as JSON data.
        columns: Arrays. `row_of`: the row of each action sequence, in lexicographic order; by row: `parameters`, `macs`,
            `model_bytes`, `activation_bytes`, `fingerprint` (64 bits); by row and seed: `reason` (index into the facts'
            `reasons`), `test_correct` (images), `seconds`; by row, seed and epoch: `correct` (validation images).
    """

    def __init__(self, facts: dict[str, Any], columns: dict[str, npt.NDArray[Any]]) -> None:
        self.facts = facts
        self.columns = columns
        self.name: str = facts["name"]
        self.stage: str = facts["stage"]
        self.seeds: tuple[int, ...] = tuple(facts["seeds"])
        self._known: dict[tuple[int, int], Evaluation] = {}
        self._values: dict[tuple[str, int], Numbers] = {}

    @classmethod
    def load(cls, name: str) -> Table:
        """A table of the package by its name, or any table by its file; one that was loaded before is not read again.

        Raises:
            InputError: If there is none, or the file is not a table.
        """
        path = table_path(name)
        try:
            return _read(path, path.stat().st_mtime_ns)
        except OSError as error:
            raise InputError(f"no table at {path}: {error.strerror or error}") from None

    def save(self, path: Path) -> None:
        """Write the table to a `.npz` file, in one step."""
        write_columns(path, self.facts, self.columns)

    @cached_property
    def teacher(self) -> Architecture:
        """The teacher's architecture."""
        return Architecture.from_json(self.facts["teacher"]["architecture"])

    @cached_property
    def base(self) -> Architecture:
        """What episodes start from."""
        return Architecture.from_json(self.facts["base"])

    @cached_property
    def start(self) -> Student:
        """What episodes start from, as what it is of the teacher.

        Raises:
            InputError: If it is no student of the teacher.
        """
        teacher = Student(self.teacher)
        if self.base == self.teacher:
            return teacher
        removal = RemovalStage(teacher)
        if (actions := removal.actions_of(self.base)) is None:
            raise InputError(f"{self} does not start from a student of its teacher")
        return removal.student(actions)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """How many actions there are at each decision."""
        return tuple(self.facts["shape"])

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are equal for tables that say the same, whenever and however fast they were built."""
        story = ("started", "finished", "command", "machine", "format")
        facts = {key: value for key, value in self.facts.items() if key not in story}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name in sorted(self.columns.keys() - {"seconds"}):
            column = np.ascontiguousarray(self.columns[name])
            digest.update(f"{name} {column.dtype} {column.shape}".encode() + column.tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        """Distinct students, degenerate ones included."""
        return len(self.columns["parameters"])

    # Looking up

    def rows(self, episodes: Sequence[Actions] | npt.NDArray[np.integer[Any]]) -> Rows:
        """The rows of the students that episodes end with.

        Args:
            episodes: Their actions, shape (episodes, decisions).

        Raises:
            InputError: If they are not episodes of this space.
        """
        if len(episodes) == 0:
            return np.zeros(0, dtype=np.intp)
        try:
            actions = np.asarray(episodes)
        except ValueError:  # episodes of different lengths
            actions = np.zeros(0)
        if actions.ndim != 2 or actions.shape[1] != len(self.shape) or actions.dtype.kind not in "iu":
            raise InputError(f"{self} has episodes of {len(self.shape)} decisions, whole numbers")
        try:
            codes = np.ravel_multi_index(tuple(actions.T), self.shape)
        except ValueError:
            raise InputError(f"{self} has actions from 0 to {max(self.shape) - 1}") from None
        return self.columns["row_of"][codes].astype(np.intp)  # type: ignore[no-any-return]

    def row_of(self, student: Architecture) -> int:
        """The row of a student.

        Raises:
            InputError: If the space has no such student.
        """
        row = self._row_by_fingerprint.get(int(student.fingerprint[:16], 16))
        if row is None:
            raise InputError(f"no such student in {self}: it holds what {self.stage} makes of its network, and nothing else")
        return row

    def evaluation(self, row: int, seed: Seed = MEAN) -> Evaluation:
        """What is known of the student in a row.

        Args:
            row: From `rows` or `row_of`.
            seed: Which training counts.

        Raises:
            InputError: If no student was trained with that seed.
        """
        return self.evaluation_at(row, self.place_of(seed))

    def place_of(self, seed: Seed) -> int:
        """Where a seed's trainings stand in the columns; -1 for the mean over all.

        Raises:
            InputError: If no student was trained with that seed.
        """
        if seed == MEAN:
            return -1
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed not in self.seeds:
            raise InputError(f"{self} has the seeds {', '.join(map(str, self.seeds))} and their mean, not {seed!r}")
        return self.seeds.index(int(seed))

    def evaluation_at(self, row: int, place: int) -> Evaluation:
        """The same by the seed's place."""
        known = self._known.get((row, place))
        if known is None:
            known = self._known[row, place] = self._evaluation(row, place)
        return known

    def query(self, student: Architecture | None = None, *, actions: Actions | None = None, seed: Seed = MEAN) -> Evaluation:
        """What is known of a student, given as an architecture or as an episode's actions.

        Raises:
            InputError: If neither or both are given, or the student is not of this space.
        """
        if (student is None) == (actions is None):
            raise InputError("give query() either a student's architecture or actions=")
        row = self.row_of(student) if student is not None else int(self.rows([actions])[0])  # type: ignore[list-item]
        return self.evaluation(row, seed)

    def actions(self, row: int) -> tuple[int, ...]:
        """An episode that leads to the student in a row."""
        return tuple(int(action) for action in np.unravel_index(self._first_code[row], self.shape))

    # The space as a whole

    def values(self, objective: Objective = "paper", seed: Seed = MEAN) -> Numbers:
        """The objective's value of every row; students that are degenerate or failed have -1, or an accuracy of 0."""
        place = self.place_of(seed)
        value = _objective(objective)
        if callable(objective):
            return np.array([value(self.evaluation_at(row, place)) for row in range(len(self))])
        if (objective, place) not in self._values:
            self._values[objective, place] = self.values(value, seed)
            self._values[objective, place].flags.writeable = False
        return self._values[objective, place]

    def best(self, objective: Objective = "paper", seed: Seed = MEAN) -> Entry:
        """The best student that there is; one that is not degenerate, unless all are.

        Args:
            objective: What is best.
            seed: Which training counts.
        """
        values = self.values(objective, seed)
        feasible = self._feasible_at(self.place_of(seed))
        return self._entry(best_row(values, feasible), values, seed)

    def pareto_front(self, objective: Objective = "accuracy", seed: Seed = MEAN) -> list[Entry]:
        """The students that no other beats in both parameters and the objective, the smallest first."""
        values = self.values(objective, seed)
        feasible = self._feasible_at(self.place_of(seed))
        return [self._entry(row, values, seed) for row in pareto_rows(values, self.columns["parameters"], feasible)]

    @cached_property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """Which rows are students that could be trained, with every seed."""
        return (self.columns["reason"] == 0).all(1)  # type: ignore[no-any-return]

    def expected_best(self, evaluations: int, objective: Objective = "paper", seed: Seed = MEAN) -> Numbers:
        """What uniform random search has found after 1, 2, ... episodes, on average: exact, by the order statistics.

        Args:
            evaluations: Up to how many.
            objective: What is best.
            seed: Which training counts.

        Returns:
            Shape (evaluations,). Drawing only actions that have an effect, as `RandomSearch` does, makes no difference: the
            others double every episode alike.
        """
        return expected_maxima(self.values(objective, seed), self._episode_share, evaluations)

    def seconds(self, episodes: Iterable[Actions], seed: Seed = MEAN) -> float:
        """How long the trainings of a search would have taken, one after the other, each student trained once."""
        rows, place = np.unique(self.rows(list(episodes))), self.place_of(seed)
        seconds = self.columns["seconds"][rows]
        return float(seconds.mean(1).sum() if place < 0 else seconds[:, place].sum())

    def statistics(self) -> dict[str, Any]:
        """The space in numbers: sizes, the best, how noisy trainings are, how soon they tell who wins."""
        values = self.values()
        feasible = self.feasible
        accuracy = self.columns["correct"][feasible] / self.facts["validation_images"]
        rewards = np.stack([self.values(seed=seed)[feasible] for seed in self.seeds], axis=1)
        best = self.best()
        order = np.sort(values)[::-1]
        return {
            "episodes": int(np.prod(self.shape, dtype=np.int64)),
            "students": len(self),
            "degenerate": int((~feasible).sum()),
            "degenerate_share_of_episodes": float(self._episode_share[~feasible].sum()),
            "best_reward": best.value,
            "best_parameters": best.evaluation.parameters,
            "best_accuracy": best.evaluation.accuracy,
            "best_1_percent": float(order[: max(1, len(order) // 100)].mean()),
            "median_reward": float(np.median(values[feasible])),
            "random_search_mean": float(values @ self._episode_share),
            **noise(accuracy, rewards),
            "pareto_front": len(self.pareto_front()),
            "training_hours": float(self.columns["seconds"].sum() / 3600),
        }

    def __str__(self) -> str:
        return f"table {self.name!r}"

    # Inside

    def _feasible_at(self, place: int) -> npt.NDArray[np.bool_]:
        """Which rows are students that could be trained: with every seed, or with the one at that place."""
        return self.feasible if place < 0 else self.columns["reason"][:, place] == 0

    def _entry(self, row: int, values: Numbers, seed: Seed) -> Entry:
        return Entry(row, self.actions(row), self.evaluation(row, seed), float(values[row]))

    def _evaluation(self, row: int, place: int) -> Evaluation:
        columns, facts = self.columns, self.facts
        sizes: dict[str, Any] = {size: int(columns[size][row]) for size in SIZES}
        sizes["teacher_parameters"] = facts["teacher"]["parameters"]
        reasons = columns["reason"][row] if place < 0 else columns["reason"][row, place : place + 1]
        if reasons.any():  # in the mean, a student that failed once has failed
            reason = facts["reasons"][int(reasons.max())]
            return Evaluation(accuracy=0.0, teacher_accuracy=0.0, reason=reason, **sizes)
        trainings = slice(None) if place < 0 else slice(place, place + 1)
        accuracy = columns["correct"][row, trainings].mean(0) / facts["validation_images"]
        return Evaluation(
            accuracy=float(accuracy[-1]),
            teacher_accuracy=facts["teacher"]["val_accuracy"],
            epoch_accuracy=tuple(accuracy.tolist()),
            test_accuracy=float(columns["test_correct"][row, trainings].mean() / facts["test_images"]),
            seconds=float(columns["seconds"][row, trainings].mean()),
            run=self.name,
            **sizes,
        )

    @cached_property
    def _row_by_fingerprint(self) -> dict[int, int]:
        return {fingerprint: row for row, fingerprint in enumerate(self.columns["fingerprint"].tolist())}

    @cached_property
    def _first_code(self) -> npt.NDArray[np.intp]:
        _, first = np.unique(self.columns["row_of"], return_index=True)
        return first

    @cached_property
    def _episode_share(self) -> Numbers:
        """The share of each row in episodes of uniformly random actions."""
        counts = np.bincount(self.columns["row_of"], minlength=len(self))
        return counts / counts.sum()  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def _read(path: Path, _changed: int) -> Table:
    return Table(*read_columns(path))


def table_of(problem: Problem, stage: str) -> Table:
    """The package's table of all students of a problem.

    Args:
        problem: Teacher and data.
        stage: `removal` or `shrink`.

    Raises:
        InputError: If there is none.
    """
    name = f"{problem.name}-{stage}"
    if name in table_names():
        return Table.load(name)
    tables = [Table.load(each) for each in table_names() if each.endswith(f"-{stage}")]
    arguments = (", ".join(f"{key}={value!r}" for key, value in t.facts["problem"].items() if value) for t in tables)
    raise InputError(f"no table of {name}. There are tables of: {'; '.join(arguments)}; your own: evaluator='table:FILE.npz'")


def _objective(objective: Objective) -> Callable[[Evaluation], float]:
    if callable(objective):
        return objective
    if objective in ACCURACIES:
        return lambda evaluation: getattr(evaluation, objective) or 0.0
    if objective not in REWARDS:
        raise unknown("objective", objective, (*REWARDS, *ACCURACIES))
    return REWARDS[objective]
