"""Tasks to learn across: many small networks on several data sets, some to learn on, others held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.data import dataset_spec
from n2n_gym.networks.generated import FAMILIES, generated
from n2n_gym.problem import Problem
from n2n_gym.system.files import write_json
from n2n_gym.tables.sample import build_sample
from n2n_gym.tables.trainings import Progress, silent

LEARN, HELD_OUT = 32, 16
TASKS = LEARN + HELD_OUT

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10")

UNSEEN_FAMILY, UNSEEN_DATASET = "dense", "cifar10"
"""What no task to learn on has; of the held-out ones a third each has the one or the other."""

TRAIN_SIZES = (500, 1_000, 2_000)


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
    while len(tasks) < TASKS:
        index = len(tasks)
        place = index - LEARN
        family = UNSEEN_FAMILY if 0 <= place < third else seen_families[index % len(seen_families)]
        dataset = UNSEEN_DATASET if third <= place < 2 * third else str(rng.choice(seen_datasets))
        spec = dataset_spec(dataset)
        architecture = generated(family, rng, spec.input_shape, spec.classes)
        available = (1 - spec.validation_share) * spec.images
        train_size = min(int(rng.choice(TRAIN_SIZES)), max(size for size in TRAIN_SIZES if size <= available))
        stage = ("removal", "shrink")[int(rng.integers(2))]
        key = (architecture.fingerprint, dataset, train_size, stage)
        if key not in known:
            known.add(key)
            name = f"{index:02d}-{family}-{dataset}-n{train_size}-{stage}"
            tasks.append(TransferTask(name, family, architecture, dataset, train_size, stage, held_out=place >= 0))
    return tasks


def build_transfer_task(
    task: TransferTask,
    folder: Path,
    *,
    students: int = 100,
    workers: int | str | None = None,
    on_progress: Progress = silent,
) -> Path:
    """Train students of a task twice each, and write what was found; see `build_sample`.

    Args:
        task: It.
        folder: Where to; the teacher's architecture is written there, too.
        students: How many distinct ones; fewer, where there are not so many.
        workers: As in `make_evaluator`.
        on_progress: See `Progress`.

    Raises:
        InputError: If numbers are out of range.
    """
    teacher = folder / f"{task.name}-teacher.json"
    write_json(teacher, task.architecture.to_json())
    problem = Problem(str(teacher), task.dataset, 1.0, task.train_size)
    return build_sample(
        task.name,
        problem,
        task.stage,
        folder,
        students=students,
        workers=workers,
        family=task.family,
        held_out=task.held_out,
        on_progress=on_progress,
    )
