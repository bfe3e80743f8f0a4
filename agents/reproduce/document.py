"""What a reproduced table or figure leaves: JSON, a Markdown table with the paper's numbers beside the measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from n2n_gym.system.files import write_json, write_text
from n2n_gym.system.machine import machine
from n2n_gym.system.versions import library_versions


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
