"""The folder of one compression run: its configuration, its history, its results. Killed at any moment, it stays whole."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NotRequired, Self, TypedDict

from filelock import FileLock, Timeout

from agents.search.places import alike, placed
from agents.search.result import STUDENT, has_network, result_of
from n2n_gym.errors import InputError
from n2n_gym.models.checkpoint import check_weights
from n2n_gym.student import Student
from n2n_gym.system.documents import Count, Sha256, Share, read_document
from n2n_gym.system.files import PART, sweep, teachers_folder, write_json, writing
from n2n_gym.system.versions import library_versions
from n2n_gym.teachers.saved import Teacher

CONFIG = "config.json"
TEACHER = "teacher.json"
FINALISTS = "finalists"
LOGITS = ".logits"
BESIDE = "beside"
BASELINE = "baseline"
LOCK = ".lock"

WHAT = {
    "teacher": "the teacher's weights or architecture",
    "dataset": "the data set's images",
    "constraints": "the file of limits",
    "start": "the stage-1 student",
    "policies": "a policy's file",
    "evaluator": "the evaluator's table or sample",
}
"""What the texts of a run's identity are of, for messages."""


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
            known = {**start.identity, **self.start.identity}  # a run of before says nothing of its evaluator's file
            if changed := [what for what in start.identity if known[what] != start.identity[what]]:
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

    def keeps_student(self, result: dict[str, Any]) -> bool:
        """Whether the network that a finished run trained is still there, or it trained none.

        Args:
            result: What the run ended with.

        Raises:
            InputError: If the network is damaged.
        """
        folder = self.path / STUDENT
        if not has_network(result):
            return True
        if folder.exists():
            check_weights(folder)
        return folder.exists()


def now() -> str:
    """The time, in ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def read_start(path: Path) -> RunStart:
    """How the run in a folder was started.

    Raises:
        InputError: If the folder holds no run, or its file is damaged.
    """
    if not (path / CONFIG).exists():
        raise InputError(f"no run to resume in {path}: it has no {CONFIG}; start one with --out {shlex.quote(str(path))}")
    return read_document(path / CONFIG, RunStart, "run configuration", remedy="start another run")


def read_teacher(run: Path) -> KnownTeacher:
    """What a run's folder says of its teacher.

    Raises:
        InputError: If it says nothing, or its file is damaged.
    """
    return read_document(run / TEACHER, KnownTeacher, "description of a run's teacher", remedy="start another run")


def in_use(path: Path) -> bool | None:
    """Whether a process holds a run's folder now; None if its lock may not be looked at, as another user's may not."""
    if not (path / LOCK).exists():
        return False
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return None
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
