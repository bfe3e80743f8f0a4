"""Which options of a run name files, so that it is found again from any working folder, and goes on when they were moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.algorithms.saving import PRETRAINED
from n2n_gym.data import is_named
from n2n_gym.evaluators import EVALUATORS
from n2n_gym.system.files import absolute

MOVABLE = ("teacher", "dataset", "validation", "constraint", "policy", "architecture", "evaluator")
"""Options whose files a run knows by what they hold (`RunStart.identity`), wherever they are."""


def names_file(name: str, value: Any) -> bool:
    """Whether the value of an option names a file or folder of the user's, or one of its values does.

    Args:
        name: Of the option.
        value: A text, several, or None.
    """
    if isinstance(value, list | tuple):
        return any(names_file(name, each) for each in value)
    if not isinstance(value, str):
        return False
    match name:
        case "dataset":
            return not is_named(value) and (value.endswith(".npz") or _is_path(value))
        case "policy":
            return value != PRETRAINED
        case "validation" | "architecture":
            return True
        case "evaluator":
            return EVALUATORS.file_in(value) is not None
        case "teacher" | "beside" | "constraint":
            return value.endswith(".json")
    return False


def placed(name: str, value: Any) -> Any:
    """The value of an option with absolute paths, where it names files."""
    if isinstance(value, list | tuple):
        return [placed(name, each) for each in value]
    if not names_file(name, value):
        return value
    if name == "constraint":  # several may stand in one text
        parts = (part.strip() for part in value.split(";"))
        return "; ".join(absolute(part) if part.endswith(".json") else part for part in parts)
    path = _file(name, value)
    return f"{value.removesuffix(path)}{absolute(path)}"


def gone(name: str, value: Any) -> str | None:
    """A file that an option names and that is not there; None if there is none such."""
    if isinstance(value, list | tuple):
        return next((path for each in value if (path := gone(name, each))), None)
    if not names_file(name, value):
        return None
    parts = [part.strip() for part in value.split(";")] if name == "constraint" else [value]
    paths = [_file(name, part) for part in parts if names_file(name, part)]
    return next((path for path in paths if not Path(path).expanduser().exists()), None)


def alike(name: str, there: Any, here: Any) -> bool:
    """Whether two values of an option may mean the same: equal ones, and files, which are told apart by what they hold."""
    if there == here:
        return True
    if name == "evaluator" and str(there).partition(":")[0] != str(here).partition(":")[0]:
        return False
    return name in MOVABLE and names_file(name, there) and names_file(name, here)


def _file(name: str, value: str) -> str:
    """The path in the value of an option that names one file; that of an evaluator stands behind its name and a colon."""
    return EVALUATORS.file_in(value) or value if name == "evaluator" else value


def _is_path(value: str) -> bool:
    return "/" in value or "\\" in value or Path(value).expanduser().is_dir()
