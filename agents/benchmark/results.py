"""Result files: all runs of one algorithm, as it is submitted; checked by playing its episodes again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from agents.benchmark.runs import POLICY_EPISODES, Run, measure, run, versions
from agents.benchmark.tasks import Task
from n2n_gym.errors import InputError
from n2n_gym.system.documents import Positive, checked, read_document
from n2n_gym.system.files import write_text
from n2n_gym.system.machine import machine
from n2n_gym.tables import Table

FORMAT = 1

LARGEST = 1 << 27
"""Bytes of a result file; those of the committed benchmark have some hundred thousand."""


class _Facts(TypedDict, total=False):
    """What the package reads of a result's facts."""

    machine: dict[str, Any]
    versions: dict[str, str]
    command: str


class _File(TypedDict):
    """A result file."""

    agent: str
    evaluations: Positive
    runs: list[dict[str, Any]]
    tables: dict[str, str]
    facts: _Facts


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
        tables = {task.table.name: task.table.fingerprint for task in tasks}
        return cls(ordered[0].agent, len(ordered[0].episodes), tuple(ordered), tables, facts)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Results from their file.

        Raises:
            InputError: If it is none.
        """
        data = read_document(path, dict[str, Any], "benchmark result", largest=LARGEST)
        if data.get("format") != FORMAT:
            raise InputError(f"{path} is a benchmark result of format {data.get('format')!r}; this version reads {FORMAT}")
        complaint = f"{path} is not a benchmark result"
        known = checked(data, _File, complaint)
        runs = tuple(checked({**each, "agent": known["agent"]}, Run, complaint) for each in known["runs"])
        return cls(known["agent"], known["evaluations"], runs, known["tables"], data["facts"])

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


def validate(
    results: Results, tasks: Sequence[Task], *, evaluations: int, seeds: int, algorithm: str | None = None, again: int = 2
) -> None:
    """Play every episode again and refuse numbers that do not follow from them.

    That the episodes are the algorithm's own work is another matter: give its file, and some runs, drawn at random, are made
    again.

    Args:
        results: What was submitted.
        tasks: What it must be on.
        evaluations: How many students each run must have looked at.
        seeds: How many runs there must be on each task, with the seeds from 0 on.
        algorithm: Its `.py` file, or its name if it is one of this package.
        again: So many runs on each task, drawn at random, are then made again, and must come out the same.

    Raises:
        InputError: If a run is missing or double, or a number does not follow; it names the run.
    """
    drawn = np.random.default_rng()
    known = {task.table.name: task for task in tasks}
    for each in results.runs:
        if each.task not in known:
            raise InputError(f"{results.agent}: there is no task {each.task!r}. Known: {', '.join(known)}")
    for name, task in known.items():
        if sorted(each.seed for each in results.of_task(name)) != list(range(seeds)):
            raise InputError(f"{results.agent}: {name} must have one run for each of the seeds 0 to {seeds - 1}")
        if results.tables.get(name) != task.table.fingerprint:
            raise InputError(f"{results.agent}: was measured on another table than this version's {name}")
        for each in results.of_task(name):
            _validate_run(each, task.table, evaluations)
        if algorithm is not None:
            own = results.of_task(name)
            for index in drawn.choice(len(own), min(again, len(own)), replace=False):
                _repeat(own[index], task, algorithm, results.facts)


def _repeat(each: Run, task: Task, algorithm: str, facts: dict[str, Any]) -> None:
    where = f"{each.agent}, {each.task}, seed {each.seed}"
    made = run(algorithm, task.name, each.seed, len(each.episodes))
    if made.agent != each.agent:
        raise InputError(f"{where}: {algorithm} is another algorithm, {made.agent!r}")
    if (made.episodes, made.sampled, made.greedy) != (each.episodes, each.sampled, each.greedy):
        here = {**versions(), **{name: machine()[name] for name in ("processor", "instructions")}}
        there = {**(facts.get("versions") or {}), **(facts.get("machine") or {})}
        other = [f"{name} {there.get(name)} instead of {value}" for name, value in here.items() if there.get(name) != value]
        hint = f"; it was made with {', '.join(other)}, where networks may round differently" if other else ""
        raise InputError(f"{where}: {algorithm} plays other episodes{hint}")


def _validate_run(each: Run, table: Table, evaluations: int) -> None:
    where = f"{each.agent}, {each.task}, seed {each.seed}"
    if len(each.episodes) != evaluations:
        raise InputError(f"{where}: {len(each.episodes)} episodes, not {evaluations}")
    if (len(each.sampled), each.greedy is None) not in ((0, True), (POLICY_EPISODES, False)):
        raise InputError(f"{where}: a policy is judged by {POLICY_EPISODES} sampled episodes and a greedy one")
    greedy = [] if each.greedy is None else [each.greedy]
    codes = [*each.episodes, *each.sampled, *greedy]
    if not all(type(code) is int and 0 <= code < len(table.columns["row_of"]) for code in codes):
        raise InputError(f"{where}: an episode's number is none of this space")
    for name, value in measure(table, each.episodes, each.sampled, greedy).items():
        claimed = getattr(each, name)
        if claimed is not value and (None in (claimed, value) or not math.isclose(claimed, value, abs_tol=1e-9)):
            raise InputError(f"{where}: {name} is {value}, not {claimed}")
