"""Where files live, and writing them so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from n2n_gym.errors import InputError


def home() -> Path:
    """The folder of data sets and teachers: `$N2N_HOME`, or the platform's cache folder for `n2n_gym`."""
    return Path(os.environ.get("N2N_HOME") or platformdirs.user_cache_dir("n2n_gym", appauthor=False)).expanduser()


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file beside `path`, then move it there in one step; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        write(Path(part))
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


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
        raise InputError(f"{path} is not a {what}: it holds {type(data).__name__}, not an object")
    return data
