"""The command `n2n`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from agents.benchmark_commands import BENCHMARK_COMMANDS
from agents.parsing import Command, ProblemOptions, parse
from agents.table_commands import TABLE_COMMANDS
from n2n_gym import __version__
from n2n_gym.errors import InputError, unknown
from n2n_gym.memory import keep_freed_memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 if the input is wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    keep_freed_memory()
    try:
        return _dispatch(words)
    except InputError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        Console(stderr=True).print("\nstopped; a run goes on where it was when the same command is given again")
        return 130


def _refuse(reason: str) -> int:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"n2n: error: {reason}")
    return 2


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        _print_help()
        return 0
    if words[0] == "--version":
        Console().print(f"n2n-gym {__version__}", highlight=False)
        return 0
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            COMMANDS[name].run(words[length:])
            return 0
    length = 2 if any(name.startswith(f"{words[0]} ") for name in COMMANDS) else 1
    raise unknown("command", " ".join(words[:length]), COMMANDS)


def _compress(words: list[str]) -> None:
    from agents.options import Search

    search = parse(Search, "compress", words)
    from agents.display import ProgressDisplay
    from agents.search import compress

    given = {word[2:].split("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    search = search.resumed(given)
    console = Console()
    command = shlex.join(["n2n", "compress", *words])
    result = compress(search, display=ProgressDisplay(console), command=command)
    _print_result(console, result, search.folder)


def _print_result(console: Console, result: dict[str, Any], folder: Path) -> None:
    table = Table(title=f"{result['teacher']['name']}, seed {result['seed']}")
    for heading in ("", "test accuracy", "parameters", "MACs", "ratio", "reward"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, title in (("teacher", "teacher"), ("stage1", "stage 1"), ("student", "student")):
        if part := result.get(name):
            ratio = f"{part['ratio']:.1f}x" if "ratio" in part else ""
            reward = "" if part.get("reward") is None else f"{part['reward']:.4f}"
            accuracy = "" if part["test_accuracy"] is None else f"{part['test_accuracy']:.2%}"
            table.add_row(title, accuracy, f"{part['parameters']:,}", f"{part['macs']:,}", ratio, reward)
    console.print(table)
    search = result["search"]
    console.print(
        f"{search['evaluations']} students: {search['trained']} trained, {search['from_store']} from the store, "
        f"{search['degenerate']} degenerate",
        highlight=False,
    )
    for file in ("curves.png", "architectures.png", "result.json"):
        if (folder / file).exists():
            console.print(str(folder / file), highlight=False, soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Regenerate a table or figure of the paper; the paper's numbers stand beside the measured ones."""

    target: tyro.conf.Positional[str]
    """table1 ... table5, figure3 ... figure13."""
    scale: str = "cpu"
    """paper (the paper's own protocol), cpu (a reduction that two cores can do within an hour), tiny (a test)."""
    out: str | None = None
    """Folder of runs and results, which the targets share; by default runs/reproduce-SCALE."""
    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda."""
    workers: int | str | None = None
    """Processes that train students side by side, by default one per core on a CPU, none on a GPU; or ray, or ray:ADDRESS of
    a cluster that is running."""


def _reproduce(words: list[str]) -> None:
    options = parse(Reproduce, "reproduce", words)
    from agents.display import ProgressDisplay
    from agents.reproduce import reproduce

    console = Console()
    document = reproduce(
        options.target,
        scale=options.scale,
        out=options.out,
        device=options.device,
        workers=options.workers,
        display=ProgressDisplay(console),
    )
    table = Table(title=document.title)
    for heading in document.columns:
        table.add_column(heading)
    for row in document.rows:
        table.add_row(*row)
    console.print(table)
    for note in document.notes:
        console.print(note, markup=False)


@dataclass(frozen=True, kw_only=True)
class TeacherTrain(ProblemOptions):
    """Train a teacher and keep it; one that is there is left alone."""

    device: str = "auto"
    """auto, cpu, cuda."""


def _teacher_train(words: list[str]) -> None:
    options = parse(TeacherTrain, "teacher train", words)
    from agents.display import ProgressDisplay, shown_teacher

    console = Console()
    with ProgressDisplay(console) as display:
        teacher = shown_teacher(options.problem, options.device, display)
    _print_teacher(console, teacher.name)


@dataclass(frozen=True)
class TeacherList:
    """List the teachers that are kept."""


def _teacher_list(words: list[str]) -> None:
    parse(TeacherList, "teacher list", words)
    from n2n_gym.models.teachers import teacher_facts, teacher_names, teachers_folder

    console = Console()
    table = Table(title=f"teachers in {teachers_folder()}")
    for heading in ("name", "parameters", "MACs", "val accuracy", "test accuracy"):
        table.add_column(heading, justify="left" if heading == "name" else "right", overflow="fold")
    for name in teacher_names():
        try:
            facts = teacher_facts(name)
        except InputError:
            table.add_row(name, "damaged")
            continue
        accuracies = (f"{facts[split]:.2%}" for split in ("val_accuracy", "test_accuracy"))
        table.add_row(name, f"{facts['parameters']:,}", f"{facts['macs']:,}", *accuracies)
    console.print(table)


@dataclass(frozen=True)
class TeacherShow:
    """Show what is known of a teacher that is kept."""

    name: tyro.conf.Positional[str]
    """One of `n2n teacher list`."""


def _teacher_show(words: list[str]) -> None:
    options = parse(TeacherShow, "teacher show", words)
    from n2n_gym.models.teachers import load_teacher

    load_teacher(options.name)
    _print_teacher(Console(), options.name)


def _print_teacher(console: Console, name: str) -> None:
    from n2n_gym.models.teachers import teacher_facts, teachers_folder

    console.print_json(data=teacher_facts(name))
    console.print(str(teachers_folder() / name), highlight=False, soft_wrap=True)


COMMANDS = {
    "compress": Command(_compress, "compress a teacher: Algorithm 1 and the final training of its best student"),
    "reproduce": Command(_reproduce, "regenerate a table or figure of the paper"),
    "teacher train": Command(_teacher_train, "train a teacher and keep it"),
    "teacher list": Command(_teacher_list, "list the teachers that are kept"),
    "teacher show": Command(_teacher_show, "show what is known of a teacher"),
    **TABLE_COMMANDS,
    **BENCHMARK_COMMANDS,
}


def _print_help() -> None:
    lines = ["usage: n2n COMMAND [options]", ""]
    lines += [f"  n2n {name:<18} {command.about}" for name, command in COMMANDS.items()]
    lines += ["", "n2n COMMAND --help lists a command's options."]
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


if __name__ == "__main__":
    sys.exit(main())
