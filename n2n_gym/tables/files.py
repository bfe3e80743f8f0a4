"""Tables as files: those that the package ships, by name, and anybody's, by path."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import SIZES, Architecture
from n2n_gym.errors import InputError
from n2n_gym.problem import ProblemSettings
from n2n_gym.system.arrays import read_archive
from n2n_gym.system.documents import Count, Positive, Share, checked, parse_document, shown
from n2n_gym.system.files import write_whole

FORMAT = 1

REMEDY = "build it again, or get it again from where it came"

Columns = dict[str, npt.NDArray[Any]]

NAMES = r"\A[\w+-][\w.+-]*\Z"
"""What tables, samples and algorithms may be called: files and folders bear them. `$` would let a line's end pass."""

Name = Annotated[str, msgspec.Meta(pattern=NAMES, max_length=200)]


class _Problem(TypedDict):
    """What is compressed, as every version wrote it down; other settings are those of `ProblemSettings`."""

    teacher: str
    dataset: str
    width: NotRequired[float]
    train_size: Positive | None


class _Recipe(TypedDict):
    """How students were trained."""

    name: str
    epochs: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class _Teacher(TypedDict):
    """The teacher that students learned from; older tables do not say what it brought along."""

    fingerprint: str
    identity: NotRequired[str]
    architecture: dict[str, Any]
    parameters: Positive
    val_accuracy: Share
    test_accuracy: Share | None


class _Facts(TypedDict):
    """What the package reads of a table's facts; it may have more."""

    name: Name
    problem: _Problem
    data: str
    stage: Literal["removal", "shrink", "both"]
    base: dict[str, Any]
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=100)]], msgspec.Meta(min_length=1, max_length=64)]
    seeds: Annotated[list[Count], msgspec.Meta(min_length=1)]
    recipe: _Recipe
    joined: NotRequired[bool]
    teacher: _Teacher
    validation_images: Positive
    test_images: Positive
    reasons: Annotated[list[str], msgspec.Meta(min_length=1)]


def check_name(name: str) -> None:
    """Refuse what no table or sample can be called.

    Raises:
        InputError: Then.
    """
    remedy = "choose another: letters, digits and . + - _, and no dot at the beginning"
    _ = checked(name, Name, f"no table or sample can be called {shown(name)!r}", remedy=remedy)


def epochs_looked_at(facts: Mapping[str, Any]) -> int:
    """After how many epochs a training was looked at: each, or, of joined trainings, the last."""
    epochs: int = facts["recipe"]["epochs"]
    return 1 if facts.get("joined") else epochs


def table_names() -> list[str]:
    """The tables that the package ships."""
    return sorted(item.name.removesuffix(".npz") for item in _folder().iterdir() if item.name.endswith(".npz"))


def table_path(name: str | Path) -> Path:
    """Where the package's table of a name lies, or anybody's `.npz` file.

    Raises:
        InputError: If it is neither a name of the package's nor a path that ends with `.npz`.
    """
    if str(name).endswith(".npz"):
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
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    columns = read_archive(path, what="table", remedy=REMEDY)
    complaint = f"{path} is not a table that `n2n table build` wrote"
    text = columns.pop("facts", None)
    if text is None or text.dtype != np.uint8:
        raise InputError(f"{complaint}: it holds no facts; {REMEDY}")
    facts = parse_document(text.tobytes(), dict[str, Any], complaint, remedy=REMEDY)
    if facts.get("format") != FORMAT:
        raise InputError(f"{path} is a table of format {facts.get('format')}; this version reads format {FORMAT}")
    known = checked(facts, _Facts, complaint, remedy=REMEDY)
    _ = checked(facts["problem"], ProblemSettings, complaint, remedy=REMEDY)
    if more := sorted(facts["problem"].keys() - {field.name for field in fields(ProblemSettings)}):
        raise InputError(f"{complaint}: its problem has {shown(', '.join(more))}, which is no setting of one; {REMEDY}")
    if wrong := _misfit(known, columns):
        raise InputError(f"{complaint}: {wrong}; {REMEDY}")
    try:
        _ = [Architecture.from_json(each) for each in (known["base"], known["teacher"]["architecture"])]
    except ValueError as error:
        raise InputError(f"{complaint}: {shown(error)}; {REMEDY}") from None
    return facts, columns


def _misfit(facts: _Facts, columns: Columns) -> str:
    """What of the columns does not fit the facts, or each other; empty if all does."""
    students, seeds = len(columns.get("parameters", ())), len(facts["seeds"])
    epochs = epochs_looked_at(facts)
    shapes: dict[str, tuple[int, ...]] = {
        "row_of": (math.prod(facts["shape"]),),
        **dict.fromkeys((*SIZES, "fingerprint"), (students,)),
        **dict.fromkeys(("reason", "test_correct", "seconds"), (students, seeds)),
        "correct": (students, seeds, epochs),
    }
    for name, shape in shapes.items():
        kinds = "f" if name == "seconds" else "iu"
        if name not in columns or columns[name].shape != shape or columns[name].dtype.kind not in kinds or 0 in shape:
            return f"{name} is missing, or no column of shape {shape}"
    most = {
        "row_of": students - 1,
        "reason": len(facts["reasons"]) - 1,
        "correct": facts["validation_images"],
        "test_correct": facts["test_images"],
        **dict.fromkeys(SIZES, 2**62),
        "seconds": float(np.finfo(np.float32).max),
    }
    for name, bound in most.items():
        least, greatest = columns[name].min(), columns[name].max()
        if not (least >= 0 and greatest <= bound):  # NaN is neither
            return f"{name} has {least} to {greatest}, beyond 0 to {bound}"
    return ""


def write_columns(path: Path, facts: dict[str, Any], columns: Columns) -> None:
    """Write a table to a `.npz` file, in one step."""
    text = np.frombuffer(json.dumps({**facts, "format": FORMAT}).encode(), dtype=np.uint8)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(file, **{"facts": text, **columns})  # type: ignore[arg-type]

    write_whole(path, write)
