"""Tables as files: those that the package ships, by name, and anybody's, by path."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from n2n_gym.errors import InputError
from n2n_gym.system.files import write_whole

FORMAT = 1

Columns = dict[str, npt.NDArray[Any]]


def table_names() -> list[str]:
    """The tables that the package ships."""
    return sorted(item.name.removesuffix(".npz") for item in _folder().iterdir() if item.name.endswith(".npz"))


def table_path(name: str) -> Path:
    """Where the package's table of a name lies, or anybody's `.npz` file.

    Raises:
        InputError: If it is neither a name of the package's nor a path that ends with `.npz`.
    """
    if name.endswith(".npz"):
        return Path(name).expanduser()
    names = table_names()
    if name not in names:
        raise InputError(f"no table {name!r}. There are: {', '.join(names)}; your own: a .npz file of `n2n table build`")
    return _folder() / f"{name}.npz"


def _folder() -> Path:
    return Path(str(files("n2n_gym") / "tables" / "shipped"))


def read_columns(path: Path) -> tuple[dict[str, Any], Columns]:
    """A table's facts and columns from its file.

    Raises:
        InputError: If the file is not a table.
        OSError: If it is not there.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {key: archive[key] for key in archive.files}
        facts = json.loads(columns.pop("facts").tobytes())
        if facts["format"] != FORMAT:
            raise InputError(f"{path} is a table of format {facts['format']}; this version reads format {FORMAT}")
        return facts, columns
    except (KeyError, ValueError, TypeError, EOFError, BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a table that `n2n table build` wrote: {error}") from None


def write_columns(path: Path, facts: dict[str, Any], columns: Columns) -> None:
    """Write a table to a `.npz` file, in one step."""
    text = np.frombuffer(json.dumps({**facts, "format": FORMAT}).encode(), dtype=np.uint8)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(file, **{"facts": text, **columns})  # type: ignore[arg-type]

    write_whole(path, write)
