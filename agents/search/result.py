"""What a finished run says: `result.json`, and what of it the package reads again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, TypedDict

from n2n_gym.system.documents import Count, Duration, Finite, Share, checked, read_document

RESULT = "result.json"


class _Accuracies(TypedDict):
    """Of several trainings."""

    mean: Share
    low: Finite | None
    high: Finite | None


class _Network(TypedDict):
    """A network of the run: the teacher, the student, what was trained beside it."""

    parameters: Count
    macs: Count
    test_accuracy: Share | None
    name: NotRequired[str]
    val_accuracy: NotRequired[Share | None]
    ratio: NotRequired[Finite]
    reward: NotRequired[Finite | None]
    luck: NotRequired[Finite | None]
    test_accuracies: NotRequired[_Accuracies]
    file_bytes: NotRequired[Count]
    activation_bytes: NotRequired[Count]
    agent: NotRequired[str]


class _Teacher(TypedDict):
    """The teacher."""

    name: str
    dataset: str
    parameters: Count
    macs: Count
    test_accuracy: Share | None
    file_bytes: Count
    activation_bytes: Count


class _Class(TypedDict):
    """A class's validation accuracies."""

    name: str
    teacher: Share | None
    student: Share | None


class _Data(TypedDict):
    """Where the images come from, and what they tell."""

    doubt: str | None
    classes: list[_Class]


class _Times(TypedDict):
    """Of a network's forward pass, in milliseconds."""

    median: Duration
    lower: Duration
    upper: Duration


class _Speed(TypedDict):
    """Teacher and student, timed in turn."""

    engine: str
    device: str
    threads: NotRequired[Count | None]
    batch: Count
    teacher: _Times
    student: _Times


class _Counts(TypedDict):
    """What the search did."""

    evaluations: Count
    trained: Count
    from_store: Count
    degenerate: Count
    seconds: Duration


class _Result(TypedDict):
    """What the package reads of a result; it has more."""

    teacher: _Teacher
    student: _Network | None
    stage1: NotRequired[_Network | None]
    beside: NotRequired[dict[str, _Network]]
    baseline: NotRequired[_Network]
    verdict: NotRequired[str | None]
    data: _Data
    speed: NotRequired[list[_Speed]]
    search: _Counts
    seed: Count


def read_result(run: Path) -> dict[str, Any]:
    """What `result.json` in a run's folder says.

    Raises:
        InputError: If it is missing or damaged.
    """
    path = run / RESULT
    remedy = "remove it and resume the run to have it written again"
    found: dict[str, Any] = read_document(path, dict[str, Any], "result", remedy=remedy)
    checked(found, _Result, f"{path} is damaged", remedy=remedy)
    return found


def result_of(run: Path) -> dict[str, Any] | None:
    """What a run ended with; None while it is not finished.

    Raises:
        InputError: If its file is damaged.
    """
    return read_result(run) if (run / RESULT).exists() else None
