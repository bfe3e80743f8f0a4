"""What every benchmark does with its measurements: a table on the screen, JSON with machine, versions and every repetition."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from n2n_gym.evaluators.base import library_versions
from n2n_gym.files import write_json

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What the measurements were made on."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


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
        """Print the table and write the JSON."""
        table = Table("case", *self.columns, title=self.name)
        for row in self.rows:
            table.add_row(row["case"], *(_cell(row.get(column, "-")) for column in self.columns))
        Console().print(table)
        for name, value in self.facts.items():
            print(f"{name}: {_cell(value)}")
        self.out.parent.mkdir(parents=True, exist_ok=True)
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
        print(self.out)


def _cell(value: Any) -> str:
    if isinstance(value, list) and value and not isinstance(value[0], str):
        value = median(value)
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
