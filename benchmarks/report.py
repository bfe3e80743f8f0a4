"""What every benchmark does with its measurements: a table on the screen, JSON with machine, versions and every repetition."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from n2n_gym.evaluators.base import library_versions
from n2n_gym.files import write_json
from n2n_gym.machine import machine

RESULTS = Path(__file__).parent / "results"


class Report:
    """Collects rows; every number in one is a list of repetitions, of which the table shows the median.

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
        self.facts: dict[str, Any] = {}

    def add(self, label: str, **measured: list[float] | float | str) -> None:
        """A row: a list is repetitions of one measurement."""
        self.rows.append({"case": label, **measured})
        shown = ", ".join(f"{name} {_cell(value)}" for name, value in measured.items())
        print(f"{label}: {shown}", flush=True)

    def finish(self) -> None:
        """Write the JSON and print the table."""
        content = {
            "benchmark": self.name,
            "date": datetime.date.today().isoformat(),
            "command": "python " + " ".join(sys.argv),
            "machine": machine(),
            "versions": library_versions("torchvision", "gymnasium", "stable-baselines3", "numpy"),
            "rows": self.rows,
            **self.facts,
        }
        write_json(self.out, content)
        table = Table("case", *self.columns, title=self.name)
        for row in self.rows:
            table.add_row(row["case"], *(_cell(row.get(column, "-")) for column in self.columns))
        Console().print(table)
        print(self.out)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        value = median(value)
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
