"""Errors that a user can mend, said in one line with the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Named = TypeVar("Named")


class InputError(ValueError):
    """Something the user gave is wrong; the message is one line and says what would be right.

    The command line prints it and exits with status 2; in Python it is an ordinary `ValueError`.
    """


def check_arguments(call: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse keyword arguments that a call does not have, as Python does.

    Args:
        call: What was called, for the message: `compress`.
        given: Names of keyword arguments.
        known: Those that there are.

    Raises:
        TypeError: If one is not known.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}.{_nearest(name, names)}")


def by_name(what: str, name: str, table: Mapping[str, Named]) -> Named:
    """What a table has under a name.

    Raises:
        InputError: If it has nothing.
    """
    if name not in table:
        raise unknown(what, name, table)
    return table[name]


def unknown(what: str, name: object, known: Iterable[str], *, likeness: float = 0.5) -> InputError:
    """The error for a name that is not one of `known`: suggests the nearest, lists them all.

    Args:
        what: What it should be the name of.
        name: It.
        known: Those that there are.
        likeness: How like the name, from 0 to 1, a suggestion must be.
    """
    names = list(known)
    return InputError(f"unknown {what} {str(name)!r}.{_nearest(str(name), names, likeness)}")


def _nearest(name: str, names: list[str], likeness: float = 0.5) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=likeness)
    suggestion = f" Did you mean {near[0]!r}?" if near else ""
    return f"{suggestion} Known: {', '.join(names)}"
