"""Result files: all runs of one algorithm, as it is submitted; checked by playing its episodes again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.benchmark.runs import Run, measure
from agents.benchmark.tasks import Task
from n2n_gym.errors import InputError
from n2n_gym.files import read_json, write_text
from n2n_gym.table import Table

FORMAT = 1


@dataclass(frozen=True)
class Results:
    """What an algorithm did on all tasks, with all seeds.

    Attributes:
        agent: Its name.
        evaluations: Students it looked at in each run.
        runs: One for each task and seed.
        tables: A hash of each task's table.
        facts: Machine, versions and command, as JSON data.
    """

    agent: str
    evaluations: int
    runs: tuple[Run, ...]
    tables: dict[str, str]
    facts: dict[str, Any]

    @classmethod
    def of(cls, runs: Sequence[Run], tasks: Sequence[Task], facts: dict[str, Any]) -> Results:
        """The results of one algorithm's runs."""
        ordered = sorted(runs, key=lambda run: (run.task, run.seed))
        tables = {task.table.name: fingerprint(task.table) for task in tasks}
        return cls(ordered[0].agent, len(ordered[0].episodes), tuple(ordered), tables, facts)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Results from their file.

        Raises:
            InputError: If it is none.
        """
        data = read_json(path, "benchmark result")
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']!r} is not {FORMAT}")
            runs = tuple(Run.from_json({**run, "agent": data["agent"]}) for run in data["runs"])
            return cls(data["agent"], data["evaluations"], runs, data["tables"], data["facts"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is not a benchmark result: {error}") from None

    def save(self, path: Path) -> None:
        """Write the results, a line for each run."""
        runs = [json.dumps({key: value for key, value in run.to_json().items() if key != "agent"}) for run in self.runs]
        head = {"format": FORMAT, "agent": self.agent, "evaluations": self.evaluations}
        tail = {"tables": self.tables, "facts": self.facts}
        body = ",\n".join(runs)
        write_text(path, f'{json.dumps(head)[:-1]}, "runs": [\n{body}\n],\n{json.dumps(tail)[1:]}\n')

    def of_task(self, name: str) -> list[Run]:
        """The runs on one task."""
        return [run for run in self.runs if run.task == name]


def fingerprint(table: Table) -> str:
    """A hash of what a table says."""
    digest = hashlib.sha256()
    for name in sorted(table.columns):
        digest.update(name.encode() + np.ascontiguousarray(table.columns[name]).tobytes())
    return digest.hexdigest()[:16]


def validate(results: Results, tasks: Sequence[Task]) -> None:
    """Play every episode again and refuse numbers that do not follow from them.

    Args:
        results: What was submitted.
        tasks: What it must be on.

    Raises:
        InputError: If a run is missing or double, or a number does not follow; it names the run.
    """
    known = {task.table.name: task.table for task in tasks}
    if missing := set(known) - {run.task for run in results.runs}:
        raise InputError(f"{results.agent}: no run on {', '.join(sorted(missing))}")
    seeds = {name: sorted(run.seed for run in results.of_task(name)) for name in known}
    for name, each in seeds.items():
        if len(set(each)) != len(each):
            raise InputError(f"{results.agent}: a seed comes twice on {name}")
        if each != next(iter(seeds.values())):
            raise InputError(f"{results.agent}: {name} has other seeds than the other tasks")
    for run in results.runs:
        if run.task not in known:
            raise InputError(f"{results.agent}: there is no task {run.task!r}. Known: {', '.join(known)}")
        table = known[run.task]
        if results.tables.get(run.task) != fingerprint(table):
            raise InputError(f"{results.agent}: was measured on another table than this version's {run.task}")
        _validate_run(run, table, results.evaluations)


def _validate_run(run: Run, table: Table, evaluations: int) -> None:
    where = f"{run.agent}, {run.task}, seed {run.seed}"
    if len(run.episodes) != evaluations:
        raise InputError(f"{where}: {len(run.episodes)} episodes, not {evaluations}")
    greedy = [] if run.greedy is None else [run.greedy]
    codes = [*run.episodes, *run.sampled, *greedy]
    if not all(type(code) is int and 0 <= code < len(table.columns["row_of"]) for code in codes):
        raise InputError(f"{where}: an episode's number is none of this space")
    for name, value in measure(table, run.episodes, run.sampled, greedy).items():
        claimed = getattr(run, name)
        same = claimed is value if None in (claimed, value) else math.isclose(claimed, value, abs_tol=1e-9)
        if not same:
            raise InputError(f"{where}: {name} is {value}, not {claimed}")
