"""`n2n benchmark`: compare algorithms on tables, check what others submit, and make the leaderboard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from agents.commands.output import command_for_others
from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay
from n2n_gym.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Compare algorithms on tables; a benchmark that was stopped goes on where it was."""

    agents: tuple[str, ...] = ()
    """Algorithms of this package, all that are installed (all), and .py files of your own; by default all."""
    tasks: tuple[str, ...] = ()
    """Tables by name, or .npz files, or samples of larger spaces, or their .json files; test and large, the default, or
    development, for the package's of the kind: settings are chosen on the last."""
    tracks: tuple[str, ...] = ("reward", "noisy", "smallest", "macs", "large")
    """What is asked: reward, noisy, smallest and macs of each table, large of each sample."""
    seeds: int = 10
    """Runs of each algorithm on each task."""
    budgets: tuple[int, ...] = (10, 25, 50, 100)
    """After how many distinct feasible students a run is judged; it ends with the last."""
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

    ALGORITHMS.load_offered()
    agents: list[str] = []
    for agent in options.agents or ("all",):
        agents += _installed(screen, ALGORITHMS) if agent == "all" else [agent]
    out = Path(options.out).expanduser()
    command = command_for_others("n2n", "benchmark", *words)
    with _mistakes_shown(), ProgressDisplay(screen) as display:
        comparison = benchmark(
            tuple(agents),
            tasks=options.tasks,
            tracks=options.tracks,
            seeds=options.seeds,
            budgets=options.budgets,
            out=out,
            workers=options.workers,
            facts={"command": command, "machine": machine(), "versions": versions()},
            display=display,
        )
    for standing in comparison.standings:
        shown = Table(title=f"{standing.track}: share of the gap to random search closed")
        for heading in ("algorithm", "mean", *(f"at {budget}" for budget in standing.budgets), "rank", "runs"):
            shown.add_column(heading, justify="left" if heading == "algorithm" else "right")
        for agent in standing.agents:
            closed = (standing.closed[agent], *(standing.at(agent, budget) for budget in standing.budgets))
            rank = f"{standing.ranks[agent].mean:.1f}" if agent in standing.ranks else "-"
            shown.add_row(agent, *(f"{each.mean:.2f}" for each in closed), rank, str(standing.counts[agent]))
        screen.print(shown)
    for file in ("LEADERBOARD.md", "curves.png", "profiles.png", "improvement.png"):
        screen.print(str(out / file), soft_wrap=True)


@contextlib.contextmanager
def _mistakes_shown() -> Iterator[None]:
    """Shows where an algorithm of one's own failed, above the line that says so."""
    from agents.benchmark.runs import AlgorithmError

    try:
        yield
    except AlgorithmError as error:
        console(stderr=True).print(error.where, soft_wrap=True)
        raise


def _installed(screen: Console, agents: Iterable[str]) -> Iterator[str]:
    """Those that lack no library; of the others it is said."""
    from agents.algorithms.registry import check_agent

    for agent in agents:
        try:
            check_agent(agent, None)
            yield agent
        except InputError as error:
            screen.print(f"{agent} is left out: {error}", soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Look a submitted result's students up again, and refuse numbers that do not follow from them; with --algorithm also
    students that are not its own.
    """

    files: tyro.conf.Positional[tuple[str, ...]]
    """Result files of `n2n benchmark`."""
    tasks: tuple[str, ...] = ()
    """Tables that they must be on, as of n2n benchmark."""
    tracks: tuple[str, ...] = ("reward", "noisy", "smallest", "macs", "large")
    """What must have been asked."""
    seeds: int = 10
    """Runs that there must be on each task."""
    budgets: tuple[int, ...] = (10, 25, 50, 100)
    """After how many distinct feasible students each run must be judged."""
    algorithm: str | None = None
    """The algorithm's .py file, or its name if it is of this package: some runs are made again and must come out the same."""
    again: int = 2
    """How many on each task, drawn at random."""


def _validate(words: list[str]) -> None:
    options = parse(Validate, "benchmark validate", words)
    from agents.benchmark.catalogue import tasks_by_name
    from agents.benchmark.results import Results, validate

    if not options.files:
        raise InputError("name the result files to check, such as runs/benchmark/agents/*.json")
    tasks = tasks_by_name(options.tasks, options.tracks)
    for file in options.files:
        results = Results.load(Path(file).expanduser())
        with _mistakes_shown():
            validate(
                results,
                tasks,
                budgets=options.budgets,
                seeds=options.seeds,
                algorithm=options.algorithm,
                again=options.again,
            )
        console().print(f"{file}: {results.agent}, {len(results.runs)} runs: valid", soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make leaderboard and figures from result files."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """Result files of `n2n benchmark`; an algorithm's runs on different tasks may lie in several."""
    tasks: tuple[str, ...] = ()
    """Tables that they are compared on, as of n2n benchmark; by default those of the files."""
    tracks: tuple[str, ...] = ()
    """What was asked of each; with --tasks all by default, else as the files have it."""
    against: str | None = None
    """Algorithm that the others' differences are taken to, task by task; by default the first of each track."""
    out: str = "runs/benchmark"
    """Folder of leaderboard and figures."""


def _report(words: list[str]) -> None:
    options = parse(Report, "benchmark report", words)
    from agents.benchmark.catalogue import tasks_by_name
    from agents.benchmark.report import Comparison
    from agents.benchmark.results import Results, validate

    if not options.files:
        raise InputError("name the result files to compare, such as runs/benchmark/agents/*.json")
    by_agent: dict[str, Results] = {}
    for file in options.files:  # a pattern that no shell has expanded, as leaderboards tell the command
        named = Path(file).expanduser()
        for path in sorted(named.parent.glob(named.name)) or [named]:
            found = Results.load(path)
            before = by_agent.get(found.agent)
            by_agent[found.agent] = found if before is None else before.joined(found)
    if options.tasks:
        tasks = tasks_by_name(options.tasks, options.tracks)
    else:
        tasks = list(dict.fromkeys(task for each in by_agent.values() for task in each.tasks(options.tracks)))
        try:
            _ = [task.space for task in tasks]
        except InputError as error:
            raise InputError(f"{error}; name the files of tables of your own: --tasks") from None
    results = [each.on(tasks) for each in by_agent.values()]
    for each in results:
        for track in dict.fromkeys(task.track for task in tasks):
            ran = each.ran([task for task in tasks if task.track == track])
            seeds = max((len(each.of_task(task.name)) for task in ran), default=0)
            validate(each.on(ran), ran, budgets=each.budgets, seeds=seeds)
    told = command_for_others("n2n", "benchmark", "report", *_whole_folders(words))
    Comparison(results, tasks, options.against).write(Path(options.out).expanduser(), told)
    console().print(str(Path(options.out) / "LEADERBOARD.md"), soft_wrap=True)


def _whole_folders(words: list[str]) -> list[str]:
    """Words of a command, with `FOLDER/*.json` for several files that are all which a folder has."""
    short: list[str] = []
    for word in words:
        folder = Path(word).parent
        whole = sorted(map(str, folder.glob("*.json")))
        several = len(whole) > 1 and set(whole) <= set(words) and word in whole
        short.append(str(folder / "*.json") if several else word)
    return list(dict.fromkeys(short))


COMMANDS = {
    "benchmark": Command(_benchmark, "compare algorithms on tables, whose best student is known", lambda: Benchmark),
    "benchmark validate": Command(_validate, "check a submitted result", lambda: Validate),
    "benchmark report": Command(_report, "make the leaderboard from result files", lambda: Report),
}
