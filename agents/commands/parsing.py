"""A command's options from the words behind it, and one line for what is wrong with them."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, TypeVar

import tyro

from n2n_gym.errors import InputError, unknown

if TYPE_CHECKING:
    pass


Options = TypeVar("Options")


@dataclass(frozen=True)
class Command:
    """A command and what it is for."""

    run: Callable[[list[str]], None]
    about: str


def parse(options: type[Options], command: str, words: list[str]) -> Options:
    """The command's options from its words.

    Raises:
        InputError: If there is no such option, or its value is not of its type.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, rest = tyro.cli(options, prog=f"n2n {command}", args=words, return_unknown_args=True)
    except SystemExit as stop:
        if stop.code:
            raise InputError(f"{_one_line(said.getvalue())}; see n2n {command} --help") from None
        raise
    if rest:
        assert is_dataclass(options)
        known = [f"--{field.name.replace('_', '-')}" for field in fields(options)]
        if not known:
            raise InputError(f"'n2n {command}' takes no options")
        raise unknown("option", rest[0].split("=")[0], known)
    return parsed


def _one_line(box: str) -> str:
    """The first paragraph of tyro's framed message, without its frame and its title."""
    lines = [line.strip("│| ") for line in box.splitlines() if line.startswith(("│", "|"))]
    if not lines:  # no frame at all: the title is a line among the others, with a rule below it
        plain = [line.strip() for line in box.splitlines()]
        lines = plain[next((i + 1 for i, line in enumerate(plain) if _rule(line)), 0) :]
    paragraph = itertools.takewhile(lambda line: line and not _rule(line), lines)
    return " ".join(paragraph).rstrip(".")


def _rule(line: str) -> bool:
    return bool(line) and set(line) <= set("─-+|")
