"""`n2n benchmark`: compare algorithms on tables, check what others submit, and make the leaderboard."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table

from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Compare algorithms on tables; a benchmark that was stopped goes on where it was."""

    agents: tuple[str, ...] = ()
    """Algorithms of this package, all of them (all), and .py files of your own; by default all of this package's."""
    tasks: tuple[str, ...] = ()
    """Tables by name, or .npz files; by default all of this package's (n2n table list)."""
    seeds: int = 20
    """Runs of each algorithm on each table."""
    evaluations: int = 500
    """Students that a run may look at."""
    out: str = "runs/benchmark"
    """Folder of runs, results, leaderboard and figures."""
    workers: int | None = None
    """Runs side by side; by default one per core."""


def _benchmark(words: list[str]) -> None:
    options = parse(Benchmark, "benchmark", words)
    screen = console()
    with ProgressDisplay(screen):  # what is imported takes seconds
        from agents.algorithms.registry import ALGORITHMS
        from agents.benchmark.runs import versions
        from agents.benchmark.suite import benchmark
        from n2n_gym.system.machine import machine

    agents: list[str] = []
    for agent in options.agents or ("all",):
        agents += ALGORITHMS if agent == "all" else [agent]
    out = Path(options.out).expanduser()
    command = shlex.join(["n2n", "benchmark", *words])
    with ProgressDisplay(screen) as display:
        comparison = benchmark(
            tuple(agents),
            tasks=options.tasks,
            seeds=options.seeds,
            evaluations=options.evaluations,
            out=out,
            workers=options.workers,
            facts={"command": command, "machine": machine(), "versions": versions()},
            display=display,
        )
    shown = Table(title=f"interquartile means, shares of the optimum, {options.evaluations} students")
    for heading in ("algorithm", "area", "best student", "policy"):
        shown.add_column(heading, justify="left" if heading == "algorithm" else "right")
    for agent in comparison.agents:
        policy = comparison.policy[agent]
        cells = (f"{each.mean:.4f}" if each else "-" for each in (comparison.area[agent], comparison.best[agent], policy))
        shown.add_row(agent, *cells)
    screen.print(shown)
    for file in ("LEADERBOARD.md", "regret.png", "profiles.png"):
        screen.print(str(out / file), soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Play a submitted result's episodes again, and refuse numbers that do not follow from them; with --algorithm also
    episodes that are not its own.
    """

    files: tyro.conf.Positional[tuple[str, ...]]
    """Result files of `n2n benchmark`."""
    tasks: tuple[str, ...] = ()
    """What they must be on; by default all tables of this package."""
    seeds: int = 20
    """Runs that there must be on each table."""
    evaluations: int = 500
    """Students that each run must have looked at."""
    algorithm: str | None = None
    """The algorithm's .py file, or its name if it is of this package: some runs are made again and must come out the same."""
    again: int = 2
    """How many on each table, drawn at random."""


def _validate(words: list[str]) -> None:
    options = parse(Validate, "benchmark validate", words)
    from agents.benchmark.results import Results, validate
    from agents.benchmark.tasks import tasks_by_name

    tasks = tasks_by_name(options.tasks)
    for file in options.files:
        results = Results.load(Path(file).expanduser())
        validate(
            results,
            tasks,
            evaluations=options.evaluations,
            seeds=options.seeds,
            algorithm=options.algorithm,
            again=options.again,
        )
        console().print(f"{file}: {results.agent}, {len(results.runs)} runs: valid", soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make leaderboard and figures from result files."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """Result files of `n2n benchmark`."""
    tasks: tuple[str, ...] = ()
    """What they are on; by default all tables of this package."""
    out: str = "runs/benchmark"
    """Folder of leaderboard and figures."""


def _report(words: list[str]) -> None:
    options = parse(Report, "benchmark report", words)
    from agents.benchmark.report import Comparison
    from agents.benchmark.results import Results, validate
    from agents.benchmark.tasks import tasks_by_name

    tasks = tasks_by_name(options.tasks)
    results = [Results.load(Path(file).expanduser()) for file in options.files]
    for each in results:
        validate(each, tasks, evaluations=each.evaluations, seeds=len(each.of_task(tasks[0].table.name)))
    Comparison(results, tasks).write(Path(options.out).expanduser(), shlex.join(["n2n", "benchmark", "report", *words]))
    console().print(str(Path(options.out) / "LEADERBOARD.md"), soft_wrap=True)


COMMANDS = {
    "benchmark": Command(_benchmark, "compare algorithms on tables, whose best student is known", lambda: Benchmark),
    "benchmark validate": Command(_validate, "check a submitted result", lambda: Validate),
    "benchmark report": Command(_report, "make the leaderboard from result files", lambda: Report),
}
