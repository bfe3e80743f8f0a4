"""The compression MDP as a Gymnasium environment (section 3.1); the two stages differ in their `Stage` alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded

from n2n_gym.architecture import Architecture, Range, Variable
from n2n_gym.architecture.features import DECISION, HIGH, Rows
from n2n_gym.constraints import Constraint, Constraints, Limits, Schedule, relaxation
from n2n_gym.envs.render import draw_ansi, draw_rgb_array
from n2n_gym.errors import InputError, check_names, unknown
from n2n_gym.evaluators import check_evaluator, make_evaluator
from n2n_gym.evaluators.base import Actions, Evaluation, Evaluator
from n2n_gym.evaluators.table import TABLE_SEEDS, TableEvaluator
from n2n_gym.files import home
from n2n_gym.problem import Problem
from n2n_gym.recipes import search_recipe
from n2n_gym.rewards import Reward, relaxed, reward_by_name
from n2n_gym.table import MEAN, Table, table_of

Observation = dict[str, Any]
Mask = npt.NDArray[np.bool_]


class Stage(ABC):
    """A stage of Algorithm 1: its decisions, its actions, its edit.

    Attributes:
        base: The architecture that an episode starts from.
        rows: One row of features per decision, shape (decisions, columns), float32.
        layers: The layers of `base` that each decision is about.
        variables: What of those layers is decided.
        masks: Which actions have an effect, shape (decisions, actions), bool.
        name: `removal` or `shrink`.
        shows_previous_action: Whether the observation holds the previous action.
        keep: The action that leaves things as they are.
    """

    base: Architecture
    rows: Rows
    layers: tuple[tuple[int, ...], ...]
    variables: tuple[Variable, ...]
    masks: Mask
    name: ClassVar[str]
    shows_previous_action: ClassVar[bool]
    keep: ClassVar[int]

    @abstractmethod
    def student(self, actions: Sequence[int]) -> Architecture:
        """The architecture that a whole episode's actions make of `base`."""

    @abstractmethod
    def actions_of(self, student: Architecture) -> tuple[int, ...] | None:
        """A whole episode's actions that lead to an architecture; None if they are not found."""

    @abstractmethod
    def describe(self, position: int, action: int) -> str:
        """What an action does at a position, in a word or two."""

    @property
    @abstractmethod
    def ranges(self) -> Mapping[str, Range]:
        """Between what the sizes of all students lie."""

    def removed(self, actions: Sequence[int]) -> frozenset[int]:
        """The layers of `base` that the first actions of an episode remove."""
        return frozenset()

    def resized(self, actions: Sequence[int]) -> Architecture:
        """`base` as the first actions of an episode shrink it."""
        return self.base

    @property
    def decisions(self) -> int:
        """Length of an episode."""
        return len(self.rows)

    @property
    def actions(self) -> int:
        """How many actions there are to choose from."""
        return int(self.masks.shape[1])

    @cached_property
    def observation_space(self) -> spaces.Dict:
        """The space of one observation."""
        return observation_space(self.decisions, previous_of=self.actions if self.shows_previous_action else None)


def observation_space(decisions: int, *, previous_of: int | None) -> spaces.Dict:
    """The space of the observations of an environment.

    Args:
        decisions: Length of an episode.
        previous_of: How many actions there are, if the previous action is observed.
    """
    rows = np.tile(HIGH, decisions)  # one row after the other: SB3's checker frowns on two dimensions
    space: dict[str, spaces.Space[Any]] = {
        "architecture": spaces.Box(np.zeros_like(rows), rows, dtype=np.float32),
        "layer": spaces.Box(np.zeros_like(HIGH), HIGH, dtype=np.float32),
        "position": spaces.Discrete(decisions + 1),
    }
    if previous_of is not None:
        space["previous_action"] = spaces.Discrete(previous_of + 1)
    return spaces.Dict(space)


@dataclass(frozen=True)
class Finished:
    """A finished episode.

    Attributes:
        stage: What its actions mean.
        actions: One per decision.
        evaluation: What the evaluator says of its student.
        reward: The episode's only reward.
        violated: The limits that the student does not keep.
    """

    stage: Stage
    actions: tuple[int, ...]
    evaluation: Evaluation
    reward: float
    violated: tuple[Constraint, ...] = ()

    @cached_property
    def student(self) -> Architecture:
        """The architecture it ended with."""
        return self.stage.student(self.actions)

    @property
    def info(self) -> dict[str, Any]:
        """The terminal step's `info`; no time in it, so that equal episodes have equal ones."""
        return {
            "accuracy": self.evaluation.accuracy,
            "compression": self.evaluation.compression,
            "parameters": self.evaluation.parameters,
            "macs": self.evaluation.macs,
            "reason": self.evaluation.reason,
            "violated": "; ".join(map(str, self.violated)),
            "actions": self.actions,
        }


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of both environments that say what is compressed and how a student is judged.

    Their meaning stands in the environments' documentation.
    """

    teacher: str = "conv4"
    dataset: str = "digits"
    width: float = 1.0
    train_size: int | None = None
    recipe: str = "paper"
    reward: str = "paper"
    constraints: Limits = ""
    relaxation: str | Schedule = "hard"
    latency_batch_size: int = 1
    evaluator: str | Evaluator = "distillation"
    seed: int | str | None = None
    device: str = "auto"
    workers: int | str = 0
    timeout: float | None = None
    store: str | None = "auto"

    @classmethod
    def of(cls, given: dict[str, Any]) -> Settings:
        """Settings from an environment's keyword arguments.

        Raises:
            InputError: If one is unknown.
        """
        if "render_mode" in given:
            raise InputError("episodes side by side draw no pictures: render a single environment (gym.make)")
        check_names("environment argument", given, (field.name for field in fields(cls)))
        return cls(**given)

    def __post_init__(self) -> None:
        reward_by_name(self.reward)
        search_recipe(self.recipe, self.problem.data)
        _ = self.limits, self.schedule
        if isinstance(self.evaluator, str):
            check_evaluator(self.evaluator, self.workers)
        if isinstance(self.seed, str) and not (self.uses_table and self.seed in TABLE_SEEDS):
            raise InputError(f"seed must be a number, or with evaluator='table' {' or '.join(TABLE_SEEDS)}, not {self.seed!r}")

    @property
    def uses_table(self) -> bool:
        """Whether students are looked up."""
        if isinstance(self.evaluator, str):
            return self.evaluator.partition(":")[0] == "table"
        return isinstance(self.evaluator, TableEvaluator)

    def table(self, stage: str) -> Table | None:
        """The table that students of a stage are looked up in; None if they are trained.

        Raises:
            InputError: If there is no table of these settings, or it cannot say whether limits are kept.
        """
        if not self.uses_table:
            return None
        if isinstance(self.evaluator, TableEvaluator):
            table = self.evaluator.table
        else:
            _, _, name = str(self.evaluator).partition(":")
            table = Table.load(name) if name else table_of(self.problem, stage)
        facts = table.facts
        same_data = (self.problem.data.identity, self.train_size) == (facts["data"], facts["problem"]["train_size"])
        if table.stage != stage or table.teacher != self.problem.architecture or not same_data:
            arguments = ", ".join(f"{name}={value!r}" for name, value in facts["problem"].items())
            raise InputError(f"{table} is of stage {table.stage} with {arguments}; the environment is of another problem")
        if self.recipe != facts["recipe"]["name"]:
            raise InputError(f"{table} was made by recipe {facts['recipe']['name']}, not {self.recipe}")
        for quantity in self.limits.quantities:
            if quantity.name in ("latency_ms", "class_accuracy"):
                raise InputError(f"tables say nothing of {quantity}; limit something else, or train students")
        return table

    @cached_property
    def problem(self) -> Problem:
        """Teacher and data."""
        return Problem(self.teacher, self.dataset, self.width, self.train_size)

    @cached_property
    def limits(self) -> Constraints:
        """What students must keep."""
        return Constraints.parse(self.constraints)

    @cached_property
    def schedule(self) -> Schedule:
        """How strict the limits are at each policy update."""
        return relaxation(self.relaxation) if isinstance(self.relaxation, str) else self.relaxation

    def make_evaluator(self, stage: Stage) -> Evaluator:
        """The evaluator that these settings describe, for the students of a stage."""
        table = self.table(stage.name)
        if table is not None and table.base != stage.base:
            raise InputError(f"{table} starts from another network than the environment; leave architecture out")
        if isinstance(self.evaluator, Evaluator):
            if self.evaluator.teacher != self.problem.architecture:
                raise InputError("the evaluator is for another teacher than the environment's; give both the same settings")
            return self.evaluator
        if table is not None:
            return TableEvaluator(table, MEAN if self.seed is None else self.seed)
        store = home() / "evaluations.sqlite" if self.store == "auto" else self.store and Path(self.store).expanduser()
        return make_evaluator(
            self.problem,
            recipe=self.recipe,
            seed=int(self.seed or 0),
            device=self.device,
            workers=self.workers,
            timeout=self.timeout,
            latency_batch_size=self.latency_batch_size if self.limits.need_latency else None,
            store=store or None,
        )


class Judge:
    """Turns finished episodes into rewards; shared by the single and the vector environment.

    Args:
        settings: What is compressed and how a student is judged.
        stage: What the actions mean.
        check_limits: Whether limits that no student of the stage can keep are refused.

    Attributes:
        update: Policy updates done, which relaxed limits depend on.
    """

    def __init__(self, settings: Settings, stage: Stage, *, check_limits: bool = True) -> None:
        self.stage = stage
        self.update = 0
        self._reward: Reward = reward_by_name(settings.reward)
        self._settings = settings
        if settings.limits and check_limits:
            settings.limits.check(settings.problem, stage.ranges)
        if settings.uses_table:
            _ = self.evaluator  # nothing is trained: what does not fit is said at once

    @cached_property
    def evaluator(self) -> Evaluator:
        """Made when the first episode ends, so that making an environment costs nothing."""
        return self._settings.make_evaluator(self.stage)

    def finish(self, episodes: Sequence[Actions], rng: np.random.Generator) -> list[Finished]:
        """Evaluate the students of whole episodes in one batch.

        Args:
            episodes: The actions of each.
            rng: The environment's random numbers, for an evaluator that draws.
        """
        evaluations = self.evaluator.evaluate_episodes(self.stage.student, episodes, rng)
        return [self.finished(actions, evaluation) for actions, evaluation in zip(episodes, evaluations, strict=True)]

    def finished(self, actions: Actions, evaluation: Evaluation) -> Finished:
        """What an episode is worth, given the evaluation of its student."""
        reward = self._reward(evaluation)
        violated = () if evaluation.reason else self._settings.limits.violated(evaluation)
        if violated:
            reward = relaxed(reward, self._settings.schedule(self.update))
        return Finished(self.stage, tuple(actions), evaluation, reward, violated)

    def close(self) -> None:
        """Let go of the evaluator's processes and files, if it was made here."""
        if "evaluator" in self.__dict__ and isinstance(self._settings.evaluator, str):
            self.evaluator.close()


class CompressionEnv(gym.Env[Observation, np.int64], ABC):
    """One episode edits one network: one decision a step, one reward at the end.

    Attributes:
        stage: What is decided.
        judge: Who rewards.
        finished: The last episode that was finished; kept through `reset`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # type: ignore[misc]

    def __init__(self, stage: Stage, settings: Settings, render_mode: Literal["ansi", "rgb_array"] | None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown("render mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.stage = stage
        self.judge = Judge(settings, stage)
        self.observation_space = stage.observation_space
        self.action_space = spaces.Discrete(stage.actions)
        self.finished: Finished | None = None
        self._position = stage.decisions  # reset comes first
        self._actions: list[int] = []
        self._rows = stage.rows.copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._position = 0
        self._actions = []
        self._rows = self.stage.rows.copy()
        return self._observation(), {}

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self._position >= self.stage.decisions:
            raise ResetNeeded("the episode is over; call reset() before the next step()")
        chosen = int(action)
        if chosen != action or not 0 <= chosen < self.stage.actions:
            raise InvalidAction(f"action must be 0 to {self.stage.actions - 1}, not {action}")
        self._actions.append(chosen)
        self._rows[self._position, DECISION] = chosen + 1
        self._position += 1
        if self._position < self.stage.decisions:
            return self._observation(), 0.0, False, False, {}
        [self.finished] = self.judge.finish([self._actions], self.np_random)
        return self._observation(), self.finished.reward, True, False, self.finished.info

    def set_update(self, update: int) -> None:
        """Tell the environment how many policy updates were done: relaxed limits tighten with them."""
        self.judge.update = update

    def action_masks(self) -> Mask:
        """Which actions have an effect now, shape (actions,); for sb3-contrib's MaskablePPO and for planners."""
        mask: Mask = self.stage.masks[min(self._position, self.stage.decisions - 1)]
        return mask.copy()

    def render(self) -> str | npt.NDArray[np.uint8] | None:
        if self.render_mode == "ansi":
            return draw_ansi(self.stage, self._actions)
        if self.render_mode == "rgb_array":
            return draw_rgb_array(self.stage, self._actions)
        return None

    def close(self) -> None:
        self.judge.close()

    def _observation(self) -> Observation:
        position = self._position
        over = position >= self.stage.decisions
        observation: Observation = {
            "architecture": self._rows.flatten(),
            "layer": np.zeros_like(HIGH) if over else self._rows[position].copy(),
            "position": np.int64(position),
        }
        if self.stage.shows_previous_action:
            observation["previous_action"] = np.int64(self._actions[-1] + 1 if self._actions else 0)
        return observation
