"""The folder of one compression run: its configuration, its history, its results. Killed at any moment, it stays whole."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from n2n_gym.errors import InputError
from n2n_gym.student import Student
from n2n_gym.system.files import PART, read_json, sweep, write_json, write_text

CONFIG = "config.json"
RESULT = "result.json"
HISTORY = "history.csv"
TEACHER = "teacher.json"
FINALISTS = "finalists"
LOGITS = ".logits"
BESIDE = "beside"
BASELINE = "baseline"
LOCK = ".lock"

BY_CONTENT = ("policy", "architecture")
"""Options that name files which a run knows by what they hold (`RunStart.identity`), wherever they are."""


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
        excess: The largest share by which it exceeds a limit; 0 if it keeps all.
        seconds: Time that its training took, whenever that was.
        from_store: Whether it had been trained before.
        latency_ms: Its measured forward pass, if a limit needs it.
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
    excess: float
    seconds: float
    from_store: bool
    latency_ms: float | None = None

    def candidate(self, start: Student) -> Student:
        """The student, made from what its stage started from."""
        actions = tuple(int(action) for action in self.actions)
        return replace(start, removals=actions) if self.stage == 1 else replace(start, shrinkages=actions)


def trained(history: Iterable[Episode], stage: int) -> set[str]:
    """The distinct students whose training a stage asked for, wherever it was done: none that an earlier stage had.

    Those that failed in training are among them, degenerate ones are not.
    """
    asked: dict[str, int] = {}
    for episode in history:
        if not episode.reason or episode.seconds:
            asked.setdefault(episode.fingerprint, episode.stage)
    return {fingerprint for fingerprint, first in asked.items() if first == stage}


@dataclass(frozen=True)
class RunStart:
    """How a run was started: what `config.json` holds.

    Attributes:
        configuration: What it is to do; the same on every resume.
        identity: Fingerprints of the files that the configuration names; the same on every resume.
        store: File of evaluations shared with other runs, or None.
        command: The command line.
        run: A name that no other run has.
        started: When, in ISO 8601; empty where an older version started it.
    """

    configuration: dict[str, Any]
    identity: dict[str, str]
    store: str | None = None
    command: str = ""
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: str = ""


class RunFolder:
    """A run's files. Only one process at a time may hold it.

    Args:
        path: The folder; made if it is not there.
        start: How the run is started; a folder that holds another run is refused.

    Attributes:
        start: How the run was started first.

    Raises:
        InputError: If the folder is in use, of another configuration, or not a run folder.
    """

    def __init__(self, path: Path, start: RunStart) -> None:
        self.path = path
        if path.exists() and not (path / CONFIG).exists() and (not path.is_dir() or _foreign(path)):
            raise InputError(f"{path} exists and is not a run folder; choose another --out")
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path / LOCK)
        try:
            self._lock.acquire(timeout=0.2)  # `in_use` holds it for a moment
        except Timeout:
            raise InputError(f"{path} is in use by another process; wait for it or choose another --out") from None
        try:
            if not (path / CONFIG).exists():
                write_json(path / CONFIG, asdict(replace(start, started=now())))
            self.start = read_start(path)
            if differences := _differences(self.start.configuration, start.configuration):
                raise InputError(f"{path} holds a run of another configuration ({differences}); choose another --out")
            if self.start.identity != start.identity:
                whose = "the teacher's, the data set's, the constraints', a policy's or the stage-1 student's"
                raise InputError(f"{whose} file has changed since the run in {path} was started")
            sweep(path)
            sweep(path / FINALISTS)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def result(self) -> dict[str, Any] | None:
        """The finished run's result; None while it is not finished."""
        return read_result(self.path / RESULT)

    def read_history(self) -> list[Episode]:
        """All episodes that were written down."""
        return read_history(self.path / HISTORY)

    def write_history(self, episodes: list[Episode]) -> None:
        """Write all episodes in one step."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [column.name for column in fields(Episode)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(episode) for episode in episodes)
        write_text(self.path / HISTORY, text.getvalue())


def now() -> str:
    """The time, in ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def read_start(path: Path) -> RunStart:
    """How the run in a folder was started.

    Raises:
        InputError: If the folder holds no run, or its file is damaged.
    """
    if not (path / CONFIG).exists():
        raise InputError(f"no run to resume in {path}: it has no {CONFIG}; start one with --out {path}")
    try:
        start = RunStart(**read_json(path / CONFIG, "run configuration"))
        if not isinstance(start.configuration, dict):
            raise TypeError("the configuration is no object")
    except TypeError as error:
        raise InputError(f"{path / CONFIG} is damaged ({error}); start another run") from None
    return start


def in_use(path: Path) -> bool:
    """Whether a process holds a run's folder now."""
    if not (path / LOCK).exists():
        return False
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def read_result(path: Path) -> dict[str, Any] | None:
    """What a finished run's file says; None while there is none.

    Raises:
        InputError: If it is damaged.
    """
    if not path.exists():
        return None
    result = read_json(path, "result")
    if not {"teacher", "student", "search", "seed"} <= set(result):
        raise InputError(f"{path} is damaged; remove it and resume the run to have it written again")
    return result


def read_history(path: Path) -> list[Episode]:
    """All episodes that a run has written down.

    Raises:
        InputError: If the file is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_parse(row) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}); start another run") from None


def _foreign(path: Path) -> list[Path]:
    """What is in a folder that no run of ours, killed as it began, has left there."""
    return [file for file in path.iterdir() if file.name != LOCK and not file.name.startswith(PART)]


def _differences(saved: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [name for name in {**saved, **wanted} if name not in BY_CONTENT and saved.get(name) != wanted.get(name)]
    return ", ".join(f"{name} is {json.dumps(saved.get(name))} there, {json.dumps(wanted.get(name))} here" for name in names)


def _parse(row: dict[str, str]) -> Episode:
    values: dict[str, Any] = dict(row)
    for column in fields(Episode):
        text = row[column.name]
        match column.type:
            case "int":
                values[column.name] = int(text)
            case "float":
                values[column.name] = float(text)
            case "float | None":
                values[column.name] = float(text) if text else None
            case "bool":
                values[column.name] = text == "True"
    return Episode(**values)
