"""Result files: all runs of one algorithm, as it is submitted; checked by playing its episodes again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np

from agents.algorithms.registry import ALGORITHMS
from agents.benchmark.account import MOST_IDLE, MOST_LOOKS
from agents.benchmark.catalogue import task_of
from agents.benchmark.runs import Run, name_of, run, versions, worth
from agents.benchmark.tasks import TRACKS, Task
from n2n_gym.errors import InputError, by_name
from n2n_gym.system.documents import Positive, checked, read_document
from n2n_gym.system.files import write_text
from n2n_gym.system.machine import machine
from n2n_gym.system.pool import Pool
from n2n_gym.tables.files import Name

EDITION = 2

LARGEST = 1 << 27
"""Bytes of a result file; those of the committed benchmark have some hundred thousand."""


class _Facts(TypedDict, total=False):
    """What the package reads of a result's facts."""

    machine: dict[str, Any]
    versions: dict[str, str]
    command: str


class _File(TypedDict):
    """A result file."""

    agent: Name
    budgets: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
    runs: list[dict[str, Any]]
    tables: dict[str, str]
    facts: _Facts


@dataclass(frozen=True)
class Results:
    """What an algorithm did on all tasks, with all seeds.

    Attributes:
        agent: Its name.
        budgets: After how many students it is judged.
        runs: One for each task and seed.
        tables: A hash of each task's table, by the task's name.
        facts: Machine, versions and command, as JSON data.
    """

    agent: str
    budgets: tuple[int, ...]
    runs: tuple[Run, ...]
    tables: dict[str, str]
    facts: dict[str, Any]

    @classmethod
    def of(cls, runs: Sequence[Run], tasks: Sequence[Task], budgets: Sequence[int], facts: dict[str, Any]) -> Results:
        """The results of one algorithm's runs."""
        ordered = sorted(runs, key=lambda run: (run.task, run.seed))
        tables = {task.name: task.fingerprint for task in tasks}
        return cls(ordered[0].agent, tuple(budgets), tuple(ordered), tables, facts)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Results from their file.

        Raises:
            InputError: If it is none, or of another edition of the benchmark.
        """
        data = read_document(path, dict[str, Any], "benchmark result", largest=LARGEST)
        if data.get("format") == 1:
            raise InputError(
                f"{path} is a result of the benchmark's first edition, which scored what searches had seen; this version "
                f"reads edition {EDITION}: run the algorithm again (docs/benchmark.md)"
            )
        if data.get("edition") != EDITION:
            raise InputError(f"{path} is a result of edition {data.get('edition')!r}; this version reads edition {EDITION}")
        complaint = f"{path} is not a benchmark result"
        known = checked(data, _File, complaint)
        runs = tuple(checked({**each, "agent": known["agent"]}, Run, complaint) for each in known["runs"])
        return cls(known["agent"], known["budgets"], runs, known["tables"], data["facts"])

    def save(self, path: Path) -> None:
        """Write the results, a line for each run."""
        runs = [json.dumps({key: value for key, value in run.to_json().items() if key != "agent"}) for run in self.runs]
        head = {"edition": EDITION, "agent": self.agent, "budgets": self.budgets}
        tail = {"tables": self.tables, "facts": self.facts}
        body = ",\n".join(runs)
        write_text(path, f'{json.dumps(head)[:-1]}, "runs": [\n{body}\n],\n{json.dumps(tail)[1:]}\n')

    def tasks(self, tracks: Sequence[str] = ()) -> list[Task]:
        """What the runs are on, tables of the package; of some tracks only, if they are given.

        Raises:
            InputError: If there is no such track.
        """
        wanted = [by_name("track", track, TRACKS) for track in tracks]
        known = [task_of(source, track) for source, _, track in (name.rpartition(":") for name in self.tables)]
        return [task for task in known if not wanted or task.question in wanted]

    def joined(self, other: Results) -> Results:
        """These results and others of the same algorithm, on other tasks.

        Raises:
            InputError: If both have runs on a task, or budgets differ.
        """
        if twice := sorted(self.tables.keys() & other.tables.keys()):
            raise InputError(f"{self.agent} has two result files on {', '.join(twice)}")
        if self.budgets != other.budgets:
            raise InputError(
                f"{self.agent}: budgets are {_listed(self.budgets)} in one file, {_listed(other.budgets)} in another"
            )
        return replace(self, runs=self.runs + other.runs, tables=self.tables | other.tables)

    def on(self, tasks: Sequence[Task]) -> Results:
        """The results on some tasks alone."""
        names = {task.name for task in tasks}
        return replace(self, runs=tuple(run for run in self.runs if run.task in names))

    def ran(self, tasks: Sequence[Task]) -> list[Task]:
        """Those of some tasks that there are runs on."""
        return [task for task in tasks if self.of_task(task.name)]

    def of_task(self, name: str) -> list[Run]:
        """The runs on one task."""
        return [run for run in self.runs if run.task == name]


def validate(
    results: Results,
    tasks: Sequence[Task],
    *,
    budgets: Sequence[int],
    seeds: int,
    algorithm: str | None = None,
    again: int = 2,
) -> None:
    """Look every student up again and refuse numbers that do not follow.

    That the students are those that the algorithm finds is another matter: give its file, and some runs, drawn at random, are
    made again.

    Args:
        results: What was submitted.
        tasks: What it must be on.
        budgets: After how many students it must be judged.
        seeds: How many runs there must be on each task, with the seeds from 0 on.
        algorithm: Its `.py` file, or its name if it is one of this package.
        again: So many runs on each task, drawn at random, are then made again, and must come out the same.

    Raises:
        InputError: If a run is missing or double, or a number does not follow; it names the run.
    """
    if again < 0:
        raise InputError(f"again must be 0 or more runs, not {again}")
    drawn = np.random.default_rng()
    known = {task.name: task for task in tasks}
    for each in results.runs:
        if each.task not in known:
            raise InputError(f"{results.agent}: there is no task {each.task!r}. Known: {', '.join(known)}")
    if results.budgets != tuple(budgets):
        raise InputError(f"{results.agent}: budgets are {_listed(results.budgets)}, not {_listed(budgets)}")
    for name, task in known.items():
        own = results.of_task(name)
        if sorted(each.seed for each in own) != list(range(seeds)):
            raise InputError(f"{results.agent}: {name} must have one run for each of the seeds 0 to {seeds - 1}")
        if results.tables.get(name) != task.fingerprint:
            raise InputError(f"{results.agent}: was measured on another table than this version's {task.space}")
        for each in own:
            _validate_run(each, task, results.budgets)
        if algorithm is not None:
            for index in drawn.choice(len(own), min(again, len(own)), replace=False):
                _repeat(own[index], task, results, algorithm)


def _repeat(each: Run, task: Task, results: Results, algorithm: str) -> None:
    where = f"{each.agent}, {each.task}, seed {each.seed}"
    if (name := name_of(algorithm)) != each.agent:
        raise InputError(f"{where}: {algorithm} is another algorithm, {name!r}")
    made = _made_again((algorithm, task, each.seed, results.budgets))
    if (made.students, made.reports, made.looks) != (each.students, each.reports, each.looks):
        here = {**versions(), **{name: machine()[name] for name in ("processor", "instructions")}}
        there = {**(results.facts.get("versions") or {}), **(results.facts.get("machine") or {})}
        other = [f"{name} {there[name]} instead of {value}" for name, value in here.items() if there.get(name, value) != value]
        hint = f"; it was made with {', '.join(other)}, where networks may round differently" if other else ""
        raise InputError(f"{where}: {algorithm} finds other students{hint}")


def _made_again(what: tuple[str, Task, int, tuple[int, ...]]) -> Run:
    if what[0] in ALGORITHMS:
        return run(*what)
    with Pool(1) as pool:  # as the benchmark does: what one run leaves behind is not there for the next
        made: Run = next(pool.map(_run, [what]))
    return made


def _run(what: tuple[str, Task, int, tuple[int, ...]]) -> Run:
    return run(*what)


def _validate_run(each: Run, task: Task, budgets: Sequence[int]) -> None:
    where = f"{each.agent}, {each.task}, seed {each.seed}"
    codes = [*each.students, *(code for _, code in each.reports)]
    if not all(type(code) is int and task.knows(code) for code in codes):
        raise InputError(f"{where}: an episode's number is none of this space")
    students = task.students(each.students)
    if len(students) > budgets[-1]:
        raise InputError(f"{where}: {len(students)} students, more than the {budgets[-1]} that may be paid for")
    if len(set(students)) < len(students) or not all(map(task.costs, students)):
        raise InputError(f"{where}: students that are paid for are distinct, not degenerate, and within the limits on sizes")
    if not len(students) <= each.looks <= MOST_LOOKS:
        raise InputError(f"{where}: {len(students)} students cannot be seen in {each.looks} episodes of at most {MOST_LOOKS}")
    if len(students) < task.due(budgets[-1]) and each.looks < min(MOST_LOOKS, len(students) + MOST_IDLE):
        ended = f"{len(students)} of {task.due(budgets[-1])} students and {each.looks} episodes"
        raise InputError(f"{where}: ended after {ended}; a run that finds no new student goes on for {MOST_IDLE} episodes")
    for after, code in each.reports:
        if type(after) is not int or not 0 < after <= len(students) or task.students([code])[0] not in students[:after]:
            raise InputError(f"{where}: a student was reported that was not looked at before")
    if [after for after, _ in each.reports] != sorted(after for after, _ in each.reports):
        raise InputError(f"{where}: reports must be in order")
    due = worth(task, each.seed, each.students, each.reports, budgets)
    if len(due) != len(each.worth) or not all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(each.worth, due, strict=True)):
        raise InputError(f"{where}: worth is {list(due)}, not {list(each.worth)}")


def _listed(budgets: Sequence[int]) -> str:
    return ", ".join(map(str, budgets))
