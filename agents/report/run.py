"""What a run's folder says, read for a page; the run may be going on still."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from agents.search.finalists import by_final_limits
from agents.search.history import Episode, furthest, read_history
from agents.search.options import Search
from agents.search.profile_picture import layer_name
from agents.search.result import result_of
from agents.search.run_folder import CONFIG, TEACHER, RunStart, read_start, read_teacher
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.student import Student
from n2n_gym.system.documents import Count, Finite, Share, read_document

PROFILES = Path("profiles")
"""Where `n2n teacher profile` puts what it finds, a folder for each teacher, unless it is told otherwise."""


_LIMITS = ("constraint", "headroom", "stages")
"""The options of a run that say what its student must keep, and what a stage's students may exceed that by."""


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

    name: NotRequired[str]
    identity: NotRequired[str]
    weights: NotRequired[str]
    accuracy: Share
    accuracy_renewed: NotRequired[Share]
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
        weights: Their SHA-256; None where an older version made the run.
    """

    name: str
    architecture: Architecture
    layers: tuple[str, ...]
    start: Student
    accuracy: float
    weights: str | None


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
        """Each student that has an accuracy, in the order of first sight, as the end of the run looks at it.

        That is by the training that went furthest, and held to the limits that the student must keep. A stage's own, which may
        be wider, count where the final ones cannot be told any more: without the teacher, or a file of limits.
        """
        students = list(furthest(episode for episode in self.history if not episode.reason).values())
        limits = {name: self.start.configuration[name] for name in _LIMITS if name in self.start.configuration}
        if self.teacher is None:
            return tuple(students)
        try:
            return tuple(by_final_limits(students, Search(**limits), self.teacher.start))
        except (TypeError, ValueError):  # an InputError is a ValueError
            return tuple(students)

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


def check_profiles(profiles: Iterable[Path], runs: Iterable[Run]) -> None:
    """Refuse a profile that is of none of the runs' teachers.

    Raises:
        InputError: If one is, or is damaged.
    """
    known = [(run.start, run.teacher) for run in runs if run.teacher is not None]
    for path in profiles:
        profile = _read_profile(path)
        if not any(_is_of(profile, start, teacher) for start, teacher in known):
            name = known[0][1].name if known else "NAME"
            raise InputError(
                f"{path} is of another teacher than the run's, or of another training of it: leave it out, or measure this "
                f"one by {shlex.join(['n2n', 'teacher', 'profile', name])}"
            )


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
        start = Student(architecture, removals)
        return Named(data["name"], architecture, layers, start, data["val_accuracy"], data.get("weights"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run / TEACHER} is damaged ({type(error).__name__}: {error}); start another run") from None


def _profile(start: RunStart, teacher: Named, given: Iterable[Path]) -> Mapping[str, Any] | None:
    """What was measured of this very teacher, if any of the files says so."""
    left = PROFILES / teacher.name / "profile.json"
    found = map(_read_profile, (*given, *([left] if left.is_file() else [])))
    return next((each for each in found if _is_of(each, start, teacher) and each["layers"]), None)


def _read_profile(path: Path) -> _Profile:
    return read_document(path, _Profile, "profile")


def _is_of(profile: _Profile, start: RunStart, teacher: Named) -> bool:
    """Whether a profile is of a run's very teacher.

    Its name says on which images, its weights of which training, and its identity of which architecture, which is all that
    older files say.
    """
    theirs = profile.get("name", teacher.name), profile.get("identity"), profile.get("weights")
    ours = teacher.name, start.identity.get("teacher"), teacher.weights
    return theirs[:2] == ours[:2] and (None in (theirs[2], ours[2]) or theirs[2] == ours[2])
