"""What a finished run says: `result.json`, and what of it the package reads again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from n2n_gym.system.documents import Count, Duration, Finite, Moment, Positive, Share, checked, read_document

RESULT = "result.json"
STUDENT = "student"
"""What a result calls the network that was found, and the folder that it is kept in."""


class _Values(TypedDict):
    """Of several trainings, and their mean with its interval."""

    mean: Finite
    low: Finite | None
    high: Finite | None
    values: list[Finite]


class _Teacher(TypedDict):
    """The teacher."""

    name: str
    dataset: str
    parameters: Positive
    macs: Positive
    test_accuracy: Share | None
    file_bytes: Count
    activation_bytes: Count


class _Student(TypedDict):
    """The student, or stage 1's best."""

    parameters: Positive
    macs: Positive
    ratio: Finite
    test_accuracy: Share | None
    file_bytes: Count
    activation_bytes: Count
    val_accuracy: NotRequired[Share | None]
    reward: NotRequired[Finite | None]
    search_reward: NotRequired[Finite | None]
    luck: NotRequired[Finite | None]
    test_accuracies: NotRequired[_Values]
    violates: NotRequired[list[str]]


class _Rival(_Student):
    """What stands beside the student."""

    student_ahead_by: _Values


class _Baseline(_Rival):
    """What another agent found."""

    agent: str


class _Class(TypedDict):
    """A class's validation accuracies."""

    name: str
    teacher: Share | None
    student: Share | None


class _Data(TypedDict):
    """Where the images come from, and what they tell."""

    doubt: str | None
    classes: list[_Class]
    images: Count
    teacher_low: Share
    teacher_high: Share
    validation: str
    test: str


class _Times(TypedDict):
    """Of a network's forward pass, in milliseconds."""

    median: Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]
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
    trained_on: NotRequired[Count]
    failed: NotRequired[dict[str, Count]]


class _Result(TypedDict):
    """What the package reads of a result; it has more."""

    teacher: _Teacher
    student: _Student | None
    stage1: NotRequired[_Student]
    beside: NotRequired[dict[str, _Rival]]
    baseline: NotRequired[_Baseline]
    verdict: NotRequired[str | None]
    data: _Data
    speed: NotRequired[list[_Speed]]
    search: _Counts
    seed: Count
    device: str
    threads: Count | None
    machine: NotRequired[dict[str, str | float | None]]
    versions: dict[str, str]
    finished: Moment


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


def has_network(result: dict[str, Any]) -> bool:
    """Whether a run that ended so keeps a network: one that found none, or had no final trainings, does not."""
    return result[STUDENT] is not None and result[STUDENT]["test_accuracy"] is not None


def result_of(run: Path) -> dict[str, Any] | None:
    """What a run ended with; None while it is not finished.

    Raises:
        InputError: If its file is damaged.
    """
    return read_result(run) if (run / RESULT).exists() else None
