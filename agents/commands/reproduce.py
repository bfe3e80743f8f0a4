"""`n2n reproduce`."""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

from agents.commands.parsing import Command, parse
from n2n_gym.settings import DeviceSettings, WorkerSettings


@dataclass(frozen=True, kw_only=True)
class Reproduce(WorkerSettings, DeviceSettings):
    """Regenerate a table or figure of the paper; the paper's numbers stand beside the measured ones."""

    target: tyro.conf.Positional[str]
    """table1 ... table5, figure3 ... figure13."""
    scale: str = "cpu"
    """paper (the paper's own protocol), cpu (a reduction that two cores can do within an hour), tiny (a test)."""
    out: str | None = None
    """Folder of runs and results, which the targets share; by default runs/reproduce-SCALE."""


def _reproduce(words: list[str]) -> None:
    options = parse(Reproduce, "reproduce", words)
    from agents.display import ProgressDisplay
    from agents.reproduce import reproduce

    console = Console()
    document = reproduce(
        options.target,
        scale=options.scale,
        out=options.out,
        display=ProgressDisplay(console),
        device=options.device,
        workers=options.workers,
    )
    table = Table(title=document.title)
    for heading in document.columns:
        table.add_column(heading)
    for row in document.rows:
        table.add_row(*row)
    console.print(table)
    for note in document.notes:
        console.print(note, markup=False)


COMMANDS = {"reproduce": Command(_reproduce, "regenerate a table or figure of the paper", lambda: Reproduce)}
