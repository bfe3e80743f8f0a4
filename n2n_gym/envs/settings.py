"""The arguments of the environments."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, get_type_hints

from n2n_gym.errors import InputError, check_arguments, typed
from n2n_gym.evaluators import EVALUATORS, EvaluationSettings, Evaluator, check_workers, make_evaluator
from n2n_gym.limits import Constraints, Limits, Schedule, relaxation
from n2n_gym.rewards import reward_by_name
from n2n_gym.stages import RemovalStage, Stage
from n2n_gym.student import Student
from n2n_gym.system.files import home
from n2n_gym.tables.evaluator import TABLE_SEEDS, TableEvaluator, check_table, uses_table
from n2n_gym.tables.surrogate import uses_surrogate
from n2n_gym.training.recipes import search_recipe


@dataclass(frozen=True, kw_only=True)
class JudgedSettings(EvaluationSettings, ABC):
    """What is compressed, how its students are evaluated, and how they are judged."""

    reward: str = "paper"
    """How students are rewarded: paper, C (2 - C) A / A_teacher, naive, C A / A_teacher, or, where limits say how small a
    student must be, accuracy, A / A_teacher, and where they say how accurate, compression, C itself."""
    relaxation: str | Schedule = "hard"
    """How limits tighten: hard (-1 for a student that exceeds one, from the start), or relaxed[:UPDATES[:POWER]]: at policy
    update t its reward R becomes e (R + 1) - 1, by default with e = (1 - t/15)^4."""
    latency_batch_size: int = 1
    lookahead: bool = True
    """Whether action masks rule out what can only end with a degenerate student; without, they rule out what has no effect in
    stage 1 alone, and nothing in stage 2, where factors may be rounded to the same size."""

    LEAST: ClassVar[Mapping[str, int]] = {"latency_batch_size": 1}
    """Below what a number must not be."""

    @property
    @abstractmethod
    def limits(self) -> Constraints:
        """What students must keep."""

    @cached_property
    def schedule(self) -> Schedule:
        """How strict the limits are at each policy update."""
        return relaxation(self.relaxation) if isinstance(self.relaxation, str) else self.relaxation

    @property
    def training_seed(self) -> int | str | None:
        """Which training of a student counts."""
        return self.seed

    @property
    def uses_table(self) -> bool:
        """Whether students are looked up."""
        return uses_table(self)

    @property
    def trains_nothing(self) -> bool:
        """Whether students are looked up or predicted."""
        return self.uses_table or uses_surrogate(self)

    def check_numbers(self) -> None:
        """Refuse numbers that are out of range.

        Raises:
            InputError: If one is.
        """
        for name, least in self.LEAST.items():
            if (value := getattr(self, name)) is not None and value < least:
                raise InputError(f"{name.replace('_', '-')} must be at least {least}, not {value}")
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"timeout must be more than 0 seconds, not {self.timeout:g}")

    def check_names(self) -> None:
        """Refuse names that are unknown; nothing is trained or downloaded for it.

        Nor is torch imported where the device is one of those in the explanation. Whether there is such a device shows when it
        is used: to look for a GPU now would keep processes that are forked afterwards from using it.

        Raises:
            InputError: If one is unknown, or what they name does not fit.
        """
        reward_by_name(self.reward)
        search_recipe(self.recipe, self.problem.data)
        _ = self.limits, self.schedule
        check_workers(self.workers)
        if not re.fullmatch(r"auto|(cpu|cuda)(:\d+)?", self.device):
            from n2n_gym.system.device import torch_device

            torch_device(self.device)
        if isinstance(self.evaluator, str):
            EVALUATORS.look_up(self.evaluator)
        if isinstance(self.seed, str) and not (self.uses_table and self.seed in TABLE_SEEDS):
            raise InputError(f"seed must be a number, or with evaluator='table' {' or '.join(TABLE_SEEDS)}, not {self.seed!r}")

    def evaluator_of(self, stage: Stage, *, run: str = "", **changes: Any) -> Evaluator:
        """The evaluator that these settings describe, for the students of a stage.

        Args:
            stage: It.
            run: Name to mark newly stored students with.
            **changes: Fields of `EvaluationSettings` that are otherwise.

        Raises:
            InputError: If it is of another problem, or cannot say whether limits are kept.
        """
        if self.trains_nothing:
            for quantity in self.limits.quantities:
                if quantity.name in ("latency_ms", "class_accuracy"):
                    what = "tables say" if self.uses_table else "a surrogate says"
                    raise InputError(f"{what} nothing of {quantity}; limit something else, or train students")
        if isinstance(self.evaluator, TableEvaluator):
            check_table(self.evaluator.table, self, stage)
        latency = self.latency_batch_size if self.limits.need_latency else None
        worth = reward_by_name(self.reward)
        asked = {"latency_batch_size": latency, "seed": self.training_seed, "reward": worth, **changes}
        return make_evaluator(self, stage=stage, run=run, **asked)


@dataclass(frozen=True, kw_only=True)
class Settings(JudgedSettings):
    """The arguments of all environments that say what is compressed and how a student is judged."""

    constraints: Limits = ""
    """Limits, with ; between them, or a .json file: see below."""
    store: str | Path | None = "auto"
    """SQLite file of evaluations; auto is $N2N_HOME/evaluations.sqlite, None keeps none."""

    @classmethod
    def of(cls, call: str, given: dict[str, Any]) -> Self:
        """Settings from keyword arguments.

        Args:
            call: What they were given to, for the message.
            given: Them.

        Raises:
            TypeError: If one is unknown.
            InputError: If one is wrong.
        """
        check_arguments(call, given, (field.name for field in fields(cls)))
        return cls(**typed(call, given, {**get_type_hints(cls), "teacher": object}))  # a live module becomes its name

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_numbers()
        self.check_names()

    @cached_property
    def limits(self) -> Constraints:
        return Constraints.parse(self.constraints)

    @cached_property
    def stage(self) -> Stage:
        """What is decided: which of the teacher's layers to remove."""
        return RemovalStage(Student(self.problem.architecture), lookahead=self.lookahead)

    def make_evaluator(self, stage: Stage) -> Evaluator:
        """The evaluator that these settings describe, for the students of a stage."""
        store = home() / "evaluations.sqlite" if self.store == "auto" else self.store or None
        return self.evaluator_of(stage, store=store)
