"""Imported teachers: what is asked of one, and finding it again by name. Nothing here reads weights."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import Shape
from n2n_gym.networks.described import read_architecture, read_description
from n2n_gym.settings import DeviceSettings, write_paths_as_text
from n2n_gym.system.files import DESCRIPTION, teachers_folder

IMPORTED = "imported"
"""The fact that an imported teacher has and no other: where it comes from."""

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of pixels scaled to [0, 1], one number per channel each."""


@dataclass(frozen=True, kw_only=True)
class ImportSettings(DeviceSettings):
    """What an imported network was trained on."""

    dataset: str | None = None
    """Data set that it was trained for; its accuracy is measured there."""
    mean: tuple[float, ...] | None = None
    """Subtracted from pixels scaled to [0, 1], one number per channel; by default what SOURCE says, or the data set's."""
    std: tuple[float, ...] | None = None
    """What the result is divided by, one number per channel; by default as for mean."""
    classes: int | None = None
    """How many classes it tells apart; by default as many as it puts out."""
    image_size: tuple[int, ...] | None = None
    """Side of its images in pixels, or height and width; by default the data set's, or what SOURCE says. A folder's
    pictures that differ in size are brought to that side, of each the largest square in its middle."""

    def __post_init__(self) -> None:
        for name in ("mean", "std", "image_size"):  # in Python one number may stand by itself
            given: Any = getattr(self, name)
            if given is None:
                continue
            several = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
            kind, plain, what = (numbers.Integral, int, "whole ") if name == "image_size" else (numbers.Real, float, "")
            if not all(isinstance(number, kind) and not isinstance(number, bool) for number in several):
                raise InputError(f"{name} must be {what}numbers, not {given!r}")
            object.__setattr__(self, name, tuple(map(plain, several)))
        write_paths_as_text(self)


class OwnData(NamedTuple):
    """The data that a teacher is for, unless others are given."""

    dataset: str | None
    image_size: int | None = None
    """What a folder's pictures are brought to, where they differ in size (`DataSettings.image_size`)."""


def imported_names() -> list[str]:
    """Names of all imported teachers, in alphabetical order."""
    folder = teachers_folder()
    names = sorted(path.parent.name for path in folder.glob(f"*/{DESCRIPTION}") if not path.parent.name.startswith("."))
    return [name for name in names if is_imported(name)]


def is_imported(name: str) -> bool:
    """Whether there is an imported teacher of that name."""
    if not name or Path(name).name != name:
        return False
    path = teachers_folder() / name / DESCRIPTION
    try:
        return path.is_file() and IMPORTED in read_description(path.parent)["facts"]
    except InputError:
        return False  # damaged: whoever loads it by its name is told


def is_damaged(name: str) -> bool:
    """Whether there is a saved teacher of that name whose description cannot be read."""
    folder = teachers_folder() / name
    if not name or Path(name).name != name or not folder.is_dir():
        return False
    try:
        read_description(folder)
    except InputError:
        return True
    return False


def description(name: str) -> dict[str, Any]:
    """What is written of an imported teacher."""
    return read_description(teachers_folder() / name)


def imported_architecture(name: str, input_shape: Shape, classes: int, width: float) -> Architecture:
    """An imported teacher's architecture.

    Args:
        name: Its name.
        input_shape: Channels, height and width of the data set's images; they are made as large as the teacher's.
        classes: The data set's.
        width: Must be 1.

    Raises:
        InputError: If it does not fit the data set, or is damaged.
    """
    if width != 1:
        raise InputError(f"width is for networks of the zoo; {name} was trained as it is, so leave width at 1")
    found = read_architecture(teachers_folder() / name, description(name))
    if (found.input_shape[0], found.classes) != (input_shape[0], classes):
        raise InputError(
            f"the teacher {name} takes {found.input_shape[0]} channel(s) and tells {found.classes} classes apart; "
            f"the data set has {input_shape[0]} and {classes}"
        )
    return found


def imported_normalisation(name: str) -> Normalisation:
    """What an imported teacher's images go through, and so its students'."""
    preprocessing = description(name)["preprocessing"]
    return tuple(preprocessing["mean"]), tuple(preprocessing["std"])


def imported_data(name: str) -> OwnData:
    """What an imported teacher was imported with, which may have been no data set."""
    facts = description(name)["facts"]
    return OwnData(facts["dataset"], facts.get("read", {}).get("image_size"))
