"""`n2n compress`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.commands.parsing import Command, given_options, parse
from agents.console import console
from agents.display import ProgressDisplay

MOST_CLASSES = 20
"""Of so many the table is still a help; result.json has all."""


def _options() -> type[Any]:
    from agents.search.options import Search

    return Search


def _compress(words: list[str]) -> None:
    screen = console()
    with ProgressDisplay(screen):  # what is imported takes seconds
        from agents.report.compress import compress

        options = _options()
    search = parse(options, "compress", words)
    search = search.resumed(given_options(words, options))
    command = shlex.join(["n2n", "compress", *words])
    result = compress(search, display=ProgressDisplay(screen), command=command)
    _print_result(screen, result, search.folder)


def _print_result(screen: Console, result: dict[str, Any], folder: Path) -> None:
    from agents.search.comparison import class_table, comparison_table

    if result.get("verdict"):
        screen.print(result["verdict"])
    if violates := (result["student"] or {}).get("violates"):
        screen.print(f"the student does not keep {'; '.join(violates)}: try more --students and --iterations")
    if doubt := result["data"]["doubt"]:
        screen.print(doubt)
    table = Table(title=f"{result['teacher']['name']}, seed {result['seed']}")
    for heading in ("", "test accuracy", "parameters", "MACs", "ratio", "reward", "luck"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    named = {"teacher": result["teacher"], "stage 1": result.get("stage1"), "student": result["student"]}
    named |= result.get("beside", {})
    if baseline := result.get("baseline"):
        named[f"by {baseline['agent']}"] = baseline
    for title, part in named.items():
        if part:
            ratio = f"{part['ratio']:.1f}x" if "ratio" in part else ""
            reward, luck = ("" if part.get(key) is None else f"{part[key]:.4f}" for key in ("reward", "luck"))
            table.add_row(title, _accuracy(part), f"{part['parameters']:,}", f"{part['macs']:,}", ratio, reward, luck)
    screen.print(table)
    classes = result.get("data", {}).get("classes", [])
    if len(classes) <= MOST_CLASSES and any(row["student"] is not None for row in classes):
        screen.print(class_table(classes))
    if "speed" in result:
        screen.print(comparison_table(result, "teacher", "student", ("file_bytes", "activation_bytes")))
    search = result["search"]
    screen.print(
        f"{search['evaluations']} episodes: {search['trained']} trained, {search['from_store']} from the store, "
        f"{search['degenerate']} degenerate"
        + (f", {on} that halving had stopped trained on" if (on := search.get("trained_on")) else "")
        + "".join(f", {count} failed ({reason})" for reason, count in search.get("failed", {}).items()),
    )
    for file in ("curves.png", "architectures.png", "result.json", "report.html"):
        if (folder / file).exists():
            screen.print(str(folder / file), soft_wrap=True)


def _accuracy(part: dict[str, Any]) -> str:
    """On test images, in percent; of several trainings the mean, with its 95% interval where they are not all alike."""
    if part["test_accuracy"] is None:
        return ""
    from agents.interval import has_width

    found = part.get("test_accuracies", {"mean": part["test_accuracy"], "low": None, "high": None})
    if not has_width(found):
        return f"{found['mean']:.2%}"
    return f"{found['mean']:.2%} ({100 * max(found['low'], 0):.2f} to {100 * min(found['high'], 1):.2f})"


COMMANDS = {
    "compress": Command(_compress, "compress a teacher: Algorithm 1 and the final training of its best student", _options)
}
