"""What every benchmark does with its measurements: a table on the screen, JSON with machine, versions and every repetition."""

from __future__ import annotations

import datetime
import math
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.commands.output import command_for_others
from n2n_gym.system.files import write_json
from n2n_gym.system.machine import machine
from n2n_gym.system.versions import library_versions

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("torchvision", "gymnasium", "stable-baselines3", "sb3-contrib", "numpy", "scipy", "ray")


class Report:
    """Collects rows; every number in one is a list of repetitions, of which the table shows the median.

    What was measured is written after every row and claim: a program that is stopped leaves what it had.

    Args:
        name: Of the benchmark, and of its JSON file.
        columns: Headings of the measured columns.
        out: The JSON file; by default `results/NAME.json` beside the benchmarks.
    """

    def __init__(self, name: str, columns: tuple[str, ...], out: Path | None = None) -> None:
        self.name = name
        self.columns = columns
        self.out = out or RESULTS / f"{name}.json"
        self.rows: list[dict[str, Any]] = []
        self.claims: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "command": command_for_others("python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]),
            "commit": _commit(),
            "machine": machine(),
            "load_at_start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "versions": library_versions(*LIBRARIES),
        }

    def add(self, label: str, **measured: list[float] | float | str | bool) -> None:
        """A row: a list is repetitions of one measurement."""
        self.rows.append({"case": label, **measured})
        shown = ", ".join(f"{name} {_cell(value)}" for name, value in measured.items())
        print(f"{label}: {shown}", flush=True)
        self._write()

    def claim(self, what: str, measured: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
        """A figure that was asked for, and whether it is there."""
        holds = (at_least is None or measured >= at_least) and (at_most is None or measured <= at_most)
        asked = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
        self.claims.append({"claim": what, "measured": measured, "asked": asked, "holds": bool(holds)})
        self._write()

    def finish(self) -> None:
        """Write the JSON and print the tables."""
        self._write()
        console = Console(width=200)
        table = Table("case", *self.columns, title=self.name)
        for row in self.rows:
            table.add_row(row["case"], *(_cell(row.get(column, "-")) for column in self.columns))
        console.print(table)
        if self.claims:
            asked = Table("asked for", "measured", "limit", "holds")
            for each in self.claims:
                asked.add_row(each["claim"], _cell(each["measured"]), each["asked"], "yes" if each["holds"] else "no")
            console.print(asked)
        print(self.out)

    def _write(self) -> None:
        write_json(self.out, _plain({"benchmark": self.name, **self.facts, "claims": self.claims, "rows": self.rows}))


def _commit() -> str:
    """The commit that is measured, or "" outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""


def _plain(value: Any) -> Any:
    """JSON has no infinite numbers: what was never reached is null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if isinstance(value, list):
        value = median(value)
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
