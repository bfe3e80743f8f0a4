"""The folder of one compression run: its configuration, its history, its results. Killed at any moment, it stays whole."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NotRequired, Self, TypedDict

import msgspec
from filelock import FileLock, Timeout

from agents.search.places import alike, placed
from agents.search.result import result_of
from n2n_gym.errors import InputError
from n2n_gym.student import Student
from n2n_gym.system.documents import Count, Duration, Finite, Sha256, Share, checked, read_bytes, read_document
from n2n_gym.system.files import PART, sweep, teachers_folder, write_json, write_text, writing
from n2n_gym.system.versions import library_versions
from n2n_gym.teachers.saved import Teacher

CONFIG = "config.json"
HISTORY = "history.csv"
TEACHER = "teacher.json"
FINALISTS = "finalists"
LOGITS = ".logits"
BESIDE = "beside"
BASELINE = "baseline"
STORE = "evaluations.sqlite"
LOCK = ".lock"

WHAT = {
    "teacher": "the teacher's weights or architecture",
    "dataset": "the data set's images",
    "constraints": "the file of limits",
    "start": "the stage-1 student",
    "policies": "a policy's file",
}
"""What the texts of a run's identity are of, for messages."""

LARGEST = 1 << 30
"""Bytes of a history: of some millions of episodes."""


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

    stage: Annotated[int, msgspec.Meta(ge=1, le=2)]
    iteration: Count
    rollout: Count
    actions: Annotated[str, msgspec.Meta(pattern="^[0-9]*$")]
    fingerprint: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    accuracy: Share
    compression: Annotated[float, msgspec.Meta(le=1)]
    parameters: Count
    macs: Count
    reward: Finite
    reason: str
    excess: Duration
    seconds: Duration
    from_store: bool
    latency_ms: Duration | None = None
    start: Annotated[str, msgspec.Meta(pattern="^[0-9]*$")] = ""
    rung: Count = 0
    rung_accuracy: Share | None = None

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


_COLUMNS = tuple(column.name for column in fields(Episode))

CHECK = "check"
"""The last column of `history.csv`: a checksum of the row."""


class KnownTeacher(TypedDict):
    """What a run writes down of its teacher: by what it is known again, and with what its history can be read.

    Attributes:
        name: Among the saved teachers.
        dataset: The data set's.
        weights: Fingerprint of what was trained; runs of 0.1 lack it, and the accuracies but one.
        val_accuracy: On validation images.
        val_class_accuracy: The same for each class.
        test_accuracy: On test images.
        architecture: As JSON.
        places: Where its owner's module has each layer, if it was imported.
        removals: Of the student that the first stage starts from.
    """

    name: str
    dataset: str
    weights: NotRequired[Sha256]
    val_accuracy: Share
    val_class_accuracy: NotRequired[list[Share] | None]
    test_accuracy: NotRequired[Share | None]
    architecture: dict[str, Any]
    places: list[dict[str, Any]] | None
    removals: list[Count] | None


_LASTING = ("weights", "val_accuracy", "val_class_accuracy", "test_accuracy")
"""What must be the same of a teacher on every resume."""


def trained(history: Iterable[Episode], stage: int) -> set[str]:
    """The distinct students whose training a stage asked for, wherever it was done: none that an earlier stage had.

    Those that failed in training are among them, degenerate ones are not.
    """
    asked: dict[str, int] = {}
    for episode in history:
        if not episode.reason or episode.seconds:
            asked.setdefault(episode.fingerprint, episode.stage)
    return {fingerprint for fingerprint, first in asked.items() if first == stage}


class _StageFile(TypedDict):
    """What a stage's file says besides its student."""

    history: Sha256


def digest(history: Iterable[Episode], stage: int) -> str:
    """What tells a stage's episodes from any others, but for the seconds that they took."""
    rows = "".join(_check(_texts(episode)) for episode in history if episode.stage == stage)
    return sha256(rows.encode()).hexdigest()


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
        versions: Of what its students' trainings depend on; the same on every resume. Empty where an older version started it.
    """

    configuration: dict[str, Any]
    identity: dict[str, str]
    store: str | None = None
    command: str = ""
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: str = ""
    versions: dict[str, str] = field(default_factory=dict)


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
        with writing(path):
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
            check_version(path, self.start.configuration, start.configuration)
            if differences := _differences(self.start.configuration, start.configuration):
                raise InputError(f"{path} holds a run of another configuration ({differences}); choose another --out")
            if changed := [what for what in start.identity if self.start.identity.get(what) != start.identity[what]]:
                what = " and ".join(WHAT[each] for each in changed)
                raise InputError(
                    f"{what} changed since the run in {path} was started; put back what it was, or choose another --out"
                )
            for folder in (path, path / FINALISTS, path / BESIDE):
                sweep(folder)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def hold_teacher(self, teacher: Teacher, start: Student) -> None:
        """Write down which teacher the run has; a run that is gone on with must have the same.

        Args:
            teacher: It.
            start: What the first stage starts from.

        Raises:
            InputError: If its weights, or the accuracies that were recorded of it, are others.
        """
        path, facts = self.path / TEACHER, teacher.checkpoint.facts
        now = KnownTeacher(
            name=teacher.name,
            dataset=self.start.configuration["dataset"],
            weights=teacher.checkpoint.fingerprint,
            val_accuracy=teacher.validation_accuracy,
            val_class_accuracy=facts.get("val_class_accuracy"),
            test_accuracy=teacher.test_accuracy,
            architecture=start.teacher.to_json(),
            places=facts.get("places"),
            removals=None if start.removals is None else list(start.removals),
        )
        if not path.exists():
            write_json(path, now)
        then = read_teacher(self.path)
        if changed := [name.replace("_", " ") for name in _LASTING if then.get(name) != now.get(name)]:
            raise InputError(
                f"the teacher in {teachers_folder() / teacher.name} is not the one that the run in {self.path} was begun with "
                f"(its {' and '.join(changed)} changed); go on with N2N_HOME as it was, put that teacher there, or start "
                "another run"
            )

    def hold_versions(self) -> None:
        """Make sure that the run goes on with the libraries that it was begun with.

        Raises:
            InputError: If it does not: its history would hold the rewards of students that were trained in two ways.
        """
        then, today = self.start.versions, library_versions()
        changed = [name for name in then if then[name] != today.get(name)]
        if changed:
            there, here = (", ".join(f"{name} {each.get(name)}" for name in changed) for each in (then, today))
            raise InputError(
                f"the run in {self.path} was begun with {there}, and this is {here}, which may train students otherwise: "
                "go on with what it was begun with, or start another run, with another --out"
            )

    @property
    def result(self) -> dict[str, Any] | None:
        """The finished run's result; None while it is not finished."""
        return result_of(self.path)

    def read_history(self) -> list[Episode]:
        """All episodes that were written down."""
        return read_history(self.path)

    def check_history(self, stage: int, episodes: Iterable[Episode]) -> None:
        """Make sure that the history has what it had when a stage ended, whose file holds the `digest` of then.

        Raises:
            InputError: If it has not.
        """
        result = self.path / f"stage{stage}.json"
        saved = read_document(result, _StageFile, "stage's result", remedy="remove it: it is written again")
        if saved["history"] != digest(episodes, stage):
            path = self.path / HISTORY
            raise InputError(f"{path} is not as it was when {result.name} was written; put it back, or {_another(self.path)}")

    def write_history(self, episodes: list[Episode]) -> None:
        """Write all episodes in one step."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*_COLUMNS, CHECK])
        for episode in episodes:
            texts = _texts(episode)
            writer.writerow([*texts, _check(texts)])
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
    return read_document(path / CONFIG, RunStart, "run configuration", remedy="start another run")


def read_teacher(run: Path) -> KnownTeacher:
    """What a run's folder says of its teacher.

    Raises:
        InputError: If it says nothing, or its file is damaged.
    """
    return read_document(run / TEACHER, KnownTeacher, "description of a run's teacher", remedy="start another run")


def read_history(run: Path) -> list[Episode]:
    """All episodes that were written down in a run's folder.

    Raises:
        InputError: If a row is damaged.
    """
    path = run / HISTORY
    if not path.exists():
        return []
    remedy = _another(run)
    text = io.StringIO(read_bytes(path, "history", largest=LARGEST).decode(errors="replace"), newline="")
    try:
        found = list(csv.DictReader(text, strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is damaged: {error}; {remedy}") from None
    return [_episode(row, path, remedy) for row in found]


def _another(run: Path) -> str:
    """What to do where a run cannot go on."""
    return f"start another run; with --store {run / STORE} it need not train again what this one has"


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


def _foreign(path: Path) -> list[Path]:
    """What is in a folder that no run of ours, killed as it began, has left there."""
    return [file for file in path.iterdir() if file.name != LOCK and not file.name.startswith(PART)]


def check_version(path: Path, there: Collection[str], here: Collection[str]) -> None:
    """Refuse to go on with a run that has other options than this version: what else it means, nobody knows.

    Raises:
        InputError: If it has.
    """
    for has, names in (
        ("lacks", [name for name in here if name not in there]),
        ("has", [name for name in there if name not in here]),
    ):
        if names:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
            raise InputError(
                f"the run in {path} was begun by another version of this package, which {has} {options}: go on with that "
                "version, or start another run, with another --out"
            )


def _differences(saved: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [name for name in {**saved, **wanted} if not alike(name, placed(name, saved.get(name)), wanted.get(name))]
    return ", ".join(f"{name} is {json.dumps(saved.get(name))} there, {json.dumps(wanted.get(name))} here" for name in names)


def _episode(row: dict[Any, Any], path: Path, remedy: str) -> Episode:
    """A row of the history; one of an older version has no checksum."""
    complaint = f"{path} is damaged"
    if (check := row.pop(CHECK, None)) is not None and check != _check([row.get(name) or "" for name in _COLUMNS]):
        raise InputError(f"{complaint}: a row is not as it was written; {remedy}")
    values = {name: text for name, text in row.items() if text or name not in ("latency_ms", "rung_accuracy")}
    return checked(values, Episode, complaint, remedy=remedy, lax=True)


def _texts(episode: Episode) -> list[str]:
    """A row, without its checksum."""
    return ["" if value is None else str(value) for value in (getattr(episode, name) for name in _COLUMNS)]


def _check(texts: Sequence[str]) -> str:
    """A row's checksum; what may differ between two runs that are alike in all that matters is left out."""
    lasting = [text for name, text in zip(_COLUMNS, texts, strict=True) if name not in ("seconds", "from_store")]
    return sha256(",".join(lasting).encode()).hexdigest()[:8]
