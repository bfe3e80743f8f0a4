"""`n2n table`: build tables of whole spaces, and look into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table as Shown

from agents.commands.output import Listing, command_for_others
from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay, shown_teacher
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem, ProblemSettings
from n2n_gym.settings import RecipeSettings, WorkerSettings


@dataclass(frozen=True, kw_only=True)
class TableBuild(WorkerSettings, RecipeSettings, ProblemSettings):
    """Train every student of a space with several seeds; a build that was stopped goes on where it was."""

    out: str
    """The table's .npz file; what is done is kept beside it, in a .sqlite file."""
    stage: str = "removal"
    """removal (of the teacher's layers), shrink, or both in one episode."""
    architecture: str | None = None
    """With --stage shrink: file of the stage-1 student to start from; by default the teacher itself."""
    seeds: int = 5
    """How many times each student is trained: the first half is for searches to see, the rest says what students are worth."""
    joined: bool = False
    """Train a student with all seeds at once: 1.5 to 2.1 times as fast with small networks; accuracies are known only at the
    end, not after each epoch."""
    benchmark: str | None = None
    """One of the benchmark's tables by name (n2n table list), built as it is defined, instead of the options above."""


def _build(words: list[str]) -> None:
    options = parse(TableBuild, "table build", words)
    screen = console()
    with ProgressDisplay(screen):  # what is imported takes seconds
        from n2n_gym.system.machine import machine
        from n2n_gym.tables.build import build_table
        from n2n_gym.tables.definitions import definition_by_name

    out = Path(options.out).expanduser()
    if out.suffix != ".npz":
        raise InputError(f"a table is a .npz file, not {options.out}")
    problem, stage, recipe, seeds, joined = options.problem, options.stage, options.recipe, options.seeds, options.joined
    if options.benchmark is not None:
        if options != TableBuild(out=options.out, benchmark=options.benchmark, workers=options.workers):
            raise InputError("--benchmark says teacher, data, stage, recipe, seeds and how they are trained: leave that out")
        defined = definition_by_name(options.benchmark)
        problem, stage, recipe, seeds, joined = (
            defined.problem,
            defined.stage,
            defined.recipe,
            defined.trainings,
            defined.joined,
        )
    with ProgressDisplay(screen) as display:
        table = build_table(
            problem,
            stage,
            out,
            seeds=range(seeds),
            architecture=options.architecture,
            recipe=recipe,
            joined=joined,
            workers=options.workers,
            facts={"command": command_for_others("n2n", "table", "build", *words), "machine": machine()},
            prepare=lambda: shown_teacher(problem, "cpu", display),
            on_progress=_shown_in(display),
        )
    _print_facts(screen, table.name, table.statistics())
    screen.print(str(out), soft_wrap=True)


@dataclass(frozen=True)
class TableList:
    """List the tables that come with the package."""


def _list(words: list[str]) -> None:
    parse(TableList, "table list", words)
    from n2n_gym.tables import Table, table_names
    from n2n_gym.tables.definitions import DEFINITIONS

    names = Listing("tables", ("name", "recipe", "episodes", "students", "seeds", "best reward", "its parameters"))
    for name in table_names():
        table = Table.load(name)
        best = table.best()
        episodes = f"{len(table.columns['row_of']):,}"
        cells = (episodes, f"{len(table):,}", str(len(table.seeds)), f"{best.value:.4f}", f"{best.evaluation.parameters:,}")
        names.add(name, table.facts["recipe"]["name"], *cells)
    names.print()
    if missing := [name for name in DEFINITIONS if name not in table_names()]:
        said = f"The benchmark's other tables, to be built (n2n table build --benchmark NAME): {', '.join(missing)}"
        console().print(said, soft_wrap=True)


@dataclass(frozen=True)
class TableShow:
    """Show what a table is of, its statistics and its best students."""

    name: tyro.conf.Positional[str]
    """One of `n2n table list`, or a .npz file."""
    best: int = 10
    """How many of the best students are listed."""


def _show(words: list[str]) -> None:
    options = parse(TableShow, "table show", words)
    from n2n_gym.tables import Table

    if options.best < 1:
        raise InputError(f"best must be at least 1, not {options.best}")
    table = Table.load(options.name)
    screen = console()
    recorded = ("problem", "seeds", "recipe", "versions", "started", "finished", "command", "machine")
    _print_facts(screen, table.name, {key: table.facts[key] for key in recorded if key in table.facts} | table.statistics())
    shown = Shown(title="best students, means over the seeds")
    for heading in ("reward", "val accuracy", "test accuracy", "parameters", "MACs", "actions"):
        shown.add_column(heading, justify="left" if heading == "actions" else "right")
    values = table.values()
    trained = [row for row in values.argsort()[::-1].tolist() if table.feasible[row]]
    for row in trained[: options.best]:
        found = table.evaluation(row)
        accuracies = (f"{found.accuracy:.2%}", f"{found.test_accuracy:.2%}")
        sizes = (f"{found.parameters:,}", f"{found.macs:,}")
        shown.add_row(f"{values[row]:.4f}", *accuracies, *sizes, "".join(map(str, table.actions(row))))
    screen.print(shown)


@dataclass(frozen=True, kw_only=True)
class TableCheck(WorkerSettings):
    """Train some of a table's students again, and compare: none may differ by more than the tolerance.

    Trainings repeat to the bit on processors that compute alike; elsewhere they differ by rounding, and so a little.
    """

    name: tyro.conf.Positional[str]
    """One of `n2n table list`, or a .npz file."""
    students: int = 20
    """How many, drawn at random."""
    seed: int = 0
    """Of the draw."""
    tolerance: float = 1.0
    """Points of accuracy by which a training may differ."""
    out: str | None = None
    """A JSON file to write the trainings to."""


def _check(words: list[str]) -> None:
    options = parse(TableCheck, "table check", words)
    screen = console()
    with ProgressDisplay(screen):  # what is imported takes seconds
        from n2n_gym.system.device import torch_device
        from n2n_gym.system.files import write_json
        from n2n_gym.system.machine import machine
        from n2n_gym.system.versions import library_versions
        from n2n_gym.tables import Table
        from n2n_gym.tables.check import retrain
        from n2n_gym.teachers.saved import ready_teacher

    table = Table.load(options.name)
    problem = Problem(**table.facts["problem"])
    with ProgressDisplay(screen) as display:

        def prepare() -> None:
            shown_teacher(problem, "cpu", display)
            display.start("trainings", options.students)

        done = retrain(
            table,
            options.students,
            seed=options.seed,
            workers=options.workers,
            prepare=prepare,
            on_progress=lambda trained: display.update(trained, ""),
        )
    shown = Shown(title=f"{table.name}: trainings repeated")
    for heading in ("row", "seed", "val recorded", "again", "test recorded", "again", "points apart", "same sizes"):
        shown.add_column(heading, justify="right")
    for each in done:
        values = (each.recorded.accuracy, each.found.accuracy, each.recorded.test_accuracy, each.found.test_accuracy)
        accuracies = ("-" if value is None else f"{value:.2%}" for value in values)
        sizes = "yes" if each.same_sizes else "NO"
        shown.add_row(str(each.row), str(each.seed), *accuracies, f"{each.points:.2f}", sizes)
    screen.print(shown)
    teacher = ready_teacher(problem, device=torch_device("cpu"))
    same_teacher = teacher.checkpoint.fingerprint == table.facts["teacher"]["fingerprint"]
    if not same_teacher:
        screen.print("the teacher here has other weights than the table's: it was trained on another kind of processor")
    apart = [each.points for each in done]
    agree = max(apart) <= options.tolerance and all(each.same_sizes for each in done)
    equal = sum(points == 0 and each.same_sizes for points, each in zip(apart, done, strict=True))
    if options.out is not None:
        columns = ("row", "seed", "points", "same_sizes")
        trainings = [
            {
                **{column: getattr(each, column) for column in columns},
                "recorded": [each.recorded.accuracy, each.recorded.test_accuracy],
                "found": [each.found.accuracy, each.found.test_accuracy],
            }
            for each in done
        ]
        facts = {"table": table.name, "fingerprint": table.fingerprint, "same_teacher": same_teacher, "agree": agree}
        story = {
            "command": command_for_others("n2n", "table", "check", *words),
            "machine": machine(),
            "versions": library_versions(),
        }
        write_json(Path(options.out).expanduser(), {**facts, **story, "trainings": trainings})
    said = f"{equal} of {len(done)} trainings are equal, the most that one differs by is {max(apart):.2f} points"
    if not agree:
        raise InputError(f"{table} does not repeat: {said}")
    screen.print(said)


@dataclass(frozen=True, kw_only=True)
class TableSample(WorkerSettings, RecipeSettings, ProblemSettings):
    """Train random students of a space that is too large for a table: what n2n benchmark asks in its track large, and models
    of accuracy learn from. What was stopped goes on where it was.
    """

    out: str
    """The sample's .json file; what is done is kept beside it, in a .sqlite file."""
    stage: str = "removal"
    """removal (of the teacher's layers), shrink, or both in one episode."""
    students: int = 1_000
    """How many distinct feasible ones."""
    trainings: int = 2
    """How many times each is trained; the last says what it is worth, the others are for searches to see."""
    joined: bool = False
    """Train a student with all seeds at once: faster with small networks."""


def _sample(words: list[str]) -> None:
    options = parse(TableSample, "table sample", words)
    screen = console()
    with ProgressDisplay(screen):  # what is imported takes seconds
        from n2n_gym.tables.sample import Sample, build_sample
        from n2n_gym.tables.surrogate import Surrogate

    out = Path(options.out).expanduser()
    if out.suffix != ".json":
        raise InputError(f"a sample is a .json file, not {options.out}")
    with ProgressDisplay(screen) as display:
        path = build_sample(
            out.stem,
            options.problem,
            options.stage,
            out.parent,
            students=options.students,
            recipe=options.recipe,
            trainings=options.trainings,
            joined=options.joined,
            workers=options.workers,
            prepare=lambda: shown_teacher(options.problem, "cpu", display),
            on_progress=_shown_in(display),
        )
    sample = Sample.load(path)
    agreement = asdict(Surrogate(sample, truth=True).agreement)
    _print_facts(screen, sample.name, {"students": len(sample.students), "failed": sample.failed, "predicted": agreement})
    screen.print(str(path), soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class TableTransfer(WorkerSettings):
    """Train students of 48 generated tasks, for algorithms that learn across tasks; what was stopped goes on where it was."""

    out: str
    """Folder of the tasks' files; what is done is kept beside them."""
    students: int = 100
    """Distinct students of each task."""
    first: int = 0
    """The first task that is built: several machines may share the work."""
    last: int | None = None
    """The one after the last that is built; by default all are."""
    seed: int = 0
    """Draws the tasks."""


def _transfer(words: list[str]) -> None:
    options = parse(TableTransfer, "table transfer", words)
    with ProgressDisplay(console()) as display:
        from n2n_gym.tables.transfer import TASKS, build_transfer_task, transfer_tasks

        last = TASKS if options.last is None else options.last
        if not 0 <= options.first < last <= TASKS:
            raise InputError(f"there are tasks 0 to {TASKS - 1}, none from {options.first} to before {last}")
        tasks = transfer_tasks(options.seed)[options.first : last]
        folder = Path(options.out).expanduser()

        for task in tasks:
            path = build_transfer_task(
                task, folder, students=options.students, workers=options.workers, on_progress=_shown_in(display)
            )
            display.say(str(path))


def _shown_in(display: ProgressDisplay) -> Callable[[int, int], None]:
    """Shows how many trainings are done."""

    def progress(done: int, trainings: int) -> None:
        if done == 0:
            display.start("trainings", trainings)
        else:
            display.update(done, "")

    return progress


def _print_facts(screen: Console, name: str, facts: dict[str, Any]) -> None:
    screen.print(name)
    screen.print_json(data=facts)


COMMANDS = {
    "table build": Command(_build, "train every student of a space, for a benchmark with a known optimum", lambda: TableBuild),
    "table list": Command(_list, "list the tables that come with the package", lambda: TableList),
    "table show": Command(_show, "show a table's statistics and its best students", lambda: TableShow),
    "table check": Command(_check, "train some of a table's students again, and compare", lambda: TableCheck),
    "table sample": Command(
        _sample, "train some students of a space that is too large for a table, to compare on", lambda: TableSample
    ),
    "table transfer": Command(
        _transfer, "train students of generated tasks, for algorithms that learn across tasks", lambda: TableTransfer
    ),
}
