"""All rows, a table for each kind of fault."""

from __future__ import annotations

from envs_tests.faults import cluster, files, runs, signals, workers
from envs_tests.faults.harness import Fault

TABLES: dict[str, list[Fault]] = {
    "Files": files.FAULTS,
    "Runs": runs.FAULTS,
    "Worker processes and memory": workers.FAULTS,
    "A Ray cluster": cluster.FAULTS,
    "Signals": signals.FAULTS,
}


def shown() -> str:
    """The tables as docs/reliability.md has them."""
    parts = []
    for heading, faults in TABLES.items():
        lines = [f"## {heading}", "", "| fault | what happens | test |", "|---|---|---|"]
        lines += [f"| {each.name} | {each.happens} | {'`make faults`' if each.slow else '`make test`'} |" for each in faults]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
