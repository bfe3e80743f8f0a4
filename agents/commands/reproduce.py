"""`n2n reproduce`."""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from rich.table import Table

from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay
from n2n_gym.settings import DeviceSettings, WorkerSettings


@dataclass(frozen=True, kw_only=True)
class Reproduce(WorkerSettings, DeviceSettings):
    """Regenerate a table or figure of the paper; the paper's numbers stand beside the measured ones."""

    target: tyro.conf.Positional[str]
    """table1 ... table5, figure3 ... figure13."""
    scale: str = "cpu"
    """paper (the paper's own protocol), cpu (a reduction: most targets take two cores an hour or two), tiny (a test)."""
    out: str | None = None
    """Folder of runs and results, which the targets share; by default runs/reproduce-SCALE."""


def _reproduce(words: list[str]) -> None:
    options = parse(Reproduce, "reproduce", words)
    screen = console()
    with ProgressDisplay(screen):  # what is imported takes seconds
        from agents.reproduce import reproduce
    document = reproduce(
        options.target,
        scale=options.scale,
        out=options.out,
        display=ProgressDisplay(screen),
        device=options.device,
        workers=options.workers,
    )
    table = Table(title=document.title)
    for heading in document.columns:
        table.add_column(heading)
    for row in document.rows:
        table.add_row(*row)
    screen.print(table)
    for note in document.notes:
        screen.print(note)


COMMANDS = {"reproduce": Command(_reproduce, "regenerate a table or figure of the paper", lambda: Reproduce)}
