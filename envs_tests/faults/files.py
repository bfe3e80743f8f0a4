"""Faults of what is read from disk and written there."""

from __future__ import annotations

from envs_tests.faults.harness import Fault, Refused, Same, Scene


def _torn_history(scene: Scene) -> None:
    path = scene.run / "history.csv"
    path.write_bytes(path.read_bytes()[:-30])


def _half_written(scene: Scene) -> None:
    (scene.run / ".n2n-part-0123456789abcdef-history.csv").write_text("stage,iter")
    (scene.run / "finalists" / ".n2n-part-0123456789abcdef-x").mkdir(parents=True)


FAULTS = [
    Fault(
        "power loss between write and rename",
        "what was half written is swept up; the run ends as if nothing had happened",
        _half_written,
        Same(),
    ),
    Fault(
        "torn last line of history.csv",
        "one line names the file; nothing else is touched",
        _torn_history,
        Refused("history.csv is damaged", lost=("history.csv",)),
    ),
]
