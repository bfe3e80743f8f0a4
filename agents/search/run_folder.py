"""The folder of one compression run: its configuration, its history, its results. Killed at any moment, it stays whole."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from agents.search.places import alike, placed
from n2n_gym.errors import InputError
from n2n_gym.student import Student
from n2n_gym.system.files import PART, read_json, sweep, teachers_folder, write_json, write_text
from n2n_gym.teachers.saved import Teacher

CONFIG = "config.json"
RESULT = "result.json"
HISTORY = "history.csv"
FINALISTS = "finalists"
LOGITS = ".logits"
BESIDE = "beside"
BASELINE = "baseline"
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
        excess: The largest share by which it exceeds a limit; 0 if it keeps all.
        seconds: Time that its training took, whenever that was.
        from_store: Whether it had been trained before.
        latency_ms: Its measured forward pass, if a limit needs it.
        start: In stage 2, after a stage 1, the removals that it started from, one digit each; else empty.
        rung: Epochs after which halving stopped its training, and predicted its accuracy; 0 if it was trained whole.
        rung_accuracy: Its validation accuracy then.
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
    start: str = ""
    rung: int = 0
    rung_accuracy: float | None = None

    def candidate(self, start: Student) -> Student:
        """The student, made from what the run started from."""
        if self.stage == 1:
            return replace(start, removals=_read(self.actions))
        return replace(self.begin(start), shrinkages=_read(self.actions))

    def begin(self, start: Student) -> Student:
        """What its stage started from, made from what the run started from."""
        return replace(start, removals=_read(self.start)) if self.start else start


def written(actions: Iterable[int] | None) -> str:
    """Actions as a row of the history has them."""
    return "".join(map(str, actions or ()))


def _read(actions: str) -> tuple[int, ...]:
    return tuple(int(action) for action in actions)


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
        teacher: What the trained teacher is known by, once it is there; the same on every resume.
        run: A name that no other run has.
    """

    configuration: dict[str, Any]
    identity: dict[str, str]
    store: str | None = None
    command: str = ""
    teacher: str = ""
    run: str = field(default_factory=lambda: uuid.uuid4().hex)


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
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{path} is in use by another process; wait for it or choose another --out") from None
        try:
            if not (path / CONFIG).exists():
                write_json(path / CONFIG, asdict(start))
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

    def hold_teacher(self, teacher: Teacher) -> None:
        """Write down which teacher the run has; a run that is gone on with must have the same.

        Raises:
            InputError: If it has another one, with other weights or other accuracies.
        """
        facts = [teacher.checkpoint.fingerprint, teacher.validation_accuracy, teacher.test_accuracy]
        known = sha256(json.dumps(facts).encode()).hexdigest()
        if self.start.teacher not in ("", known):
            raise InputError(
                f"the teacher in {teachers_folder() / teacher.name} is not the one that the run in {self.path} was begun "
                "with: its weights or accuracies are others; go on with N2N_HOME as it was, put that teacher there, or start "
                "another run"
            )
        if not self.start.teacher:
            self.start = replace(self.start, teacher=known)
            write_json(self.path / CONFIG, asdict(self.start))

    @property
    def result(self) -> dict[str, Any] | None:
        """The finished run's result; None while it is not finished."""
        if not (self.path / RESULT).exists():
            return None
        result = read_json(self.path / RESULT, "result")
        if not {"teacher", "student", "search", "seed"} <= set(result):
            raise InputError(f"{self.path / RESULT} is damaged; remove it and resume the run to have it written again")
        return result

    def read_history(self) -> list[Episode]:
        """All episodes that were written down."""
        if not (self.path / HISTORY).exists():
            return []
        try:
            with (self.path / HISTORY).open(newline="", encoding="utf-8") as file:
                return [_parse(row) for row in csv.DictReader(file)]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.path / HISTORY} is damaged ({type(error).__name__}: {error}); start another run"
            ) from None

    def write_history(self, episodes: list[Episode]) -> None:
        """Write all episodes in one step."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [column.name for column in fields(Episode)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(episode) for episode in episodes)
        write_text(self.path / HISTORY, text.getvalue())


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


def _foreign(path: Path) -> list[Path]:
    """What is in a folder that no run of ours, killed as it began, has left there."""
    return [file for file in path.iterdir() if file.name != LOCK and not file.name.startswith(PART)]


def _differences(saved: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [name for name in {**saved, **wanted} if not alike(name, placed(name, saved.get(name)), wanted.get(name))]
    return ", ".join(f"{name} is {json.dumps(saved.get(name))} there, {json.dumps(wanted.get(name))} here" for name in names)


def _parse(row: dict[str, str]) -> Episode:
    values: dict[str, Any] = dict(row)
    for column in fields(Episode):
        if column.name not in row and column.default is not MISSING:
            continue  # written before there was such a column
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
