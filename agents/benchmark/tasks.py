"""What algorithms are compared on: an environment over a table, what of the table a search may see, and what is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from agents.algorithms.sb3 import ENVIRONMENTS, BatchedVecEnv, episodes_side_by_side
from n2n_gym.errors import InputError, by_name
from n2n_gym.evaluation import Evaluation
from n2n_gym.limits import Constraints
from n2n_gym.rewards import DEGENERATE, reward_by_name
from n2n_gym.stages import STAGES
from n2n_gym.tables import SEARCH, TRUTH, Table, benchmark_tables
from n2n_gym.tables.evaluator import DRAW
from n2n_gym.tables.statistics import expected_choice

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

SIDE_BY_SIDE = 5
"""Episodes that this package's algorithms play at a time: those of a policy update (section 4.2)."""

POINTS = 0.02
"""How much less accurate than the most accurate student the smallest one may be; what is less accurate by twice as much is
worth nothing."""


@dataclass(frozen=True)
class Track:
    """A question that is asked of every table.

    Attributes:
        about: It, in a line.
        reward: How students are rewarded.
        seed: Which of a student's trainings a search sees.
        limits: What students must keep, for a table.
        worth: What a chosen student is worth, given what the trainings that no search sees say of it, for a table.
    """

    about: str
    reward: str = "paper"
    seed: str = SEARCH
    limits: Callable[[Table], str] = lambda _: ""
    worth: Callable[[Table, Evaluation], float] = lambda _, evaluation: reward_by_name("paper")(evaluation)


def _accurate(table: Table) -> str:
    least = table.values("accuracy", SEARCH).max() - POINTS
    return f"accuracy>={least:.6f}"


def _smallest(table: Table, evaluation: Evaluation) -> float:
    lost = table.values("accuracy", TRUTH).max() - evaluation.accuracy
    return evaluation.compression * float(np.clip(2 - lost / POINTS, 0.0, 1.0))


def _half(table: Table) -> str:
    return f"macs<={int(np.quantile(table.columns['macs'][table.trained], 0.5))}"


TRACKS = {
    "reward": Track("the paper's reward, a student's mean over the trainings that a search may see"),
    "noisy": Track("the same, but one training a student, drawn for each run", seed=DRAW),
    "smallest": Track(
        f"the smallest student within {100 * POINTS:g} points of the most accurate one",
        reward="compression",
        limits=_accurate,
        worth=_smallest,
    ),
    "macs": Track(
        "the most accurate of the half of the students with the fewest multiply-accumulates",
        reward="accuracy",
        limits=_half,
        worth=lambda _, evaluation: reward_by_name("accuracy")(evaluation),
    ),
}


@dataclass(frozen=True)
class Task:
    """One question about one table.

    Attributes:
        source: A table of the package, or a `.npz` file.
        track: One of `TRACKS`.
    """

    source: str
    track: str = "reward"

    def __post_init__(self) -> None:
        _ = self.question

    @property
    def question(self) -> Track:
        """What is asked."""
        return by_name("track", self.track, TRACKS)

    @property
    def table(self) -> Table:
        """Its students."""
        return Table.load(self.source)

    @property
    def name(self) -> str:
        """As result files call it."""
        return f"{self.table.name}:{self.track}"

    @property
    def policy_stage(self) -> int:
        """1 for removal, 2 for shrinkage: this package's algorithms have settings for each."""
        kind, _ = STAGES.look_up(self.table.stage)
        return kind.number

    # Playing

    def env(self) -> gym.Env[Any, Any]:
        """One episode at a time."""
        return gym.make(ENVIRONMENTS[self.table.stage], **self._arguments)

    def vector_env(self, num_envs: int = SIDE_BY_SIDE) -> BatchedVecEnv:
        """Episodes side by side, for algorithms of Stable-Baselines3's kind."""
        return episodes_side_by_side(self.table.stage, num_envs, **self._arguments)

    @property
    def _arguments(self) -> dict[str, Any]:
        facts = self.table.facts
        judged = {"reward": self.question.reward, "constraints": self._limits, "seed": self.question.seed}
        problem = {**facts["problem"], "recipe": facts["recipe"]["name"], "evaluator": f"table:{self.source}"}
        return {**problem, **judged}

    @property
    def _limits(self) -> str:
        return self.question.limits(self.table)

    # What a search sees

    @cached_property
    def counts(self) -> Flags:
        """Which rows are students that cost a training: neither degenerate nor, by their sizes alone, beyond a limit."""
        table, limits = self.table, Constraints.parse(self._limits).of_sizes
        within = [not limits.violated(table.evaluation(row, SEARCH)) for row in range(len(table))]
        counts: Flags = table.trained & np.array(within)
        return counts

    def rngs(self, seed: int, rows: Sequence[int]) -> list[np.random.Generator]:
        """Random numbers that decide which of their trainings the students of some rows have in a run.

        A student has the same one whenever it is looked at, as where evaluations are kept: looking again tells nothing new.
        """
        return [np.random.default_rng((seed, row)) for row in rows]

    def preferred(self, seed: int) -> Rows:
        """The rows that cost a training, from the one that a search would choose on.

        The higher its reward, of equals the more accurate, of equals the first row.

        Args:
            seed: Of the run; it decides which trainings are drawn, where that is asked.
        """
        if (key := self._draw(seed)) not in self._preferred:
            rows = np.flatnonzero(self.counts)
            found = self._seen(seed, rows)
            reward, limits = reward_by_name(self.question.reward), Constraints.parse(self._limits)
            rewards = [DEGENERATE if not e.reason and limits.violated(e) else reward(e) for e in found]
            self._preferred[key] = rows[np.lexsort((rows, -np.array([e.accuracy for e in found]), -np.array(rewards)))]
        return self._preferred[key]

    @cached_property
    def _preferred(self) -> dict[int, Rows]:
        return {}

    def _draw(self, seed: int) -> int:
        """Runs that see the same trainings have the same number."""
        return seed if self.question.seed == DRAW else 0

    def _seen(self, seed: int, rows: Rows) -> list[Evaluation]:
        table = self.table
        if self.question.seed != DRAW:
            return [table.evaluation(row, self.question.seed) for row in rows.tolist()]
        drawn = table.seeds[table.trainings(SEARCH)]
        places = (int(rng.integers(len(drawn))) for rng in self.rngs(seed, rows.tolist()))
        return [table.evaluation(row, drawn[place]) for row, place in zip(rows.tolist(), places, strict=True)]

    # What is true

    @cached_property
    def worth(self) -> Numbers:
        """What each row is worth as a choice, by the trainings that no search sees."""
        table = self.table
        return np.array([self.question.worth(table, table.evaluation(row, TRUTH)) for row in range(len(table))])

    @cached_property
    def optimum(self) -> float:
        """The most that a choice can be worth."""
        return float(self.worth[self.counts].max())

    def random_search(self, seed: int, students: int) -> Numbers:
        """What random search's choice is worth on average after 1, 2, ... distinct students, shape (students,): exact.

        Args:
            seed: Of the run; it decides which trainings are drawn, where that is asked.
            students: Up to how many.
        """
        if (key := (self._draw(seed), students)) not in self._expected:
            rows = self.preferred(seed)
            self._expected[key] = expected_choice(self.worth[rows], self.table.episode_share[rows], students)
        return self._expected[key]

    @cached_property
    def _expected(self) -> dict[tuple[int, int], Numbers]:
        return {}


def tasks_by_name(names: Sequence[str] = (), tracks: Sequence[str] = ()) -> list[Task]:
    """Tasks on the tables of these names, one for each track.

    Args:
        names: Tables of the package, `.npz` files, and `test` and `development` for the package's tables of the kind; by
            default those to test on, or, as long as there are none, all.
        tracks: Of `TRACKS`; all by default.

    Raises:
        InputError: If there is none, two tables have the same name, or one cannot keep search and truth apart.
    """
    sources: list[str] = []
    for name in names or (("test",) if benchmark_tables("test") else ("development",)):
        sources += benchmark_tables(name) if name in ("test", "development") else [name]
    tasks = [Task(source, track) for track in (tracks or TRACKS) for source in sources]
    if not tasks:
        raise InputError("there is no table to compare algorithms on; build one (n2n table build) and name its file: --tasks")
    called = [task.name for task in tasks]
    if len(set(called)) != len(called):
        raise InputError(f"the tables must have different names, not {', '.join(called)}")
    for task in tasks:
        _ = task.table.trainings(TRUTH)
    return tasks
