"""What searches find with equally many distinct feasible students that are trained, on tables to choose settings by.

    python benchmarks/equal_budgets.py [--agents ...] [--tables ...] [--seeds 10] [--first-seed 100] [--workers 2]

A student is trained once and counts once; degenerate ones, repeats and previews cost nothing. After 10, 25, 50 and 100
students the best one's reward is read, and scored by the share of the gap that is closed between random search's expectation
with as many distinct students and the best that there is: 0 is random search, 1 the optimum. Agents have the same seeds, and
their differences are taken seed by seed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tyro
from report import Report
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import NEVER, PolicyUpdates
from agents.benchmark.tasks import Task
from agents.interval import Interval
from n2n_gym.system.files import write_json
from n2n_gym.system.processes import begin_worker
from n2n_gym.tables import Table, table_names

BUDGETS = (10, 25, 50, 100)
MOST_UPDATES = 100
"""What `n2n compress` has by default; a search that goes round in circles ends with what it had."""

RANDOM_SEARCHES = 2_000

AGENTS = (
    "random",
    "dyna",
    "gaussian-process",
    "cross-entropy",
    "local-search",
    "evolution",
    "informed-evolution",
    "reinforce-imitating",
    "reinforce",
    "tpe",
    "random-forest",
)


class Budget(BaseCallback):
    """Ends a search that has trained so many distinct feasible students, and keeps their rewards in order."""

    def __init__(self, students: int) -> None:
        super().__init__()
        self.students = students
        self.rewards: dict[str, float] = {}

    def _on_step(self) -> bool:
        if self.locals["dones"].all():
            for finished in self.training_env.get_attr("finished"):
                if not finished.evaluation.reason:
                    self.rewards.setdefault(finished.student.architecture.fingerprint, finished.reward)
        return len(self.rewards) < self.students


@dataclass(frozen=True)
class Searched:
    """One search.

    Attributes:
        best: Reward of the best student after each of `BUDGETS`.
        students: How many it trained.
        seconds: How long it took.
    """

    best: list[float]
    students: int
    seconds: float


def search(agent: str, table: str, seed: int) -> Searched:
    """Let an agent search a table."""
    task = Task(table)
    envs = task.vector_env()
    budget = Budget(max(BUDGETS))
    begin = time.perf_counter()
    made = algorithm(agent).make(envs, stage=task.policy_stage, seed=seed)
    made.set_logger(Logger(None, []))
    steps = MOST_UPDATES * envs.num_envs * envs.envs.stage.decisions
    made.learn(steps, callback=[PolicyUpdates(), budget], log_interval=NEVER)
    seen = np.maximum.accumulate(list(budget.rewards.values()))
    best = [float(seen[min(count, len(seen)) - 1]) for count in BUDGETS]
    return Searched(best, len(seen), time.perf_counter() - begin)


def kept_search(agent: str, table: str, seed: int, folder: Path | None) -> Searched:
    """The same, once for all: a search that a folder holds is read there."""
    path = None if folder is None else folder / f"{agent}-{table}-s{seed}.json"
    if path is not None and path.exists():
        return Searched(**json.loads(path.read_text()))
    found = search(agent, table, seed)
    if path is not None:
        write_json(path, asdict(found))
    return found


def random_search(table: Table) -> npt.NDArray[np.float64]:
    """The expectation of random search's best reward after each of `BUDGETS`, its students all distinct and feasible.

    Students are drawn as random episodes end with them: by exponential clocks whose rates are their shares of the episodes.
    """
    share = np.bincount(table.columns["row_of"], minlength=len(table))[table.feasible]
    values = table.values()[table.feasible]
    rng = np.random.default_rng(0)
    total = np.zeros(len(BUDGETS))
    for _ in range(RANDOM_SEARCHES):
        order = np.argsort(rng.exponential(size=len(values)) / share)[: max(BUDGETS)]
        total += np.maximum.accumulate(values[order])[np.array(BUDGETS) - 1]
    return total / RANDOM_SEARCHES


def main(
    agents: tuple[str, ...] = AGENTS,
    tables: tuple[str, ...] = (),
    seeds: int = 10,
    first_seed: int = 100,
    against: tuple[str, ...] = ("dyna",),
    workers: int = 2,
    kept: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        agents: Algorithms of this package.
        tables: Names of tables; all of the package by default.
        seeds: Searches of each agent on each table.
        first_seed: The first of their seeds.
        against: Agents that are compared with all others, seed by seed.
        workers: Processes; 0 for none but this.
        kept: A folder for searches as they end: the same call goes on where it was. Use another one for other code.
        out: The JSON file.
    """
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    names = tables or tuple(table_names())
    columns = tuple(f"gap closed at {budget}" for budget in BUDGETS)
    report = Report("equal_budgets", (*columns, "students", "seconds"), out)
    report.facts |= {"tables": list(names), "seeds": list(range(first_seed, first_seed + seeds)), "budgets": list(BUDGETS)}
    jobs = [(agent, name, seed) for agent in agents for name in names for seed in range(first_seed, first_seed + seeds)]
    closed: dict[str, npt.NDArray[np.float64]] = {}
    expected = {name: random_search(Table.load(name)) for name in names}
    with ExitStack() as opened:
        found: dict[tuple[str, str, int], Callable[[], Searched]] = {job: partial(kept_search, *job, kept) for job in jobs}
        if workers:
            pool = opened.enter_context(ProcessPoolExecutor(workers, initializer=begin_worker))
            found = {job: pool.submit(kept_search, *job, kept).result for job in jobs}
        for agent in agents:
            by_table = []
            for name in names:
                runs = [found[agent, name, seed]() for seed in range(first_seed, first_seed + seeds)]
                optimum = Table.load(name).best().value
                scores = (np.array([run.best for run in runs]) - expected[name]) / (optimum - expected[name])
                by_table.append(scores)
                measured = {column: scores[:, i].tolist() for i, column in enumerate(columns)}
                spent = {"students": [run.students for run in runs], "seconds": [round(run.seconds, 2) for run in runs]}
                report.add(f"{agent}, {name}", **measured, **spent)  # type: ignore[arg-type]
            closed[agent] = np.stack(by_table)  # (tables, seeds, budgets)
            report.add(f"{agent}, mean of all tables (95%)", **over_tables(closed[agent], columns))
    for rival in against:
        for agent in agents:
            if rival in closed and agent != rival:
                report.add(f"{rival} above {agent} (95%)", **over_tables(closed[rival] - closed[agent], columns))
    report.finish()


def over_tables(scores: npt.NDArray[np.float64], columns: Sequence[str]) -> dict[str, str]:
    """The mean over tables with the interval that the seeds give: each seed's mean over tables is one value."""
    means = scores.mean(0)
    return {column: str(Interval.of(means[:, i].tolist())) for i, column in enumerate(columns)}


if __name__ == "__main__":
    tyro.cli(main)
