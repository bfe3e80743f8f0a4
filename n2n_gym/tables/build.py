"""Builds tables: trains every student of a space with several seeds, stops and resumes at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import SIZES
from n2n_gym.data import load_dataset
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.problem import Problem
from n2n_gym.stages import stage_by_name
from n2n_gym.system.device import torch_device
from n2n_gym.system.documents import read_document
from n2n_gym.system.files import write_json
from n2n_gym.system.versions import library_versions
from n2n_gym.tables.files import check_name, epochs_looked_at
from n2n_gym.tables.space import Space
from n2n_gym.tables.table import Table
from n2n_gym.tables.trainings import Progress, silent, trained, trained_joined
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.joined import check_joined
from n2n_gym.training.recipes import search_recipe

CHUNK = 100
"""Students handed out at a time: what is done is kept, the rest is lost when a build is stopped."""


def build_table(
    problem: Problem,
    stage_name: str,
    out: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    architecture: str | None = None,
    recipe: str = "paper",
    joined: bool = False,
    workers: int | str | None = None,
    facts: dict[str, Any] | None = None,
    prepare: Callable[[], object] = lambda: None,
    on_progress: Progress = silent,
) -> Table:
    """Train every student of a space, test it, and write the table.

    Evaluations are kept beside `out`, in a `.sqlite` file, as they are made: the same call goes on where it was.

    Args:
        problem: Teacher and data.
        stage_name: `removal`, `shrink` or `both`.
        out: The table's `.npz` file; the table is called as the file is.
        seeds: Each student is trained once with each.
        architecture: With `shrink`, file of the student that episodes start from.
        recipe: How students are trained.
        joined: Whether a student's trainings are joined (`JoinedTrainings`); accuracies are known only at the end then.
        workers: As in `make_evaluator`.
        facts: More to write down, such as the machine.
        prepare: Called when the space is known to be small enough, before the teacher is trained.
        on_progress: See `Progress`.

    Raises:
        InputError: If a name is unknown, no table can be called as the file is, the space is too large, trainings cannot be
            joined, or memory was not enough.
    """
    check_name(out.stem)
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds must be one or more different numbers, not {list(seeds)}")
    by = search_recipe(recipe, problem.data, problem.train_size)
    if by.inherits:
        raise InputError(f"a table has one row for equal students, which recipe {recipe!r} tells apart; build it by another")
    if joined:
        check_joined(problem.architecture)
    stage = stage_by_name(stage_name, problem.architecture, architecture)
    space = Space(stage)
    begun = out.with_suffix(".begun.json")
    if not begun.exists():
        write_json(begun, {"started": _now()})
    prepare()
    teacher = ready_teacher(problem, device=torch_device("cpu"))
    on_progress(0, len(space.students) * len(seeds))
    train = trained_joined if joined else partial(trained, chunk=CHUNK)
    store = out.with_suffix(".sqlite")
    evaluations = train(problem, space.students, seeds, recipe=recipe, workers=workers, store=store, on_progress=on_progress)
    checkpoint = teacher.checkpoint
    dataset = load_dataset(problem.data)
    data = {
        "name": out.stem,
        "problem": asdict(problem),
        "data": problem.data.identity,
        "stage": stage_name,
        "base": stage.base.to_json(),
        "shape": [stage.actions] * stage.decisions,
        "seeds": list(seeds),
        "recipe": by.to_json(),
        "joined": joined,
        "teacher": {
            "fingerprint": checkpoint.fingerprint,
            "identity": problem.identity,
            "architecture": problem.architecture.to_json(),
            "parameters": problem.architecture.parameters,
            "val_accuracy": teacher.validation_accuracy,
            "test_accuracy": checkpoint.facts["test_accuracy"],
        },
        "validation_images": len(dataset.split(problem.train_size)[1]),
        "test_images": len(dataset.test[1]),
        "versions": library_versions(),
        "started": read_document(begun, dict[str, str], "note of a table's beginning", remedy="remove it").get("started", ""),
        "finished": _now(),
        **(facts or {}),
    }
    table = Table(*_columns(data, space, evaluations))
    table.save(out)
    begun.unlink()
    return table


def _columns(
    facts: dict[str, Any], space: Space, evaluations: list[list[Evaluation]]
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    epochs = epochs_looked_at(facts)
    reasons = list(dict.fromkeys(["", *(each.reason for by_seed in evaluations for each in by_seed)]))
    by_row = list(zip(*evaluations, strict=True))
    nothing = (0.0,) * epochs

    def of_trainings(value: Callable[[Evaluation], Any], dtype: Any) -> npt.NDArray[Any]:
        return np.array([[value(each) for each in row] for row in by_row], dtype=dtype)

    def counted(share: float, images: int) -> int:
        return round(share * images)

    columns = {
        "row_of": space.row_of,
        "fingerprint": np.array([int(s.architecture.fingerprint[:16], 16) for s in space.students], dtype=np.uint64),
        **{size: np.array([getattr(s.architecture, size) for s in space.students], dtype=np.int64) for size in SIZES},
        "reason": of_trainings(lambda e: reasons.index(e.reason), np.min_scalar_type(len(reasons))),
        "correct": of_trainings(
            lambda e: [counted(share, facts["validation_images"]) for share in e.epoch_accuracy or nothing],
            _counting(facts["validation_images"]),
        ),
        "test_correct": of_trainings(
            lambda e: counted(e.test_accuracy or 0.0, facts["test_images"]), _counting(facts["test_images"])
        ),
        "seconds": of_trainings(lambda e: e.seconds, np.float32),
    }
    return {**facts, "reasons": reasons}, columns


def _counting(images: int) -> np.dtype[Any]:
    """The type of counts of images; up to 65,535 of them always the same, so that tables are equal to those of before."""
    return np.promote_types(np.uint16, np.min_scalar_type(images))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
