"""Errors that a user can mend, said in one line with the remedy."""

from __future__ import annotations

import difflib
import numbers
import os
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import numpy as np

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


def typed(call: str, given: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of the types that they are declared to be.

    Numbers of NumPy's are numbers, and become Python's, which can be written down; paths are taken where text is.

    Args:
        call: What was called, for the message.
        given: Keyword arguments.
        types: What `typing.get_type_hints` says of each.

    Returns:
        Them.

    Raises:
        InputError: If one is of another type.
    """
    for name, value in given.items():
        if not _is_of(value, types[name]):
            kinds = " or ".join(_called(kind) for kind in (get_args(types[name]) if _is_union(types[name]) else [types[name]]))
            raise InputError(f"{call}: {name} must be {kinds}, not {value!r}")
    return {name: value.item() if isinstance(value, np.number) else value for name, value in given.items()}


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _is_of(value: object, kind: Any) -> bool:
    if _is_union(kind):
        return any(_is_of(value, each) for each in get_args(kind))
    if kind in (int, float):
        number = numbers.Integral if kind is int else numbers.Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, (str, os.PathLike) if kind is str else get_origin(kind) or kind)


def _called(kind: Any) -> str:
    names = {str: "text", int: "a whole number", float: "a number", bool: "True or False", NoneType: "None"}
    return names.get(kind) or str(getattr(get_origin(kind) or kind, "__name__", kind))


def by_name(what: str, name: str, table: Mapping[str, Named]) -> Named:
    """What a table has under a name.

    Raises:
        InputError: If it has nothing.
    """
    if name not in table:
        raise unknown(what, name, table)
    return table[name]


def unknown(what: str, name: object, known: Iterable[str], *, likeness: float = 0.6) -> InputError:
    """The error for a name that is not one of `known`: suggests the nearest if it is near, lists them all.

    Args:
        what: What it should be the name of.
        name: It.
        known: Those that there are.
        likeness: How like the name, from 0 to 1, a suggestion must be.
    """
    names = list(known)
    return InputError(f"unknown {what} {str(name)!r}.{_nearest(str(name), names, likeness)}")


def _nearest(name: str, names: list[str], likeness: float = 0.6) -> str:
    bare = {each.lstrip("-"): each for each in names}  # their dashes make no two options alike
    asked = name.lstrip("-")
    near = difflib.get_close_matches(asked, bare, n=1, cutoff=likeness)
    if not near and len(asked) > 2:
        near = [each for each in bare if each.startswith(asked)]
    suggestion = f" Did you mean {bare[near[0]]!r}?" if near else ""
    return f"{suggestion} Known: {', '.join(names)}"
