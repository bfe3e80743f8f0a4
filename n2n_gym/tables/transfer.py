"""Tasks to learn across: many small networks on several data sets, some to learn on, others held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.data import dataset_spec
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.networks.generated import FAMILIES, generated
from n2n_gym.problem import Problem
from n2n_gym.stages import stage_by_name
from n2n_gym.student import Student
from n2n_gym.system.files import write_json

LEARN, HELD_OUT = 32, 16

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10")

UNSEEN_FAMILY, UNSEEN_DATASET = "dense", "cifar10"
"""What no task to learn on has; of the held-out ones a third each has the one or the other."""

TRAIN_SIZES = (500, 1_000, 2_000)

CHUNK = 50
"""Students handed out at a time."""

TRIES = 50
"""Times as many episodes as students, at most, that are drawn for distinct ones."""


@dataclass(frozen=True)
class TransferTask:
    """A network and the images that it and its students are trained on.

    Attributes:
        name: Tells it from the others.
        family: One of `FAMILIES`.
        architecture: The teacher.
        dataset: Its data.
        train_size: How many images.
        stage: `removal` or `shrink`.
        held_out: Whether it is for testing, and not for learning.
    """

    name: str
    family: str
    architecture: Architecture
    dataset: str
    train_size: int
    stage: str
    held_out: bool


def transfer_tasks(seed: int = 0) -> list[TransferTask]:
    """32 tasks to learn on, and 16 held out: 5 of a family and 5 of a data set that none of the former has, 6 like them.

    Args:
        seed: Draws them; the same for the same.
    """
    rng = np.random.default_rng(seed)
    seen_families = [family for family in FAMILIES if family != UNSEEN_FAMILY]
    seen_datasets = [name for name in DATASETS if name != UNSEEN_DATASET]
    third = HELD_OUT // 3
    tasks: list[TransferTask] = []
    known: set[tuple[str, str, int, str]] = set()
    while len(tasks) < LEARN + HELD_OUT:
        index = len(tasks)
        place = index - LEARN
        family = UNSEEN_FAMILY if 0 <= place < third else seen_families[index % len(seen_families)]
        dataset = UNSEEN_DATASET if third <= place < 2 * third else str(rng.choice(seen_datasets))
        spec = dataset_spec(dataset)
        architecture = generated(family, rng, spec.input_shape, spec.classes)
        train_size = int(rng.choice(TRAIN_SIZES))
        stage = ("removal", "shrink")[int(rng.integers(2))]
        key = (architecture.fingerprint, dataset, train_size, stage)
        if key not in known:
            known.add(key)
            name = f"{index:02d}-{family}-{dataset}-n{train_size}-{stage}"
            tasks.append(TransferTask(name, family, architecture, dataset, train_size, stage, held_out=place >= 0))
    return tasks


def distinct_students(task: TransferTask, problem: Problem, count: int) -> list[tuple[tuple[int, ...], Student]]:
    """Distinct feasible students of a task with an episode that leads to each: random ones, the same for the same task.

    Half are decided layer by layer at random, half follow a trend over depth, for random decisions alone lead to students that
    are nearly alike in size.
    """
    stage = stage_by_name(task.stage, problem.architecture)
    rng = np.random.default_rng(int(task.architecture.fingerprint[:8], 16))
    found: dict[str, tuple[tuple[int, ...], Student]] = {}
    for index in range(TRIES * count):
        actions = stage.trend(rng) if index % 2 else stage.random_actions(rng)
        student = stage.student(actions)
        if student.architecture.verdict(problem.architecture).feasible:
            found.setdefault(student.architecture.fingerprint, (tuple(actions), student))
        if len(found) == count:
            break
    return list(found.values())


def build_transfer_task(
    task: TransferTask,
    folder: Path,
    *,
    students: int = 200,
    recipe: str = "fast",
    trainings: int = 2,
    workers: int | str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train students of a task, and write what was found: `NAME.json`, plain data.

    Trainings are kept in `NAME.sqlite` as they are made: the same call goes on where it was.

    Args:
        task: It.
        folder: Where to; the teacher's architecture is written there, too.
        students: How many distinct ones; fewer, where there are not so many.
        recipe: How they are trained.
        trainings: How many times each, with the seeds from 0 on; the last is for the truth.
        workers: As in `make_evaluator`.
        on_progress: Told the trainings done, from 0, and how many there are.

    Raises:
        InputError: If numbers are out of range.
    """
    if students < 1 or trainings < 2:
        raise InputError(f"a task needs students, and two trainings of each or more, not {students} and {trainings}")
    teacher = folder / f"{task.name}-teacher.json"
    write_json(teacher, task.architecture.to_json())
    problem = Problem(str(teacher), task.dataset, 1.0, task.train_size)
    chosen = distinct_students(task, problem, students)
    rows: list[list[Evaluation]] = []
    progress = on_progress or (lambda _done, _trainings: None)
    progress(0, trainings * len(chosen))
    for seed in range(trainings):
        settings: dict[str, Any] = {"seed": seed, "device": "cpu", "workers": workers, "store": folder / f"{task.name}.sqlite"}
        with make_evaluator(problem, recipe=recipe, thorough=True, **settings) as evaluator:
            done: list[Evaluation] = []
            for start in range(0, len(chosen), CHUNK):
                done += evaluator.evaluate([student for _, student in chosen[start : start + CHUNK]])
                progress(seed * len(chosen) + len(done), trainings * len(chosen))
        rows.append(done)
    written = [
        {
            "actions": list(actions),
            "parameters": student.architecture.parameters,
            "macs": student.architecture.macs,
            "accuracy": [done[index].accuracy for done in rows],
            "test_accuracy": [done[index].test_accuracy for done in rows],
            "reason": next((done[index].reason for done in rows if done[index].reason), ""),
        }
        for index, (actions, student) in enumerate(chosen)
    ]
    described = {field.name: getattr(task, field.name) for field in fields(task)}
    facts = {**described, "architecture": task.architecture.to_json(), "recipe": recipe, "trainings": trainings}
    path = folder / f"{task.name}.json"
    write_json(path, {**facts, "students": written})
    return path
