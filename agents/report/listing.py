"""The runs below a folder, as a list."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.report.heading import state_of
from agents.search.result import result_of
from agents.search.run_folder import CONFIG, read_start
from n2n_gym.errors import InputError

DEEPEST = 6
"""Folders below the one that is listed in which runs are looked for."""


@dataclass(frozen=True)
class Entry:
    """A run in a list.

    Attributes:
        name: Its folder, seen from the one that is listed.
        state: `finished`, `running`, `stopped`, `not finished` where nobody may look which of both, or why it cannot be read.
        configuration: What it is to do.
        result: What it ended with, if it did.
        changed: When its files were written last.
    """

    name: str
    state: str
    configuration: dict[str, Any]
    result: dict[str, Any] | None
    changed: datetime

    @property
    def student(self) -> dict[str, Any] | None:
        """What the result says of the student."""
        return (self.result or {}).get("student")

    @property
    def accuracy(self) -> float | None:
        """The student's on test images, a mean over its trainings."""
        if self.student is None:
            return None
        found: float | None = self.student.get("test_accuracies", {}).get("mean", self.student.get("test_accuracy"))
        return found


def run_folders(root: Path) -> list[Path]:
    """Every run's folder in a folder and below it, those of baselines within runs among them; links are not followed."""
    return sorted(_runs(root.resolve(), DEEPEST))


def _runs(folder: Path, deeper: int) -> Iterator[Path]:
    if (folder / CONFIG).is_file():
        yield folder
    if deeper:
        with suppress(PermissionError, FileNotFoundError):  # others' folders, and those that are being removed
            for each in folder.iterdir():
                if each.is_dir() and not each.is_symlink() and not each.name.startswith("."):
                    yield from _runs(each, deeper - 1)


def listed(root: Path) -> list[Entry]:
    """Every run below a folder, the one that changed last first."""
    root = root.resolve()
    return sorted((_entry(root, path) for path in run_folders(root)), key=lambda entry: entry.changed, reverse=True)


def _written(folder: Path) -> Iterator[float]:
    """When its files were written; a run that is going on replaces them meanwhile."""
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            found = file.stat()
            if stat.S_ISREG(found.st_mode):
                yield found.st_mtime


def _entry(root: Path, path: Path) -> Entry:
    name = path.relative_to(root).as_posix()
    changed = datetime.fromtimestamp(max(_written(path), default=0)).astimezone()
    try:
        configuration, result = read_start(path).configuration, result_of(path)
    except InputError as error:
        return Entry(name, str(error), {}, None, changed)
    return Entry(name, state_of(path, result), configuration, result, changed)
