"""What algorithms are compared on: a question about a space of students, what a search may see, and what is true."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from agents.algorithms.sb3 import ENVIRONMENTS, BatchedVecEnv, episodes_side_by_side
from n2n_gym.errors import InputError, by_name
from n2n_gym.evaluation import Evaluation
from n2n_gym.rewards import reward_by_name
from n2n_gym.stages import STAGES
from n2n_gym.student import Actions
from n2n_gym.tables import SEARCH, TRUTH, Table
from n2n_gym.tables.evaluator import DRAW
from n2n_gym.tables.statistics import expected_choice

Numbers = npt.NDArray[np.float64]

SIDE_BY_SIDE = 5
"""Episodes that this package's algorithms play at a time: those of a policy update (section 4.2)."""

POINTS = 0.02
"""How much less accurate than the most accurate student the smallest one may be; what is less accurate by twice as much is
worth nothing."""


@dataclass(frozen=True)
class Track:
    """A question that is asked of every space of its kind.

    Attributes:
        about: It, in a line.
        reward: How students are rewarded.
        seed: Which of a student's trainings a search sees.
        limits: What students must keep, for a table.
        worth: What a chosen student is worth, given what the trainings that no search sees say of it, for a table.
        large: Whether it is asked of spaces that are too large for a table.
    """

    about: str
    reward: str = "paper"
    seed: str = SEARCH
    limits: Callable[[Table], str] = lambda _: ""
    worth: Callable[[Table, Evaluation], float] = lambda _, evaluation: reward_by_name("paper")(evaluation)
    large: bool = False


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
        "the most accurate of the students with at most the median multiply-accumulates",
        reward="accuracy",
        limits=_half,
        worth=lambda _, evaluation: reward_by_name("accuracy")(evaluation),
    ),
    "large": Track("the paper's reward where the space is too large to know: models of accuracy answer", large=True),
}


@dataclass(frozen=True)
class Task(ABC):
    """One question about one space of students.

    Episodes are written down as numbers: their actions read as digits, the first one highest. Students are told apart by
    numbers of their own.

    Attributes:
        source: What the space is in: a name of the package's, or a file.
        track: One of `TRACKS`.
    """

    source: str
    track: str

    def __post_init__(self) -> None:
        _ = self.question

    def __getstate__(self) -> dict[str, Any]:  # a worker process finds out for itself
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def question(self) -> Track:
        """What is asked."""
        return by_name("track", self.track, TRACKS)

    @property
    def name(self) -> str:
        """As result files call it."""
        return f"{self.space}:{self.track}"

    @property
    @abstractmethod
    def space(self) -> str:
        """The name of the space."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of all that is known of it, and of how models of it are made."""

    # Playing

    @property
    @abstractmethod
    def stage(self) -> str:
        """`removal`, `shrink` or `both`."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The number of actions at each decision."""

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Of the environment."""

    @property
    def policy_stage(self) -> int:
        """1 for removal, 2 for shrinkage: this package's algorithms have settings for each."""
        kind, _ = STAGES.look_up(self.stage)
        return kind.number

    def env(self) -> gym.Env[Any, Any]:
        """One episode at a time."""
        return gym.make(ENVIRONMENTS[self.stage], **self.arguments)

    def vector_env(self, num_envs: int = SIDE_BY_SIDE) -> BatchedVecEnv:
        """Episodes side by side, for algorithms of Stable-Baselines3's kind."""
        return episodes_side_by_side(self.stage, num_envs, **self.arguments)

    def encode(self, episodes: Sequence[Actions]) -> list[int]:
        """Episodes as numbers.

        Raises:
            InputError: If they are not episodes of this space.
        """
        return [self._encoded(episode) for episode in episodes]

    def decode(self, code: int) -> list[int]:
        """The actions of an episode's number."""
        actions = []
        for count in reversed(self.shape):
            code, action = divmod(code, count)
            actions.append(action)
        return actions[::-1]

    def _encoded(self, episode: Actions) -> int:
        code = 0
        for count, action in zip(self.shape, episode, strict=False):
            code = code * count + int(action)
        if len(episode) != len(self.shape) or self.decode(code) != list(episode):
            most = self.shape[0] - 1
            raise InputError(f"an episode of {self.space} is {len(self.shape)} actions from 0 to {most}, not {list(episode)}")
        return code

    def knows(self, code: int) -> bool:
        """Whether a number is an episode's."""
        return 0 <= code < math.prod(self.shape)

    # What a search sees

    @property
    @abstractmethod
    def affordable(self) -> int | None:
        """How many students there are that cost a training; None if nobody knows."""

    def due(self, budget: int) -> int:
        """How many students a run that may pay for so many can pay for."""
        return budget if self.affordable is None else min(budget, self.affordable)

    @abstractmethod
    def students(self, codes: Sequence[int]) -> list[int]:
        """The numbers of the students that episodes end with."""

    @abstractmethod
    def costs(self, student: int) -> bool:
        """Whether a student costs a training: it is neither degenerate nor, by its sizes alone, beyond a limit."""

    def draw(self, seed: int) -> int:
        """Runs that see the same trainings have the same number."""
        return seed if self.question.seed == DRAW else 0

    def rngs(self, seed: int, students: Sequence[int]) -> list[np.random.Generator]:
        """Random numbers that decide which of their trainings some students have in a run.

        A student has the same one whenever it is looked at, as where evaluations are kept: looking again tells nothing new.
        """
        return [np.random.default_rng((seed, student)) for student in students]

    @abstractmethod
    def preferred(self, seed: int, codes: Sequence[int]) -> int:
        """The one of some episodes whose student a search would choose: the most rewarded.

        Args:
            seed: Of the run; it decides which trainings are drawn, where that is asked.
            codes: Episodes whose students cost a training; one at least.
        """

    @abstractmethod
    def ceiling(self, seed: int) -> float | None:
        """What the choice of a search is worth that has seen every student; None if nobody can."""

    # What is true

    @abstractmethod
    def worths(self, codes: Sequence[int]) -> Numbers:
        """What episodes' students are worth as choices, by the trainings that no search sees, shape (episodes,)."""

    @property
    @abstractmethod
    def least(self) -> float:
        """What a search without any student has."""

    @property
    @abstractmethod
    def optimum(self) -> float:
        """The most that a choice can be worth, as far as that is known."""

    @abstractmethod
    def drawn_from(self, seed: int) -> tuple[Numbers, Numbers]:
        """What random search draws from: what each student is worth, and how probable it is at the first draw.

        Args:
            seed: Of the run; it decides which trainings are drawn, where that is asked.

        Returns:
            Shapes (students,), from the student on that a search would choose; the second in proportion.
        """

    def random_search(self, seed: int, students: int, floor: float = -np.inf) -> Numbers:
        """What random search's choice is worth on average after 1, 2, ... distinct students, shape (students,).

        Args:
            seed: Of the run; it decides which trainings are drawn, where that is asked.
            students: Up to how many.
            floor: What choices count for at least.
        """
        if (key := (self.draw(seed), students, floor)) not in self._expected:
            worths, weights = self.drawn_from(seed)
            self._expected[key] = expected_choice(np.maximum(worths, floor), weights, students)
        return self._expected[key]

    @cached_property
    def _expected(self) -> dict[tuple[int, int, float], Numbers]:
        """What `random_search` found: it takes a tenth of a second, and each run asks for the same."""
        return {}
