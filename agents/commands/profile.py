"""`n2n teacher profile`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay, duration, short
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem, ProblemSettings
from n2n_gym.settings import DeviceSettings, RecipeSettings, values_of

FOOTNOTE = (
    "lost: points of accuracy without any training; saved: parameters; * some weights are new, their shape has changed; "
    "lost is told against the teacher with batch statistics as those of the changed networks"
)


@dataclass(frozen=True, kw_only=True)
class TeacherProfile(RecipeSettings, DeviceSettings, ProblemSettings):
    """What each layer of a teacher is worth, before any search: its cost, and the accuracy lost when it alone is changed."""

    teacher: tyro.conf.Positional[str] = field()  # without the default that it has elsewhere
    """One of n2n teacher list, which knows its data; or what --teacher takes elsewhere, with the options of its data."""
    device: str = "auto"
    """Where the teacher is measured, and trained if it is not there: auto, cpu, cuda."""
    recipe: str = "fast"
    images: int = 1_000
    """Validation images that accuracies are measured on, at most."""
    renewed: int = 1_000
    """Training images on which batch normalisation's statistics are measured anew after a change; 0 leaves the teacher's."""
    out: str | None = None
    """Folder of profile.json and profile.png; by default profiles/NAME."""


def _profile(words: list[str]) -> None:
    options = parse(TeacherProfile, "teacher profile", words)
    screen = console()
    with ProgressDisplay(screen):  # what is imported takes seconds
        from agents.search.profile import profile
        from agents.search.profile_picture import draw_profile
        from n2n_gym.system.files import write_json

    problem = _saved_problem(options) or options.problem
    found = profile(
        problem,
        images=options.images,
        renewed=options.renewed,
        recipe=options.recipe,
        device=options.device,
        display=ProgressDisplay(screen),
    )
    folder = Path(options.out or f"profiles/{found['name']}").expanduser()
    write_json(folder / "profile.json", found)
    draw_profile(folder / "profile.png", found)
    _print_profile(screen, found)
    for name in ("profile.png", "profile.json"):
        screen.print(str(folder / name), soft_wrap=True)


def _saved_problem(options: TeacherProfile) -> Problem | None:
    """Teacher and data of a teacher that is kept for certain data, by its whole name; None for another name.

    Raises:
        InputError: If other data were asked for.
    """
    from n2n_gym.teachers.saved import trained_for

    name = options.teacher
    if (found := trained_for(name)) is None:
        return None
    asked = values_of(options, ProblemSettings)
    if given := [
        field.name for field in fields(ProblemSettings) if field.name != "teacher" and asked[field.name] != field.default
    ]:
        raise InputError(
            f"{name} was trained for data of its own; leave out {', '.join(given)}, or name its network: {found.teacher}"
        )
    return found


def _print_profile(screen: Console, found: dict[str, Any]) -> None:
    from agents.search.profile_picture import layer_name

    title = f"{found['name']}: {found['accuracy']:.2%} of {found['images']:,} validation images"
    table = Table(title=title, caption=f"{FOOTNOTE}; batch statistics {found['statistics']}", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("layer", "shape", "param.", "MACs", "time", "removed: lost", "saved", "halved: lost", "saved"):
        first = heading == "layer"
        table.add_column(heading, justify="left" if first else "right", no_wrap=first, overflow="fold")
    for row in found["layers"]:
        place = row["place"] or {}
        where = f" ({Path(place['file']).name}:{place['line']})" if place.get("file") else ""
        table.add_row(
            f"{layer_name(row)}{where}",
            "x".join(map(str, row["shape"])),
            short(row["parameters"]),
            short(row["macs"]),
            f"{row['time_share']:.0%}",
            *_cells(row["removed"]),
            *_cells(row["halved"]),
        )
    screen.print(table)
    decisions = ", ".join(f"{name} {of['all']} ({of['free']} free)" for name, of in found["decisions"].items())
    screen.print(f"decisions: {decisions}", soft_wrap=True)
    search = found["search"]
    screen.print(
        f"a search would take about {duration(search['seconds'])} here, final trainings up to "
        f"{duration(search['final_seconds_at_most'])} more: {search['assumes']}",
        soft_wrap=True,
    )


def _cells(change: dict[str, Any] | None) -> tuple[str, str]:
    if change is None:
        return "", ""
    if "reason" in change:
        return change["reason"].partition(":")[0], ""
    from agents.search.profile_picture import kept

    fresh = "*" if change["inherited"] < 1 else ""
    left = f" ({outputs})" if (outputs := kept(change)) else ""
    return f"{100 * change['lost']:.1f}{fresh}{left}", short(change["parameters"])


COMMANDS = {
    "teacher profile": Command(
        _profile, "what each layer of a teacher is worth, and what a search would cost", lambda: TeacherProfile
    )
}
