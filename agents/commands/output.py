"""What commands print and write down."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from agents.console import console

WIDEST = 400
"""Columns: no name is longer, so that none is folded or cut off, however narrow the terminal is."""


def command_for_others(*words: str) -> str:
    """A command line as it is written into files that others get: of this machine's folders it says nothing.

    Args:
        words: The command's, `n2n` first; absolute paths lose their folders.
    """
    return shlex.join(map(_without_folders, words))


def _without_folders(word: str) -> str:
    option, equals, value = word.rpartition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)


class Listing:
    """A table of things by their names, which stay whole: who reads one may want to copy it.

    Args:
        title: What they are.
        headings: The names' first; they stand on several lines where that makes a column narrower.
    """

    def __init__(self, title: str, headings: Sequence[str]) -> None:
        self._table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for number, heading in enumerate(headings):
            self._table.add_column(heading.replace(" ", "\n"), justify="right" if number else "left", no_wrap=True)

    def add(self, *cells: str) -> None:
        """A row."""
        self._table.add_row(*cells)

    def print(self) -> None:
        """Print it."""
        console(width=WIDEST).print(self._table, crop=False)
