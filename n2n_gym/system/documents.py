"""JSON that comes from disk: read within limits, and made into the types that it must have.

Whatever of it the package reads goes through here, so that a damaged or crafted file ends in one line and in nothing else.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from n2n_gym.errors import InputError

T = TypeVar("T")

LARGEST = 1 << 24
"""Bytes of a file or text; of none that the package writes, save lists of images, is a tenth as large."""

DEEPEST = 32
"""Objects and lists within each other; an architecture, the deepest of what the package writes, has 5."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A number from 0 to 1."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""A whole number from 0 on."""
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
"""A whole number from 1 on."""
Duration = Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
"""Seconds, or milliseconds."""
Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is not infinite and not NaN; JSON has none, text has."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone, in ISO 8601."""
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""64 hexadecimal digits."""


def read_document(path: Path, kind: type[T], what: str, *, remedy: str = "", largest: int = LARGEST) -> T:
    """Read a JSON file.

    Args:
        path: The file.
        kind: What it must hold: a dataclass, a `TypedDict`, `dict[str, Any]`, ...
        what: What it is called in messages.
        remedy: What to do if it is not that, for the message.
        largest: Bytes that it may have.

    Raises:
        InputError: If it is missing, too large or too deep, is not JSON, or holds something else.
    """
    text = read_bytes(path, what, largest=largest, remedy=remedy)
    return parse_document(text, kind, f"{path} is not a readable {what}", remedy=remedy, largest=largest)


def parse_document(
    text: str | bytes, kind: type[T], complaint: str, *, remedy: str = "", largest: int = LARGEST, deepest: int = DEEPEST
) -> T:
    """The same for JSON text from elsewhere; `complaint` begins the message."""
    try:
        if len(text) > largest:
            raise ValueError(f"it has more than {largest:,} characters")
        data = msgspec.json.decode(text)
        _check_depth(data, deepest)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(_line(complaint, error, remedy)) from None
    return checked(data, kind, complaint, remedy=remedy)


def checked(data: object, kind: type[T], complaint: str, *, remedy: str = "", lax: bool = False) -> T:
    """Plain data as the type that it must have; `complaint` begins the message.

    Args:
        data: It.
        kind: The type.
        complaint: Begins the message.
        remedy: Ends it.
        lax: Whether texts may stand for numbers, as in a table of text.

    Raises:
        InputError: If it is of another type, or a number is out of range.
    """
    try:
        return msgspec.convert(data, kind, strict=not lax)
    except (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(_line(complaint, error, remedy)) from None


def read_bytes(path: Path, what: str, *, largest: int, remedy: str = "") -> bytes:
    """All bytes of a file.

    Raises:
        InputError: If it is missing or has more than `largest`.
    """
    end = f"; {remedy}" if remedy else ""
    try:
        with path.open("rb") as file:
            found = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"no {what} at {path}: {error.strerror or error}{end}") from None
    except ValueError:  # a path with a null character
        raise InputError(f"no {what} at {str(path)!r}: no file can be called so") from None
    if len(found) > largest:
        raise InputError(f"{path} is too large for a {what}: more than {largest:,} bytes")
    return found


def shown(error: object) -> str:
    """An error in at most one line, for a message: what it says comes from others."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = " ".join("".join(each if each.isprintable() else " " for each in str(error)[:300]).split())
    return said or type(error).__name__


def _line(complaint: str, error: Exception, remedy: str) -> str:
    return f"{complaint}: {shown(error)}" + (f"; {remedy}" if remedy else "")


def _check_depth(data: Any, deepest: int) -> None:
    level, depth = [data], 0
    while level := [
        child
        for each in level
        if isinstance(each, dict | list)
        for child in (each.values() if isinstance(each, dict) else each)
        if isinstance(child, dict | list)
    ]:
        depth += 1
        if depth > deepest:
            raise ValueError(f"it is nested more than {deepest} deep")
