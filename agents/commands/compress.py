"""`n2n compress`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.commands.parsing import Command, parse

MOST_CLASSES = 20
"""Of so many the table is still a help; result.json has all."""


def _compress(words: list[str]) -> None:
    from agents.search.options import Search

    search = parse(Search, "compress", words)
    from agents.display import ProgressDisplay
    from agents.search.compress import compress

    given = {word[2:].split("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    search = search.resumed(given)
    console = Console()
    command = shlex.join(["n2n", "compress", *words])
    result = compress(search, display=ProgressDisplay(console), command=command)
    _print_result(console, result, search.folder)


def _print_result(console: Console, result: dict[str, Any], folder: Path) -> None:
    from agents.search.comparison import class_table, comparison_table

    table = Table(title=f"{result['teacher']['name']}, seed {result['seed']}")
    for heading in ("", "test accuracy", "parameters", "MACs", "ratio", "reward"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, title in (("teacher", "teacher"), ("stage1", "stage 1"), ("student", "student")):
        if part := result.get(name):
            ratio = f"{part['ratio']:.1f}x" if "ratio" in part else ""
            reward = "" if part.get("reward") is None else f"{part['reward']:.4f}"
            accuracy = "" if part["test_accuracy"] is None else f"{part['test_accuracy']:.2%}"
            table.add_row(title, accuracy, f"{part['parameters']:,}", f"{part['macs']:,}", ratio, reward)
    console.print(table)
    classes = result.get("data", {}).get("classes", [])
    if len(classes) <= MOST_CLASSES and any(row["student"] is not None for row in classes):
        console.print(class_table(classes))
    if "speed" in result:
        console.print(comparison_table(result, "teacher", "student", ("file_bytes", "activation_bytes")))
    search = result["search"]
    console.print(
        f"{search['evaluations']} students: {search['trained']} trained, {search['from_store']} from the store, "
        f"{search['degenerate']} degenerate",
        highlight=False,
    )
    for file in ("curves.png", "architectures.png", "result.json"):
        if (folder / file).exists():
            console.print(str(folder / file), highlight=False, soft_wrap=True)


COMMANDS = {"compress": Command(_compress, "compress a teacher: Algorithm 1 and the final training of its best student")}
