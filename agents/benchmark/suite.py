"""All runs of a benchmark: several at a time, each kept as soon as it is done."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from agents.benchmark.report import Comparison
from agents.benchmark.results import Results
from agents.benchmark.runs import Run, name_of, run
from agents.benchmark.tasks import Task
from agents.display import Display
from n2n_gym.errors import InputError
from n2n_gym.files import read_json, write_json
from n2n_gym.table import table_names


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

    Each run is kept in `out/runs` as it ends: the same call goes on where it was. Then `out` gets a result file for each
    algorithm, and the comparison.

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
    if seeds < 1 or evaluations < 1:
        raise InputError(f"seeds and evaluations must be at least 1, not {seeds} and {evaluations}")
    chosen = [Task(name) for name in tasks or table_names()]
    if not chosen:
        raise InputError("there is no table to compare algorithms on; build one with n2n table build, then tasks=FILE.npz")
    names = {agent: name_of(agent) for agent in agents}
    if not names or len(set(names.values())) != len(agents):
        raise InputError(f"agents must be one or more different algorithms, not {', '.join(agents) or 'none'}")
    paths = {
        (agent, task.name, seed): out / "runs" / task.table.name / f"{names[agent]}-n{evaluations}-s{seed}.json"
        for task in chosen
        for agent in agents
        for seed in range(seeds)
    }
    _run_missing(paths, evaluations, workers, display or Display())
    everything = {key: Run.from_json(read_json(path, "benchmark run")) for key, path in paths.items()}
    results = []
    for agent in agents:
        own = [each for (whose, _, _), each in everything.items() if whose == agent]
        results.append(Results.of(own, chosen, facts))
        results[-1].save(out / f"{names[agent]}.json")
    comparison = Comparison(results, chosen)
    comparison.write(out, facts["command"])
    return comparison


def _run_missing(paths: dict[tuple[str, str, int], Path], evaluations: int, workers: int | None, display: Display) -> None:
    missing = {key: path for key, path in paths.items() if not path.exists()}
    display.start("runs", len(paths), len(paths) - len(missing))
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=context) as pool:
        futures: dict[Future[Run], tuple[str, str, int]] = {}
        for agent, task, seed in missing:
            futures[pool.submit(run, agent, task, seed, evaluations)] = (agent, task, seed)
        try:
            for done, future in enumerate(as_completed(futures), len(paths) - len(missing) + 1):
                finished = future.result()
                write_json(missing[futures[future]], finished.to_json())
                display.update(done, f"{finished.agent}, {finished.task}: best {finished.best:.4f}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
