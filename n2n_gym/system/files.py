"""Where files live, and writing them so that a reader never sees half of one."""

from __future__ import annotations

import glob
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from n2n_gym.errors import InputError


def home() -> Path:
    """The folder of data sets and teachers: `$N2N_HOME`, or the platform's cache folder for `n2n_gym`."""
    return Path(os.environ.get("N2N_HOME") or platformdirs.user_cache_dir("n2n_gym", appauthor=False)).expanduser()


DESCRIPTION = "model.json"
"""In a saved network's folder: all that there is to say besides the weights."""


def teachers_folder() -> Path:
    """Where teachers are kept, a folder each."""
    return home() / "teachers"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file beside `path`, then move it there in one step; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        write(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a new folder beside `path`, then move it there in one step; there must be none yet."""
    part = part_of(path)
    part.mkdir(parents=True)
    try:
        write(part)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


PART = ".n2n-part-"
"""Names of half-written files and folders begin like this."""


def part_of(path: Path) -> Path:
    """A new name beside `path` for what is still being written."""
    return path.with_name(f"{PART}{uuid.uuid4().hex}-{path.name}")


def unfinished_training(folder: Path) -> Path:
    """Where a training is written down that will fill a folder."""
    return folder.with_name(f".{folder.name}.training.safetensors")


def sweep(folder: Path, name: str = "") -> None:
    """Remove what a killed process was just writing in a folder: all of it, or the parts of one file or folder."""
    for part in folder.glob(f"{PART}*-{glob.escape(name)}" if name else f"{PART}*"):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, data: object) -> None:
    """Write JSON, indented, in one step."""
    write_text(path, json.dumps(data, indent=2) + "\n")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: If the file is missing, is not JSON or holds no object; `what` names it in the message.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"no {what} at {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not a readable {what}: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path} is no {what}: it holds {type(data).__name__}, not an object")
    return data
