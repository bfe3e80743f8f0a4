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


def check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the first given name that is not known.

    Raises:
        InputError: If there is one.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise unknown(what, name, names)


def by_name(what: str, name: str, table: Mapping[str, Named]) -> Named:
    """What a table has under a name.

    Raises:
        InputError: If it has nothing.
    """
    if name not in table:
        raise unknown(what, name, table)
    return table[name]


def unknown(what: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that is not one of `known`: suggests the nearest, lists them all."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    suggestion = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {what} {str(name)!r}.{suggestion} Known: {', '.join(names)}")
