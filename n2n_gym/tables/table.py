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
from n2n_gym.evaluation import Evaluation
from n2n_gym.problem import Problem
from n2n_gym.rewards import REWARDS
from n2n_gym.stages import STAGES, RemovalStage
from n2n_gym.student import Actions, Student
from n2n_gym.system.files import state_of
from n2n_gym.tables.files import read_columns, table_names, table_path, write_columns
from n2n_gym.tables.statistics import Numbers, best_row, noise, pareto_rows

Rows = npt.NDArray[np.intp]

ACCURACIES = ("accuracy", "test_accuracy")

Objective = str | Callable[[Evaluation], float]
"""What is best: a reward's name, `accuracy`, `test_accuracy`, or a function of an evaluation."""

MEAN, SEARCH, TRUTH = "mean", "search", "truth"
Seed = int | str
"""Which trainings of a student count: that of one seed; `mean`, over all; `search`, over those that a search may see, the
first half; `truth`, over the others, judged on test images: what a student is worth, which no search may see."""


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
        self._known: dict[tuple[int, int, int, bool], Evaluation] = {}
        self._values: dict[tuple[str, Seed], Numbers] = {}

    @classmethod
    def load(cls, name: str | Path) -> Table:
        """A table of the package by its name, or any table by its file; one that was loaded before is not read again.

        Raises:
            InputError: If there is none, or the file is not a table.
        """
        path = table_path(name)
        try:
            return _read(path.resolve(), state_of(path))
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
        """What is known of the student in a row; with `truth`, its accuracy and its teacher's are those on test images.

        Args:
            row: From `rows` or `row_of`.
            seed: Which trainings count.

        Raises:
            InputError: If no student was trained with that seed, or there is no such row.
        """
        if not 0 <= row < len(self):
            raise InputError(f"{self} has rows 0 to {len(self) - 1}, and no row {row}")
        trainings, on_test = self.trainings(seed), seed == TRUTH
        key = (row, trainings.start, trainings.stop, on_test)
        if key not in self._known:
            self._known[key] = self._evaluation(row, trainings, on_test=on_test)
        return self._known[key]

    def trainings(self, seed: Seed) -> slice:
        """Where the trainings that count stand in the columns.

        Raises:
            InputError: If there are none, or, with `truth`, they do not say what students are worth.
        """
        count = len(self.seeds)
        if seed == MEAN:
            return slice(0, count)
        if seed in (SEARCH, TRUTH):
            if count < 2:
                raise InputError(f"{self} has one training a student; to keep search and truth apart it needs two or more")
            if seed == TRUTH and self._worthless:
                raise InputError(self._worthless)
            return slice(0, count // 2) if seed == SEARCH else slice(count // 2, count)
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed not in self.seeds:
            known = f"the seeds {', '.join(map(str, self.seeds))}, and of some of them {MEAN}, {SEARCH} and {TRUTH}"
            raise InputError(f"{self} has {known}, not {seed!r}")
        place = self.seeds.index(int(seed))
        return slice(place, place + 1)

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
        _ = self.trainings(seed)
        value = _objective(objective)
        if callable(objective):
            return np.array([value(self.evaluation(row, seed)) for row in range(len(self))])
        if (objective, seed) not in self._values:
            self._values[objective, seed] = self.values(value, seed)
            self._values[objective, seed].flags.writeable = False
        return self._values[objective, seed]

    def best(self, objective: Objective = "paper", seed: Seed = MEAN) -> Entry:
        """The best student that there is; one that is not degenerate, unless all are.

        Args:
            objective: What is best.
            seed: Which trainings count; an environment over the table rewards by `search`, so its best is that one's.
        """
        values = self.values(objective, seed)
        feasible = self._feasible_with(seed)
        return self._entry(best_row(values, feasible), values, seed)

    def pareto_front(self, objective: Objective = "accuracy", seed: Seed = MEAN) -> list[Entry]:
        """The students that no other beats in both parameters and the objective, the smallest first."""
        values = self.values(objective, seed)
        feasible = self._feasible_with(seed)
        return [self._entry(row, values, seed) for row in pareto_rows(values, self.columns["parameters"], feasible)]

    @cached_property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """Which rows are students that could be trained, with every seed."""
        return (self.columns["reason"] == 0).all(1)  # type: ignore[no-any-return]

    @cached_property
    def trained(self) -> npt.NDArray[np.bool_]:
        """Which rows are students whose training took place, however it ended; the others are degenerate."""
        return self.columns["seconds"].max(1) > 0  # type: ignore[no-any-return]

    @cached_property
    def episode_share(self) -> Numbers:
        """The share of each row in episodes of uniformly random actions.

        Drawing only actions that have an effect makes no difference: the others double every episode alike.
        """
        counts = np.bincount(self.columns["row_of"], minlength=len(self))
        return counts / counts.sum()  # type: ignore[no-any-return]

    def seconds(self, episodes: Iterable[Actions], seed: Seed = MEAN) -> float:
        """How long the trainings of a search would have taken, one after the other, each student trained once."""
        rows = np.unique(self.rows(list(episodes)))
        return float(self.columns["seconds"][rows, self.trainings(seed)].mean(1).sum())

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
            "degenerate_share_of_episodes": float(self.episode_share[~feasible].sum()),
            "best_reward": best.value,
            "best_parameters": best.evaluation.parameters,
            "best_accuracy": best.evaluation.accuracy,
            "best_1_percent": float(order[: max(1, len(order) // 100)].mean()),
            "median_reward": float(np.median(values[feasible])),
            "random_search_mean": float(values @ self.episode_share),
            **noise(accuracy, rewards),
            "pareto_front": len(self.pareto_front()),
            "training_hours": float(self.columns["seconds"].sum() / 3600),
        }

    def __str__(self) -> str:
        return f"table {self.name!r}"

    # Inside

    @cached_property
    def _worthless(self) -> str:
        """Why nothing says what students are worth, and what to do; empty where it is known."""
        if not self.facts["teacher"]["test_accuracy"]:  # what its students have is compared with it
            return f"{self} says no test accuracy of its teacher; to know what students are worth, build it again"
        if not self.trained.any():
            return f"no student of {self} was trained: there is nothing to choose from; build one of a larger teacher"
        return ""

    def _feasible_with(self, seed: Seed) -> npt.NDArray[np.bool_]:
        """Which rows are students that could be trained, in all trainings that count."""
        feasible: npt.NDArray[np.bool_] = (self.columns["reason"][:, self.trainings(seed)] == 0).all(1)
        return feasible

    def _entry(self, row: int, values: Numbers, seed: Seed) -> Entry:
        return Entry(row, self.actions(row), self.evaluation(row, seed), float(values[row]))

    def _evaluation(self, row: int, trainings: slice, *, on_test: bool) -> Evaluation:
        columns, facts = self.columns, self.facts
        sizes: dict[str, Any] = {size: int(columns[size][row]) for size in SIZES}
        sizes["teacher_parameters"] = facts["teacher"]["parameters"]
        reasons = columns["reason"][row, trainings]
        if reasons.any():  # in the mean, a student that failed once has failed
            reason = facts["reasons"][int(reasons.max())]
            return Evaluation(accuracy=0.0, teacher_accuracy=0.0, reason=reason, **sizes)
        by_epoch = columns["correct"][row, trainings].mean(0) / facts["validation_images"]
        test_accuracy = float(columns["test_correct"][row, trainings].mean() / facts["test_images"])
        return Evaluation(
            accuracy=test_accuracy if on_test else float(by_epoch[-1]),
            teacher_accuracy=facts["teacher"]["test_accuracy" if on_test else "val_accuracy"],
            epoch_accuracy=() if on_test else tuple(by_epoch.tolist()),
            test_accuracy=test_accuracy,
            seconds=float(columns["seconds"][row, trainings].mean()),
            run=self.name,
            **sizes,
        )

    @cached_property
    def _row_by_fingerprint(self) -> dict[int, int]:
        return {fingerprint: row for row, fingerprint in enumerate(self.columns["fingerprint"].tolist())}

    @cached_property
    def _first_code(self) -> npt.NDArray[np.intp]:
        """Of each row, the first episode of which no action is masked: where one has no effect, what is said is to keep."""
        offered: npt.NDArray[np.bool_] = np.ones(1, dtype=np.bool_)
        for mask in STAGES[self.stage](self.start).masks:
            offered = np.logical_and.outer(offered, mask).ravel()
        codes = np.flatnonzero(offered)
        _, first = np.unique(self.columns["row_of"][codes], return_index=True)
        return codes[first]


@lru_cache(maxsize=16)
def _read(path: Path, _state: tuple[int, ...]) -> Table:
    return Table(*read_columns(path))


def table_of(problem: Problem, stage: str) -> Table:
    """The package's table of all students of a problem.

    Args:
        problem: Teacher and data.
        stage: Its name.

    Raises:
        InputError: If there is none.
    """
    name = f"{problem.name}-{stage}"
    if name in table_names():
        return Table.load(name)
    tables = [Table.load(each) for each in table_names() if each.endswith(f"-{stage}")]
    if not tables:
        remedy = "your own: evaluator='table:FILE.npz', or of some of its students evaluator='surrogate:FILE.json'"
        raise InputError(f"the package has no table of stage {stage}; {remedy} (n2n table sample)")
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
