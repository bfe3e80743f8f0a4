"""The history of one compression run: every student that it looked at, a row each, with a checksum."""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np

from n2n_gym.errors import InputError
from n2n_gym.student import Student
from n2n_gym.system.documents import Count, Duration, Finite, Sha256, Share, checked, read_bytes, read_document
from n2n_gym.system.files import write_text
from n2n_gym.tables.statistics import pareto_rows

HISTORY = "history.csv"
STORE = "evaluations.sqlite"
"""Where a run keeps its evaluations, if no other file is named."""

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
        from_store: Whether it had been trained before, and no further now.
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

    @property
    def trained_here(self) -> bool:
        """Whether the run trained its student for it, from the beginning or on from where it had been stopped."""
        return not self.from_store and self.seconds > 0

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


def trained(history: Iterable[Episode], stage: int) -> set[str]:
    """The distinct students whose training a stage asked for, wherever it was done: none that an earlier stage had.

    Those that failed in training are among them, degenerate ones are not.
    """
    asked: dict[str, int] = {}
    for episode in history:
        if not episode.reason or episode.seconds:
            asked.setdefault(episode.fingerprint, episode.stage)
    return {fingerprint for fingerprint, first in asked.items() if first == stage}


def furthest(history: Iterable[Episode]) -> dict[str, Episode]:
    """Of each distinct student, by its fingerprint, the first of the episodes that know it best.

    A training's end is known better than its failure, and what halving predicts of a training that it stopped is no more than
    a guess: who was trained on later is what that training says.
    """
    found: dict[str, Episode] = {}
    for episode in history:
        before = found.setdefault(episode.fingerprint, episode)
        if _certainty(episode) > _certainty(before):
            found[episode.fingerprint] = episode
    return found


def _certainty(episode: Episode) -> tuple[bool, float]:
    return not episode.reason, episode.rung or math.inf


def last_trainings(history: Iterable[Episode]) -> dict[str, Episode]:
    """Of each student that a run trained itself, by its fingerprint, the last episode that it was trained for.

    One that halving had stopped, and trained on later, has several; the last one's seconds are those of the whole training.
    """
    return {episode.fingerprint: episode for episode in history if episode.trained_here}


def front(students: Sequence[Episode], quantity: str) -> list[Episode]:
    """The students that no other beats on accuracy without being larger, from the smallest on.

    Where some keep the limits, those that do not are left out.
    """
    least = min((student.excess for student in students), default=0.0)
    kept = [student for student in students if student.excess == least]
    sizes = np.array([getattr(student, quantity) for student in kept])
    rows = pareto_rows(np.array([student.accuracy for student in kept]), sizes, np.ones(len(kept), dtype=np.bool_))
    return [kept[row] for row in rows]


class _StageFile(TypedDict):
    """What a stage's file says besides its student."""

    history: Sha256


def digest(history: Iterable[Episode], stage: int) -> str:
    """What tells a stage's episodes from any others, but for the seconds that they took."""
    rows = "".join(_check(_texts(episode)) for episode in history if episode.stage == stage)
    return sha256(rows.encode()).hexdigest()


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


def write_history(run: Path, episodes: Iterable[Episode]) -> None:
    """Write all episodes into a run's folder, in one step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, CHECK])
    for episode in episodes:
        texts = _texts(episode)
        writer.writerow([*texts, _check(texts)])
    write_text(run / HISTORY, text.getvalue())


def check_history(run: Path, stage: int, episodes: Iterable[Episode]) -> None:
    """Make sure that a run's history has what it had when a stage ended, whose file holds the `digest` of then.

    Raises:
        InputError: If it has not.
    """
    result = run / f"stage{stage}.json"
    saved = read_document(result, _StageFile, "stage's result", remedy="remove it: it is written again")
    if saved["history"] != digest(episodes, stage):
        path = run / HISTORY
        raise InputError(f"{path} is not as it was when {result.name} was written; put it back, or {_another(run)}")


def _another(run: Path) -> str:
    """What to do where a run cannot go on."""
    return f"start another run; with --store {shlex.quote(str(run / STORE))} it need not train again what this one has"


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
