"""The folder of one compression run: its configuration, its history, its results. Killed at any moment, it stays whole."""

from __future__ import annotations

import csv
import io
import json
import shutil
import uuid
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from n2n_gym.errors import InputError
from n2n_gym.files import read_json, write_json, write_text

CONFIG = "config.json"
RESULT = "result.json"
HISTORY = "history.csv"
LOCK = ".lock"


@dataclass(frozen=True)
class Episode:
    """One evaluated student: a row of `history.csv`.

    Attributes:
        stage: 1 or 2.
        iteration: Policy update, from 0.
        rollout: Episode within the update, from 0.
        actions: The episode's actions, one digit each.
        fingerprint: The student's architecture, abbreviated.
        accuracy: Validation accuracy.
        compression: C = 1 - student's parameters / teacher's.
        parameters: Trainable parameters.
        macs: Multiply-accumulates for one image.
        reward: The episode's reward.
        reason: Why it is degenerate or failed, or empty.
        seconds: Time that its training took, whenever that was.
        from_store: Whether it had been trained before.
    """

    stage: int
    iteration: int
    rollout: int
    actions: str
    fingerprint: str
    accuracy: float
    compression: float
    parameters: int
    macs: int
    reward: float
    reason: str
    seconds: float
    from_store: bool


class RunFolder:
    """A run's files. Only one process at a time may hold it.

    Args:
        path: The folder; made if it is not there.
        configuration: What the run is to do; a folder that holds a run of another configuration is refused.
        command: The command line that starts the run; a resumed run keeps its first.

    Attributes:
        run: A name that no other run has.
        command: The command line that started the run.

    Raises:
        InputError: If the folder is in use, of another configuration, or not a run folder.
    """

    def __init__(self, path: Path, configuration: dict[str, Any], command: str = "") -> None:
        self.path = path
        if path.exists() and not (path / CONFIG).exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path} exists and is not a run folder; choose another --out")
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{path} is in use by another process; wait for it or choose another --out") from None
        try:
            if not (path / CONFIG).exists():
                write_json(path / CONFIG, {"run": uuid.uuid4().hex, "command": command, "configuration": configuration})
            saved = read_configuration(path)
            if saved != configuration:
                raise InputError(f"{path} holds a run of another configuration ({_differences(saved, configuration)})")
            start = read_json(path / CONFIG, "run configuration")
            self.run, self.command = str(start.get("run")), str(start.get("command"))
            self._sweep()
        except BaseException:
            self._lock.release()
            raise

    def _sweep(self) -> None:
        """Remove what a killed process was just writing."""
        for part in self.path.glob(".*"):
            if part.is_dir():
                shutil.rmtree(part)
            elif part.name != LOCK:
                part.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def result(self) -> dict[str, Any] | None:
        """The finished run's result; None while it is not finished."""
        return read_json(self.path / RESULT, "result") if (self.path / RESULT).exists() else None

    def read_history(self) -> list[Episode]:
        """All episodes that were written down."""
        if not (self.path / HISTORY).exists():
            return []
        with (self.path / HISTORY).open(newline="", encoding="utf-8") as file:
            return [_parse(row) for row in csv.DictReader(file)]

    def write_history(self, episodes: list[Episode]) -> None:
        """Write all episodes in one step."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Episode)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(episode) for episode in episodes)
        write_text(self.path / HISTORY, text.getvalue())


def read_configuration(path: Path) -> dict[str, Any]:
    """The configuration of the run in a folder.

    Raises:
        InputError: If the folder holds no run.
    """
    if not (path / CONFIG).exists():
        raise InputError(f"no run to resume in {path}: it has no {CONFIG}; start one with --out {path}")
    configuration = read_json(path / CONFIG, "run configuration").get("configuration")
    if not isinstance(configuration, dict):
        raise InputError(f"{path / CONFIG} is not a run configuration")
    return configuration


def _differences(saved: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
    return ", ".join(f"{name} is {json.dumps(saved.get(name))} there, {json.dumps(wanted.get(name))} here" for name in names)


def _parse(row: dict[str, str]) -> Episode:
    values: dict[str, Any] = dict(row)
    for field in fields(Episode):
        text = row[field.name]
        match field.type:
            case "int":
                values[field.name] = int(text)
            case "float":
                values[field.name] = float(text)
            case "bool":
                values[field.name] = text == "True"
    return Episode(**values)
