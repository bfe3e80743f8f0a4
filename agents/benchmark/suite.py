"""All runs of a benchmark: several at a time, each kept as soon as it is done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.algorithms.registry import ALGORITHMS, check_agent
from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.report import Comparison
from agents.benchmark.results import Results
from agents.benchmark.runs import BUDGETS, Run, name_of, run, versions
from agents.benchmark.sources import sources
from agents.benchmark.tasks import Task
from agents.display import Display
from n2n_gym.errors import InputError
from n2n_gym.system.documents import read_document
from n2n_gym.system.files import write_json
from n2n_gym.system.machine import cores
from n2n_gym.system.pool import Pool


def benchmark(
    agents: Sequence[str],
    *,
    tasks: Sequence[str] = (),
    tracks: Sequence[str] = (),
    seeds: int = 10,
    budgets: Sequence[int] = BUDGETS,
    out: Path,
    workers: int | None = None,
    facts: dict[str, Any],
    display: Display | None = None,
) -> Comparison:
    """Run algorithms on tables, and compare them with random search and with the best that there is.

    Each run is kept in `out/runs` as it ends: the same call goes on where it was. Then `out/agents` gets a result file for
    each algorithm, and `out` the comparison.

    Args:
        agents: Names of this package's algorithms, and `.py` files of one's own.
        tasks: Tables, as of `tasks_by_name`.
        tracks: What is asked of each; everything by default.
        seeds: Runs of each algorithm on each task.
        budgets: After how many distinct feasible students a run is judged.
        out: The folder.
        workers: Runs side by side; one per core by default.
        facts: Machine, versions and command, for the result files.
        display: Shows how it goes.

    Raises:
        InputError: If a name is unknown or a number out of range.
    """
    for name, value in (("seeds", seeds), ("workers", 1 if workers is None else workers)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    if not budgets or list(budgets) != sorted(set(budgets)) or budgets[0] < 1:
        raise InputError(f"budgets must be numbers of students, ascending, not {', '.join(map(str, budgets)) or 'none'}")
    chosen = tasks_by_name(tasks, tracks)
    names = {agent: name_of(agent) for agent in agents}
    for agent in agents:
        if agent in ALGORITHMS:
            check_agent(agent, None)
    if not names or len(set(names.values())) != len(agents):
        raise InputError(f"agents must be one or more different algorithms, not {', '.join(agents) or 'none'}")
    code = {agent: sources(agent) for agent in agents}
    folders = {task: out / "runs" / task.space / task.track for task in chosen}
    records = [
        _Record(agent, task, seed, tuple(budgets), folders[task] / f"{names[agent]}-s{seed}.json", code[agent])
        for task in chosen
        for agent in agents
        for seed in range(seeds)
    ]
    _run_missing(records, workers, display or Display())
    results = []
    for agent in agents:
        own = [record.read() for record in records if record.agent == agent]
        results.append(Results.of(own, chosen, budgets, facts))
        results[-1].save(out / "agents" / f"{names[agent]}.json")
    comparison = Comparison(results, chosen)
    comparison.write(out, facts["command"])
    return comparison


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
    budgets: tuple[int, ...]
    path: Path
    sources: str

    @property
    def made_with(self) -> dict[str, Any]:
        """Another table, question, algorithm or version makes another run."""
        own = hashlib.sha256(Path(self.agent).read_bytes()).hexdigest() if self.agent.endswith(".py") else self.agent
        asked = {"table": self.task.fingerprint, "task": self.task.name, "budgets": list(self.budgets)}
        return {**asked, "algorithm": own, "sources": self.sources, "versions": versions()}

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
    done = len(records) - len(missing)
    submitted = [record for record in missing if record.agent not in ALGORITHMS]
    # these first, for their mistakes show at once; each run in a process of its own, where nothing of another one's is left
    for some, once in ((submitted, True), ([record for record in missing if record.agent in ALGORITHMS], False)):
        with Pool(workers or cores(), once=once) as pool:
            for index, made in pool.each(_made, some):
                some[index].write(made)
                done += 1
                display.update(done, f"{made.agent}, {made.task}: worth {made.worth[-1]:.4f}")


def _made(record: _Record) -> Run:
    return run(record.agent, record.task, record.seed, record.budgets)
