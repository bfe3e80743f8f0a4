"""`n2n teacher`: train teachers, import them, and look at those that are kept."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from agents.commands.output import Listing
from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay, shown_teacher
from n2n_gym.errors import InputError
from n2n_gym.networks.imported import ImportSettings
from n2n_gym.problem import ProblemSettings
from n2n_gym.settings import DeviceSettings, values_of


@dataclass(frozen=True, kw_only=True)
class TeacherTrain(DeviceSettings, ProblemSettings):
    """Train a teacher and keep it; one that is there is left alone."""

    again: bool = False
    """Train it also if it is there, for example because it is damaged; the new one takes its place."""


def _teacher_train(words: list[str]) -> None:
    options = parse(TeacherTrain, "teacher train", words)
    screen = console()
    problem = options.problem
    with ProgressDisplay(screen) as display:
        from n2n_gym.teachers.saved import put_aside

        if options.again and not problem.trained_here:
            raise InputError(f"{problem.teacher} was imported, not trained here; n2n teacher import --again imports it again")
        with put_aside(problem.name) if options.again else nullcontext():
            teacher = shown_teacher(problem, options.device, display)
    _print_teacher(screen, teacher.name)


@dataclass(frozen=True, kw_only=True)
class TeacherImport(ImportSettings):
    """Import a network that you trained; it is kept as it is, and found by its name as --teacher.

    It is traced, rebuilt and compared: what comes out computes the same, or each operator that stands in the way is named.
    """

    source: tyro.conf.Positional[str]
    """path/to/file.py:callable or package.module:callable, which takes nothing and gives a torch module: your code is run for
    it. Or torchvision:NAME, or timm:NAME."""
    name: str
    """What it will be called."""
    device: str = "auto"
    """Where it is measured: auto, cpu, cuda."""
    weights: str | None = None
    """Its weights: a .safetensors file, or a state_dict that torch.save wrote; by default those that the module has."""
    again: bool = False
    """Import it also if there is a teacher of that name, for example because it is damaged; the new one takes its place."""


def _teacher_import(words: list[str]) -> None:
    options = parse(TeacherImport, "teacher import", words)
    screen = console()
    with ProgressDisplay(screen) as display:
        from n2n_gym.teachers.imported import add_found, check_name
        from n2n_gym.teachers.modules import find_module
        from n2n_gym.teachers.saved import put_aside
        from n2n_gym.teachers.weights import load_weights

        with put_aside(options.name) if options.again else nullcontext():
            check_name(options.name)
            found = find_module(options.source, options.classes)
            if options.weights is not None:
                load_weights(found.module, Path(options.weights).expanduser())
            elif found.fresh:
                display.say(f"{options.source} has random weights; give those that were trained with --weights")
            settings = ImportSettings(**values_of(options, ImportSettings))
            added = add_found(found, settings, name=options.name, source=options.source, weights=options.weights)
    _print_teacher(screen, added)


@dataclass(frozen=True)
class TeacherList:
    """List the teachers that are kept."""


def _teacher_list(words: list[str]) -> None:
    parse(TeacherList, "teacher list", words)
    from n2n_gym.models.checkpoint import check_weights
    from n2n_gym.system.files import teachers_folder
    from n2n_gym.teachers.saved import teacher_names

    names = Listing(f"teachers in {teachers_folder()}", ("name", "parameters", "MACs", "val accuracy", "test accuracy"))
    damaged = []
    for name in teacher_names():
        try:
            facts = check_weights(teachers_folder() / name)["facts"]
        except InputError as error:
            names.add(name, "damaged")
            damaged.append(str(error))
            continue
        measured = (facts[split] for split in ("val_accuracy", "test_accuracy"))
        accuracies = ("" if accuracy is None else f"{accuracy:.2%}" for accuracy in measured)
        names.add(name, f"{facts['parameters']:,}", f"{facts['macs']:,}", *accuracies)
    names.print()
    for line in damaged:
        console().print(line)


@dataclass(frozen=True)
class TeacherShow:
    """Show what is known of a teacher that is kept."""

    name: tyro.conf.Positional[str]
    """One of `n2n teacher list`."""


def _teacher_show(words: list[str]) -> None:
    options = parse(TeacherShow, "teacher show", words)
    from n2n_gym.teachers.saved import load_saved

    load_saved(options.name)
    _print_teacher(console(), options.name)


def _print_teacher(screen: Console, name: str) -> None:
    from n2n_gym.system.files import teachers_folder
    from n2n_gym.teachers.saved import teacher_facts

    facts = teacher_facts(name)
    screen.print_json(data={key: value for key, value in facts.items() if key != "places"})
    screen.print(str(teachers_folder() / name), soft_wrap=True)


COMMANDS = {
    "teacher train": Command(_teacher_train, "train a teacher and keep it", lambda: TeacherTrain),
    "teacher import": Command(_teacher_import, "import a network that you trained", lambda: TeacherImport),
    "teacher list": Command(_teacher_list, "list the teachers that are kept", lambda: TeacherList),
    "teacher show": Command(_teacher_show, "show what is known of a teacher", lambda: TeacherShow),
}
