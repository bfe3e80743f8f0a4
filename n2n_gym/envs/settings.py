"""The arguments of both environments."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from n2n_gym.errors import InputError, check_names
from n2n_gym.evaluators import check_evaluator, make_evaluator
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.limits import Constraints, Limits, Schedule, relaxation
from n2n_gym.problem import Problem
from n2n_gym.rewards import reward_by_name
from n2n_gym.stages.base import Stage
from n2n_gym.system.files import home
from n2n_gym.tables import MEAN, Table, table_of
from n2n_gym.tables.evaluator import TABLE_SEEDS, TableEvaluator
from n2n_gym.training.recipes import search_recipe


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
