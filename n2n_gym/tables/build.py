"""Builds tables: trains every student of a space with several seeds, stops and resumes at any time; and trains some again."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import SIZES, Architecture
from n2n_gym.data import load_dataset
from n2n_gym.errors import InputError, unknown
from n2n_gym.evaluation import MACHINE_FAILURES, Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.problem import Problem
from n2n_gym.stages.base import Stage
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.system.device import torch_device
from n2n_gym.system.files import read_json, write_json
from n2n_gym.system.versions import library_versions
from n2n_gym.tables.table import Table
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.recipes import search_recipe

MOST_EPISODES = 20_000_000
MOST_STUDENTS = 200_000
CHUNK = 100
"""Students handed out at a time: what is done is kept, the rest is lost when a build is stopped."""


def stage_by_name(name: str, problem: Problem, architecture: str | None = None) -> Stage:
    """The decisions that a table is of.

    Args:
        name: `removal` or `shrink`.
        problem: Teacher and data.
        architecture: With `shrink`, file of the student that episodes start from; by default the teacher itself.

    Raises:
        InputError: If the name is unknown, or there is an architecture without a use for it.
    """
    if name == ShrinkStage.name:
        return ShrinkStage.of_file(problem.architecture, architecture)
    if name != RemovalStage.name:
        raise unknown("stage", name, (RemovalStage.name, ShrinkStage.name))
    if architecture is not None:
        raise InputError("an architecture to start from is for stage shrink; removals start from the teacher")
    return RemovalStage(problem.architecture)


class Space:
    """The distinct students of a stage, and which of them each action sequence leads to.

    Args:
        stage: The decisions.

    Attributes:
        students: Each once.
        row_of: Index into them of each action sequence, in lexicographic order.

    Raises:
        InputError: If there are too many for a table.
    """

    def __init__(self, stage: Stage) -> None:
        episodes = stage.actions**stage.decisions
        if episodes > MOST_EPISODES:
            raise InputError(
                f"{stage.decisions} decisions of {stage.actions} actions make more episodes than the {MOST_EPISODES:,} of a "
                "table; start from a smaller network"
            )
        maps = [_effective(stage, position) for position in range(stage.decisions)]
        if _combinations(maps) > MOST_STUDENTS and isinstance(stage, ShrinkStage):
            maps = [_choices(stage, position) for position in range(stage.decisions)]
        if _combinations(maps) > MOST_STUDENTS:
            raise InputError(
                f"{stage.decisions} decisions of {stage.actions} actions make {_combinations(maps):,} students, more than the "
                f"{MOST_STUDENTS:,} of a table; start from a smaller network"
            )
        found: dict[str, int] = {}
        self.students: list[Architecture] = []
        rows = []
        for actions in itertools.product(*(representatives for representatives, _ in maps)):
            student = stage.student(actions)
            row = found.setdefault(student.fingerprint, len(found))
            if row == len(self.students):
                self.students.append(student)
            rows.append(row)
        grid = np.array(rows, dtype=np.min_scalar_type(len(found))).reshape([len(choices) for choices, _ in maps])
        self.row_of: npt.NDArray[Any] = grid[np.ix_(*(places for _, places in maps))].ravel()


Choices = tuple[list[int], npt.NDArray[np.intp]]
"""At one position, some of the actions, and which of them each action is like."""


def _combinations(maps: list[Choices]) -> int:
    return math.prod(len(representatives) for representatives, _ in maps)


def _effective(stage: Stage, position: int) -> Choices:
    """The actions that are not masked; the others are like the one that leaves things as they are."""
    representatives = np.flatnonzero(stage.masks[position]).tolist()
    places = [representatives.index(a if a in representatives else stage.keep) for a in range(stage.actions)]
    return representatives, np.array(places, dtype=np.intp)


def _choices(stage: Stage, position: int) -> Choices:
    """The actions that differ in effect while all else stays: those that give a variable another value.

    Only where decisions are about variables of their own: of two activations in a row, removing either is like keeping both,
    but removing both is not.
    """
    found: dict[str, int] = {}
    representatives: list[int] = []
    places = []
    for action in range(stage.actions):
        actions = [stage.keep] * stage.decisions
        if stage.masks[position, action]:
            actions[position] = action
        place = found.setdefault(stage.student(actions).fingerprint, len(found))
        if place == len(representatives):
            representatives.append(actions[position])
        places.append(place)
    return representatives, np.array(places, dtype=np.intp)


def build_table(
    problem: Problem,
    stage_name: str,
    out: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    architecture: str | None = None,
    recipe: str = "paper",
    workers: int | str | None = None,
    facts: dict[str, Any] | None = None,
    prepare: Callable[[], object] = lambda: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Train every student of a space, test it, and write the table.

    Evaluations are kept beside `out`, in a `.sqlite` file, as they are made: the same call goes on where it was.

    Args:
        problem: Teacher and data.
        stage_name: `removal` or `shrink`.
        out: The table's `.npz` file; the table is called as the file is.
        seeds: Each student is trained once with each.
        architecture: With `shrink`, file of the student that episodes start from.
        recipe: How students are trained.
        workers: As in `make_evaluator`.
        facts: More to write down, such as the machine.
        prepare: Called when the space is known to be small enough, before the teacher is trained.
        on_progress: Told the trainings done, from 0, and how many there are.

    Raises:
        InputError: If a name is unknown, the space is too large, or memory was not enough.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds must be one or more different numbers, not {list(seeds)}")
    stage = stage_by_name(stage_name, problem, architecture)
    space = Space(stage)
    work = out.with_suffix(".sqlite")
    begun = out.with_suffix(".begun.json")
    if not begun.exists():
        write_json(begun, {"started": _now()})
    prepare()
    teacher = ready_teacher(problem, device=torch_device("cpu"))
    progress = on_progress or (lambda _done, _trainings: None)
    progress(0, len(space.students) * len(seeds))
    evaluations: list[list[Evaluation]] = []
    for seed in seeds:
        done: list[Evaluation] = []
        evaluator = make_evaluator(problem, recipe=recipe, seed=seed, device="cpu", workers=workers, store=work, thorough=True)
        with evaluator:
            for start in range(0, len(space.students), CHUNK):
                done += evaluator.evaluate(space.students[start : start + CHUNK])
                progress(len(evaluations) * len(space.students) + len(done), len(space.students) * len(seeds))
        evaluations.append(done)
    if failed := sum(each.reason in MACHINE_FAILURES for done in evaluations for each in done):
        raise InputError(f"{failed} trainings failed for want of memory or time, not by the students' fault; build again")
    checkpoint = teacher.checkpoint
    dataset = load_dataset(problem.dataset)
    data = {
        "name": out.stem,
        "problem": asdict(problem),
        "data": problem.data.identity,
        "stage": stage_name,
        "base": stage.base.to_json(),
        "shape": [stage.actions] * stage.decisions,
        "seeds": list(seeds),
        "recipe": search_recipe(recipe, problem.data, problem.train_size).to_json(),
        "teacher": {
            "fingerprint": checkpoint.fingerprint,
            "architecture": problem.architecture.to_json(),
            "parameters": problem.architecture.parameters,
            "val_accuracy": teacher.validation_accuracy,
            "test_accuracy": checkpoint.facts["test_accuracy"],
        },
        "validation_images": len(dataset.split(problem.train_size)[1]),
        "test_images": len(dataset.test[1]),
        "versions": library_versions(),
        "started": read_json(begun, "note of a table's beginning")["started"],
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
    epochs = facts["recipe"]["epochs"]
    reasons = list(dict.fromkeys(["", *(each.reason for by_seed in evaluations for each in by_seed)]))
    by_row = list(zip(*evaluations, strict=True))
    nothing = (0.0,) * epochs

    def of_trainings(value: Callable[[Evaluation], Any], dtype: Any) -> npt.NDArray[Any]:
        return np.array([[value(each) for each in row] for row in by_row], dtype=dtype)

    def counted(share: float, images: int) -> int:
        return round(share * images)

    columns = {
        "row_of": space.row_of,
        "fingerprint": np.array([int(s.fingerprint[:16], 16) for s in space.students], dtype=np.uint64),
        **{size: np.array([getattr(s, size) for s in space.students], dtype=np.int64) for size in SIZES},
        "reason": of_trainings(lambda e: reasons.index(e.reason), np.uint8),
        "correct": of_trainings(
            lambda e: [counted(share, facts["validation_images"]) for share in e.epoch_accuracy or nothing], np.uint16
        ),
        "test_correct": of_trainings(lambda e: counted(e.test_accuracy or 0.0, facts["test_images"]), np.uint16),
        "seconds": of_trainings(lambda e: e.seconds, np.float32),
    }
    return {**facts, "reasons": reasons}, columns


@dataclass(frozen=True)
class Retrained:
    """A training of a table, and the same training once more.

    Attributes:
        row: The student's row.
        seed: The training's.
        recorded: What the table says.
        found: What came out this time.
    """

    row: int
    seed: int
    recorded: Evaluation
    found: Evaluation

    @property
    def points(self) -> float:
        """By how many points of validation or test accuracy the two differ, whichever is more."""
        a, b = self.recorded, self.found
        return 100 * max(abs(a.accuracy - b.accuracy), abs((a.test_accuracy or 0.0) - (b.test_accuracy or 0.0)))

    @property
    def same_sizes(self) -> bool:
        """Whether all sizes are equal, parameters and MACs among them."""
        return all(getattr(self.recorded, size) == getattr(self.found, size) for size in SIZES)


def retrain(
    table: Table,
    students: int = 20,
    *,
    seed: int = 0,
    workers: int | str | None = None,
    prepare: Callable[[], object] = lambda: None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Retrained]:
    """Repeat some trainings of a table, each of another student, by its recipe, from the same teacher's logits.

    Args:
        table: It.
        students: How many, drawn from those that are not degenerate.
        seed: Of the draw.
        workers: As in `make_evaluator`.
        prepare: Called before the teacher is read or trained.
        on_progress: Told the trainings done.

    Returns:
        In the order of the table's seeds.

    Raises:
        InputError: If there are not so many students, or the table's problem or recipe is not to be had.
    """
    feasible = np.flatnonzero(table.feasible)
    if not 1 <= students <= len(feasible):
        raise InputError(f"{table} has {len(feasible)} students that were trained; {students} of them cannot be drawn")
    rng = np.random.default_rng(seed)
    rows = rng.choice(feasible, students, replace=False)
    seeds = rng.choice(table.seeds, students)
    problem = Problem(**table.facts["problem"])
    name = table.facts["recipe"]["name"]
    if search_recipe(name, problem.data, problem.train_size).to_json() != table.facts["recipe"]:
        raise InputError(f"{table} was made by another recipe than this version's {name!r}: {table.facts['recipe']}")
    stage = ShrinkStage(table.base) if table.stage == ShrinkStage.name else RemovalStage(table.base)
    prepare()
    done: list[Retrained] = []
    for training in table.seeds:
        drawn = rows[seeds == training].tolist()
        if not drawn:
            continue
        evaluator = make_evaluator(problem, recipe=name, seed=training, device="cpu", workers=workers, thorough=True)
        with evaluator:
            found = evaluator.evaluate([stage.student(table.actions(row)) for row in drawn])
        pairs = zip(drawn, found, strict=True)
        done += [Retrained(row, training, table.evaluation(row, training), evaluation) for row, evaluation in pairs]
        if on_progress is not None:
            on_progress(len(done))
    return done


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
