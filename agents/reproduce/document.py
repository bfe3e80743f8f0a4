"""What a reproduced table or figure leaves: JSON, a Markdown table with the paper's numbers beside the measured ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.machine import machine
from n2n_gym.evaluators.base import library_versions
from n2n_gym.files import write_json, write_text

_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Student's t: the 97.5% quantile for 1, 2, ... degrees of freedom; for more than 15, 2.131 is on the safe side."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% confidence interval (Student's t over independent runs).

    Attributes:
        mean: The mean.
        low: Lower end; NaN for a single value.
        high: Upper end.
        values: What it is the mean of.
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """The interval of some values."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan, math.nan, tuple(values))
        quantile = _T_975[min(len(values) - 2, len(_T_975) - 1)]
        half = quantile * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(mean, mean - half, mean + half, tuple(values))

    def to_json(self) -> dict[str, Any]:
        """The interval as JSON data; ends that do not exist are null."""
        ends = [None if math.isnan(end) else end for end in (self.low, self.high)]
        return {"mean": self.mean, "low": ends[0], "high": ends[1], "values": list(self.values)}

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if math.isnan(self.low) else f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass
class Document:
    """The outcome of one target.

    Attributes:
        title: What it is.
        columns: Headings of the table.
        rows: Cells, as text.
        data: Everything measured, as JSON data.
        notes: Sentences below the table.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path, name: str, *, scale: str, about: str, command: str) -> None:
        """Write `NAME.json` and `NAME.md`."""
        facts = {
            "title": self.title,
            "scale": scale,
            "command": command,
            "machine": machine(),
            "versions": library_versions("gymnasium", "stable-baselines3"),
            "notes": self.notes,
            **self.data,
        }
        write_json(folder / f"{name}.json", facts)
        lines = [f"# {self.title}", "", f"Scale `{scale}`: {about}. Command: `{command}`.", ""]
        if self.columns:
            lines += ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
            lines += ["| " + " | ".join(row) + " |" for row in self.rows]
            lines.append("")
        for picture in (*folder.glob(f"{name}.png"), *sorted(folder.glob(f"{name}-*.png"))):
            lines += [f"![{self.title}]({picture.name})", ""]
        lines += [f"{note}\n" for note in self.notes]
        on = machine()
        lines.append(
            f"Measured on: {on['processor'] or on['system']}, {on['cores']} cores{', ' + on.get('gpu', '')}".rstrip(", ")
        )
        write_text(folder / f"{name}.md", "\n".join(lines).rstrip() + "\n")


def collect(folder: Path, names: Sequence[str]) -> None:
    """Write `results.md`: all documents that a folder has, in order.

    Args:
        folder: Where they are.
        names: Of the documents that there may be.
    """
    documents = [path.read_text(encoding="utf-8") for name in names if (path := folder / f"{name}.md").exists()]
    write_text(folder / "results.md", "\n".join(documents))


def percent(value: float | None) -> str:
    """A share as percent, or a dash."""
    return "-" if value is None else f"{100 * value:.2f}%"


def times(value: float | None) -> str:
    """A ratio, or a dash."""
    return "-" if value is None else f"{value:.1f}x"
