"""What a run's folder says, read for a page; the run may be going on still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from agents.search.history import Episode, read_history
from agents.search.profile_picture import layer_name
from agents.search.result import result_of
from agents.search.run_folder import CONFIG, TEACHER, RunStart, read_start, read_teacher
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.student import Student
from n2n_gym.system.documents import Count, Finite, Share, read_document

PROFILES = Path("profiles")
"""Where `n2n teacher profile` puts what it finds, a folder for each teacher, unless it is told otherwise."""


class _Change(TypedDict):
    """What a layer's removal alone does, or why it can do nothing."""

    reason: NotRequired[str]
    lost: NotRequired[Finite]
    parameters: NotRequired[int]
    macs: NotRequired[int]
    inherited: NotRequired[Share]


class _Layer(TypedDict):
    """A row of a profile."""

    layer: Count
    time_share: Share
    removed: _Change | None


class _Profile(TypedDict):
    """What pages show of a file that `n2n teacher profile` wrote."""

    identity: NotRequired[str]
    accuracy: Share
    images: Count
    statistics: str
    layers: list[_Layer]


@dataclass(frozen=True)
class Named:
    """A teacher and its layers, called as their owner calls them.

    Attributes:
        name: Among the saved teachers.
        architecture: What it is.
        layers: A name for each layer.
        start: What the run's first stage starts from.
        accuracy: On validation images.
    """

    name: str
    architecture: Architecture
    layers: tuple[str, ...]
    start: Student
    accuracy: float


@dataclass(frozen=True)
class Run:
    """A run's folder, read.

    Attributes:
        path: The folder.
        start: How it was started.
        history: Every student that was tried.
        result: What it ended with; None while it is not finished.
        teacher: None where the run has not got so far, or an older version made it.
        students: The best of each stage so far, and the final student, by the names of their files.
        profile: What each of the teacher's layers is worth, if that was measured.
    """

    path: Path
    start: RunStart
    history: tuple[Episode, ...]
    result: Mapping[str, Any] | None
    teacher: Named | None
    students: Mapping[str, Student]
    profile: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """What it is called on pages: its folder's name."""
        return self.path.resolve().name

    @cached_property
    def students_tried(self) -> tuple[Episode, ...]:
        """Each student that was trained, as it was seen first."""
        first: dict[str, Episode] = {}
        for episode in self.history:
            if not episode.reason:
                first.setdefault(episode.fingerprint, episode)
        return tuple(first.values())

    def start_of(self, episode: Episode) -> Student | None:
        """What a student's actions are applied to; None where that is not known."""
        if self.teacher is None:
            return None
        if episode.stage == 2 and not episode.start:  # an older version's stage 2 has one start: stage 1's best student
            return self.students.get("stage1", self.teacher.start)
        return episode.begin(self.teacher.start)


def read_run(path: Path, profiles: Iterable[Path] = ()) -> Run:
    """Read a run's folder.

    Args:
        path: The folder.
        profiles: Files that `n2n teacher profile` wrote; the one of this run's teacher is taken. Without one, it is looked
            for where that command leaves it.

    Raises:
        InputError: If it holds no run, or a file is damaged.
    """
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} holds no run: it has no {CONFIG}; give the folder that n2n compress wrote (its --out)")
    start = read_start(path)
    teacher = _teacher(path)
    students = {}
    if teacher is not None:
        for name in ("stage1", "stage2", "student"):
            if (path / f"{name}.json").exists():
                students[name] = Student.load(path / f"{name}.json", teacher.architecture)
    history = tuple(read_history(path))
    result = result_of(path)
    profile = _profile(start, teacher, profiles) if teacher is not None else None
    return Run(path, start, history, result, teacher, students, profile)


def _teacher(run: Path) -> Named | None:
    if not (run / TEACHER).exists():
        return None
    data = read_teacher(run)
    try:
        architecture = Architecture.from_json(data["architecture"])
        places: Sequence[dict[str, Any] | None] = data["places"] or (None,) * len(architecture.nodes)
        kinds = (node.layer.kind for node in architecture.nodes)
        rows = ({"place": place, "layer": i, "kind": k} for i, (place, k) in enumerate(zip(places, kinds, strict=True)))
        removals = None if data["removals"] is None else tuple(data["removals"])
        layers = tuple(map(layer_name, rows))
        return Named(data["name"], architecture, layers, Student(architecture, removals), data["val_accuracy"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run / TEACHER} is damaged ({type(error).__name__}: {error}); start another run") from None


def _profile(start: RunStart, teacher: Named, given: Iterable[Path]) -> Mapping[str, Any] | None:
    """What was measured of this very teacher, if any of the files says so."""
    left = PROFILES / teacher.name / "profile.json"
    found = [read_document(path, _Profile, "profile") for path in (*given, *([left] if left.is_file() else []))]
    identity = start.identity.get("teacher")
    return next((each for each in found if each.get("identity") == identity and each["layers"]), None)
