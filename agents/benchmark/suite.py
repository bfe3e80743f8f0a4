"""All runs of a benchmark: several at a time, each kept as soon as it is done."""

from __future__ import annotations

import ast
import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import n2n_gym.envs
from agents.benchmark.report import Comparison
from agents.benchmark.results import Results
from agents.benchmark.runs import Run, name_of, run, versions
from agents.benchmark.tasks import SIDE_BY_SIDE, Task, tasks_by_name
from agents.display import Display
from n2n_gym.errors import InputError
from n2n_gym.system.documents import read_document
from n2n_gym.system.files import write_json
from n2n_gym.system.machine import cores
from n2n_gym.system.pool import Pool

ALGORITHM_MODULES = ("embedding", "episodes", "episodic", "planned", "policies", "registry", "reinforce", "sb3")
"""A run is made again when one of these has changed."""


def benchmark(
    agents: Sequence[str],
    *,
    tasks: Sequence[str] = (),
    seeds: int = 20,
    evaluations: int = 500,
    out: Path,
    workers: int | None = None,
    facts: dict[str, Any],
    display: Display | None = None,
) -> Comparison:
    """Run algorithms on tables, and compare them with each other and with the best that there is.

    Each run is kept in `out/runs` as it ends: the same call goes on where it was. Then `out/agents` gets a result file for
    each algorithm, and `out` the comparison.

    Args:
        agents: Names of this package's algorithms, and `.py` files of one's own.
        tasks: Tables; all of the package by default.
        seeds: Runs of each algorithm on each table.
        evaluations: Students that a run may look at.
        out: The folder.
        workers: Runs side by side; one per core by default.
        facts: Machine, versions and command, for the result files.
        display: Shows how it goes.

    Raises:
        InputError: If a name is unknown or a number out of range.
    """
    for name, value in (("seeds", seeds), ("evaluations", evaluations), ("workers", 1 if workers is None else workers)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    if evaluations % SIDE_BY_SIDE:
        raise InputError(
            f"evaluations must be a multiple of {SIDE_BY_SIDE}, the students of a policy update, not {evaluations}"
        )
    chosen = tasks_by_name(tasks)
    names = {agent: name_of(agent) for agent in agents}
    if not names or len(set(names.values())) != len(agents):
        raise InputError(f"agents must be one or more different algorithms, not {', '.join(agents) or 'none'}")
    records = [
        _Record(agent, task, seed, evaluations, out / "runs" / task.table.name / f"{names[agent]}-n{evaluations}-s{seed}.json")
        for task in chosen
        for agent in agents
        for seed in range(seeds)
    ]
    _run_missing(records, workers, display or Display())
    results = []
    for agent in agents:
        own = [record.read() for record in records if record.agent == agent]
        results.append(Results.of(own, chosen, facts))
        results[-1].save(out / "agents" / f"{names[agent]}.json")
    comparison = Comparison(results, chosen)
    comparison.write(out, facts["command"])
    return comparison


@cache
def _sources() -> str:
    """A hash of the code that decides what this package's algorithms and environments do; comments and docstrings are none."""
    modules = [importlib.import_module(f"agents.algorithms.{name}") for name in ALGORITHM_MODULES]
    files = [Path(str(module.__file__)) for module in modules]
    files += sorted(Path(str(n2n_gym.envs.__file__)).parent.glob("*.py"))
    return hashlib.sha256("".join(code_of(file.read_text()) for file in files).encode()).hexdigest()


def code_of(source: str) -> str:
    """What Python makes of a module's source, without strings that stand by themselves."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@dataclass(frozen=True)
class _Kept:
    """A run's file."""

    made_with: dict[str, Any]
    run: Run


@dataclass(frozen=True)
class _Record:
    """A run, and the file that keeps it together with what it was made with."""

    agent: str
    task: Task
    seed: int
    evaluations: int
    path: Path

    @property
    def made_with(self) -> dict[str, Any]:
        """Another table, algorithm or version makes another run."""
        own = hashlib.sha256(Path(self.agent).read_bytes()).hexdigest() if self.agent.endswith(".py") else self.agent
        return {"table": self.task.table.fingerprint, "algorithm": own, "sources": _sources(), "versions": versions()}

    @property
    def kept(self) -> bool:
        """Whether the run was made, with the same as now."""
        try:
            return read_document(self.path, _Kept, "benchmark run").made_with == self.made_with
        except InputError:
            return False

    def read(self) -> Run:
        """The run."""
        return read_document(self.path, _Kept, "benchmark run").run

    def write(self, made: Run) -> None:
        """Keep the run."""
        write_json(self.path, {"made_with": self.made_with, "run": made.to_json()})


def _run_missing(records: list[_Record], workers: int | None, display: Display) -> None:
    missing = [record for record in records if not record.kept]
    display.start("runs", len(records), len(records) - len(missing))
    if not missing:
        return
    with Pool(workers or cores()) as pool:
        for done, (index, made) in enumerate(pool.each(_made, missing), len(records) - len(missing) + 1):
            missing[index].write(made)
            display.update(done, f"{made.agent}, {made.task}: best {made.best:.4f}")


def _made(record: _Record) -> Run:
    return run(record.agent, record.task.name, record.seed, record.evaluations)
