"""`n2n teacher`: train teachers, and look at those that are kept."""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

from agents.commands.parsing import Command, parse
from n2n_gym.errors import InputError
from n2n_gym.problem import ProblemSettings
from n2n_gym.settings import DeviceSettings


@dataclass(frozen=True, kw_only=True)
class TeacherTrain(DeviceSettings, ProblemSettings):
    """Train a teacher and keep it; one that is there is left alone."""


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
    from n2n_gym.teachers.saved import teacher_facts, teacher_names, teachers_folder

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
    from n2n_gym.teachers.saved import load_teacher

    load_teacher(options.name)
    _print_teacher(Console(), options.name)


def _print_teacher(console: Console, name: str) -> None:
    from n2n_gym.teachers.saved import teacher_facts, teachers_folder

    console.print_json(data=teacher_facts(name))
    console.print(str(teachers_folder() / name), highlight=False, soft_wrap=True)


COMMANDS = {
    "teacher train": Command(_teacher_train, "train a teacher and keep it"),
    "teacher list": Command(_teacher_list, "list the teachers that are kept"),
    "teacher show": Command(_teacher_show, "show what is known of a teacher"),
}
