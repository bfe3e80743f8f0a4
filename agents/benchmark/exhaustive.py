"""Tasks on spaces all of whose students were trained: everything is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.benchmark.tasks import Numbers, Task
from n2n_gym.evaluation import Evaluation
from n2n_gym.limits import Constraints
from n2n_gym.rewards import DEGENERATE, reward_by_name
from n2n_gym.tables import SEARCH, TRUTH, Table
from n2n_gym.tables.evaluator import DRAW

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class TableTask(Task):
    """A question about a table; students are its rows."""

    track: str = "reward"

    @property
    def table(self) -> Table:
        """Its students.

        Raises:
            InputError: If there is none, or it does not say what students are worth.
        """
        table = Table.load(self.source)
        _ = table.trainings(TRUTH)
        return table

    @property
    def space(self) -> str:
        return self.table.name

    @property
    def fingerprint(self) -> str:
        return self.table.fingerprint

    @property
    def stage(self) -> str:
        return self.table.stage

    @property
    def shape(self) -> tuple[int, ...]:
        return self.table.shape

    @property
    def arguments(self) -> dict[str, Any]:
        facts = self.table.facts
        judged = {"reward": self.question.reward, "constraints": self._limits, "seed": self.question.seed}
        problem = {**facts["problem"], "recipe": facts["recipe"]["name"], "evaluator": f"table:{self.source}"}
        return {**problem, **judged}

    @property
    def _limits(self) -> str:
        return self.question.limits(self.table)

    # What a search sees

    @property
    def affordable(self) -> int:
        return int(self.counts.sum())

    def students(self, codes: Sequence[int]) -> list[int]:
        rows: list[int] = self.table.columns["row_of"][list(codes)].tolist()
        return rows

    def costs(self, student: int) -> bool:
        return bool(self.counts[student])

    @cached_property
    def counts(self) -> Flags:
        """Which rows are students that cost a training: neither degenerate nor, by their sizes alone, beyond a limit."""
        table, limits = self.table, Constraints.parse(self._limits).of_sizes
        within = [not limits.violated(table.evaluation(row, SEARCH)) for row in range(len(table))]
        counts: Flags = table.trained & np.array(within)
        return counts

    def preferred(self, seed: int, codes: Sequence[int]) -> int:
        by_row = dict(zip(reversed(self.students(codes)), reversed(codes), strict=True))
        return next(by_row[row] for row in self.order(seed).tolist() if row in by_row)

    def ceiling(self, seed: int) -> float:
        return float(self.worth[self.order(seed)[0]])

    def order(self, seed: int) -> Rows:
        """The rows that cost a training, from the one that a search would choose on.

        The higher its reward, of equals the more accurate, of equals the first row.

        Args:
            seed: Of the run; it decides which trainings are drawn, where that is asked.
        """
        if (key := self.draw(seed)) not in self._orders:
            rows = np.flatnonzero(self.counts)
            found = self._seen(seed, rows)
            reward, limits = reward_by_name(self.question.reward), Constraints.parse(self._limits)
            rewards = [DEGENERATE if not e.reason and limits.violated(e) else reward(e) for e in found]
            self._orders[key] = rows[np.lexsort((rows, -np.array([e.accuracy for e in found]), -np.array(rewards)))]
        return self._orders[key]

    @cached_property
    def _orders(self) -> dict[int, Rows]:
        return {}

    def _seen(self, seed: int, rows: Rows) -> list[Evaluation]:
        table = self.table
        if self.question.seed != DRAW:
            return [table.evaluation(row, self.question.seed) for row in rows.tolist()]
        drawn = table.seeds[table.trainings(SEARCH)]
        places = (int(rng.integers(len(drawn))) for rng in self.rngs(seed, rows.tolist()))
        return [table.evaluation(row, drawn[place]) for row, place in zip(rows.tolist(), places, strict=True)]

    # What is true

    def worths(self, codes: Sequence[int]) -> Numbers:
        worths: Numbers = self.worth[self.students(codes)]
        return worths

    @property
    def least(self) -> float:
        return float(self.worth[self.counts].min())

    @cached_property
    def worth(self) -> Numbers:
        """What each row is worth as a choice, by the trainings that no search sees."""
        table = self.table
        return np.array([self.question.worth(table, table.evaluation(row, TRUTH)) for row in range(len(table))])

    @cached_property
    def optimum(self) -> float:
        """The most that a choice can be worth."""
        return float(self.worth[self.counts].max())

    def drawn_from(self, seed: int) -> tuple[Numbers, Numbers]:
        """As of `Task`: all students."""
        rows = self.order(seed)
        return self.worth[rows], self.table.episode_share[rows]
