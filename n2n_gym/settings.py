"""Settings: frozen dataclasses that inherit from one another, so that an option is spelled, and explained, once."""

from __future__ import annotations

import ast
import inspect
import itertools
import os
import textwrap
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """Where networks are trained."""

    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """By whom students are trained."""

    workers: int | str | None = None
    """Processes that train students side by side: a number, 0 for none, by default one per core on a CPU and none on a GPU; or
    ray, or ray:ADDRESS of a cluster that is running."""


@dataclass(frozen=True, kw_only=True)
class RecipeSettings:
    """How students are trained."""

    recipe: str = "paper"
    """How students are trained before they are judged: paper (5 epochs of distillation), fast (2 epochs in one cycle of
    the rate, with labels; it ranks them better, see docs/speed.md), steady (as fast, but 5 epochs: less of it is luck),
    inherit (2 epochs, from the teacher's weights), or sample (as inherit, in one cycle, on at most 8,000 images an epoch)."""


def write_paths_as_text(settings: Any) -> None:
    """Make the paths among a dataclass's fields text, in Python both are taken: settings stay plain."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, os.PathLike):
            object.__setattr__(settings, field.name, os.fspath(value))


def values_of(settings: Any, part: type[Any]) -> dict[str, Any]:
    """The values of those fields of some settings that are a part's too, by name."""
    return {field.name: getattr(settings, field.name) for field in fields(part) if hasattr(settings, field.name)}


def explained(settings: type[Any]) -> dict[str, str]:
    """What stands below each field of a dataclass, on one line: below the nearest class's that says something.

    Python keeps no docstrings of fields, so they are read from the source; where there is none, nothing is found.
    """
    found: dict[str, str] = {}
    for kind in reversed(settings.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
        except OSError:
            continue
        for pair in itertools.pairwise(body):
            match pair:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found
