"""Where the commands print: texts as they are, for file names and others' messages hold brackets, colons and colours."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that takes no text for markup, an emoji's name or something to colour.

    Args:
        stderr: Whether it prints where errors go.
        width: Columns; by default the terminal's.
    """
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
