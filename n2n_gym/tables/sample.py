"""Some students of a space that is too large to train all of it: drawn at random, trained, and kept as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.data import PLAIN, DataSettings
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem
from n2n_gym.settings import values_of
from n2n_gym.stages import Stage, stage_by_name
from n2n_gym.student import Student
from n2n_gym.system.documents import Count, Positive, Share, checked, read_document, shown
from n2n_gym.system.files import write_json
from n2n_gym.tables.files import Name, check_name
from n2n_gym.tables.trainings import Progress, silent, trained, trained_joined

FORMAT = 1

CHUNK = 50
"""Students handed out at a time."""

TRIES = 50
"""Times as many episodes as students, at most, that are drawn for distinct ones."""

REMEDY = "build it again (n2n table sample or transfer), or get it again from where it came"

FEWEST = 3
"""Students of a sample: a model learns from two at least, and is judged by one that it has not seen."""

Shares = Annotated[tuple[Share, ...], msgspec.Meta(min_length=2)]


@dataclass(frozen=True, kw_only=True)
class SampledStudent:
    """A student that was trained.

    Attributes:
        actions: A digit for each decision of an episode that leads to it.
        accuracy: On validation images, of each training.
        test_accuracy: On test images, likewise.
    """

    actions: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]+\Z")]
    accuracy: Shares
    test_accuracy: Shares

    @property
    def episode(self) -> tuple[int, ...]:
        """The actions as numbers."""
        return tuple(map(int, self.actions))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Students of a stage, each trained several times with different seeds; the last training says what they are worth.

    Attributes:
        name: Tells it from others.
        architecture: The teacher's, as JSON data.
        dataset: What teacher and students are trained on.
        train_size: How many images of it.
        stage: `removal`, `shrink` or `both`.
        recipe: How students are trained.
        val_accuracy: The teacher's.
        test_accuracy: The teacher's.
        students: Distinct ones, drawn at random, all of whose trainings went well: who failed once has failed, as in a table.
        family: Of networks that the teacher is of, if it was generated.
        held_out: Whether it is for testing, and not for learning.
        format: Of the file.
        data: What the data set is known by wherever its files lie; empty in files of before, which do not say it.
        reading: How it is read.
        identity: What the teacher is, as `Problem.identity`; empty in files of before, which do not say it.
        failed: How many were drawn besides, and left out because a training of theirs failed.
    """

    name: Name
    architecture: dict[str, Any]
    dataset: str
    train_size: Positive | None
    stage: str
    recipe: str
    val_accuracy: Share
    test_accuracy: Share
    students: Annotated[tuple[SampledStudent, ...], msgspec.Meta(min_length=FEWEST, max_length=100_000)]
    family: str = ""
    held_out: bool = False
    format: Count = FORMAT
    data: str = ""
    reading: DataSettings = PLAIN
    identity: str = ""
    failed: Count = 0

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: If it is missing, damaged, or of another version.
        """
        data = read_document(path, dict[str, Any], "sample of students", remedy=REMEDY)
        if data.get("format") != FORMAT:
            raise InputError(f"{path} is no sample of students of format {FORMAT}; {REMEDY}")
        found = checked(data, cls, f"{path} is no sample of students", remedy=REMEDY)
        try:
            decisions = found.decisions
        except ValueError as error:
            raise InputError(f"{path}: {shown(error)}; {REMEDY}") from None
        for student in found.students:
            episode = student.episode
            if len(episode) != decisions.decisions or max(episode) >= decisions.actions:
                raise InputError(f"{path}: {student.actions} are no actions of an episode; {REMEDY}")
        return found

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """It as JSON data; what files of before lack is left out where it says nothing, so that they stay what they are."""
        unsaid = (("data", ""), ("reading", PLAIN), ("identity", ""), ("failed", 0))
        silent_about = {name for name, nothing in unsaid if getattr(self, name) == nothing}
        return {key: value for key, value in asdict(self).items() if key not in silent_about}

    @property
    def arguments(self) -> dict[str, Any]:
        """Of an environment over it, all but the teacher: data and recipe."""
        return {"dataset": self.dataset, "train_size": self.train_size, "recipe": self.recipe, **asdict(self.reading)}

    @cached_property
    def teacher(self) -> Architecture:
        """The teacher."""
        return Architecture.from_json(self.architecture)

    @cached_property
    def decisions(self) -> Stage:
        """What is decided."""
        return stage_by_name(self.stage, self.teacher)


def shipped_samples() -> list[Path]:
    """Files of the samples that the package has, to learn across and to be tested on."""
    return _packaged("samples")


def large_samples() -> dict[str, Path]:
    """Files of the package's samples of spaces that are too large for a table, to compare algorithms on, by name."""
    return {path.stem: path for path in _packaged("large")}


def _packaged(folder: str) -> list[Path]:
    return sorted((Path(str(files("n2n_gym"))) / "tables" / folder).glob("*.json"))


def draw_students(stage: Stage, count: int) -> list[tuple[tuple[int, ...], Student]]:
    """Distinct feasible students of a stage with an episode that leads to each: random ones, the same for the same stage.

    Half are decided layer by layer at random, half follow a trend over depth, for random decisions alone lead to students that
    are nearly alike in size. There are fewer where there are not so many.
    """
    rng = np.random.default_rng(int(stage.base.fingerprint[:8], 16))
    found: dict[str, tuple[tuple[int, ...], Student]] = {}
    for index in range(TRIES * count):
        actions = stage.trend(rng) if index % 2 else stage.random_actions(rng)
        student = stage.student(actions)
        if student.architecture.verdict(stage.teacher).feasible:
            found.setdefault(student.architecture.fingerprint, (tuple(actions), student))
        if len(found) == count:
            break
    return list(found.values())


def build_sample(
    name: str,
    problem: Problem,
    stage_name: str,
    folder: Path,
    *,
    students: int,
    recipe: str = "fast",
    trainings: int = 2,
    joined: bool = False,
    workers: int | str | None = None,
    family: str = "",
    held_out: bool = False,
    prepare: Callable[[], object] = lambda: None,
    on_progress: Progress = silent,
) -> Path:
    """Train students of a stage, and write what was found to `NAME.json`.

    Trainings are kept in `NAME.sqlite` as they are made: the same call goes on where it was.

    Args:
        name: What it is called.
        problem: Teacher and data.
        stage_name: `removal`, `shrink` or `both`, of the teacher itself.
        folder: Where to.
        students: How many distinct ones; fewer, where there are not so many, or trainings of some fail.
        recipe: How they are trained.
        trainings: How many times each, with the seeds from 0 on; the last is for the truth.
        joined: Whether a student's trainings are joined (`JoinedTrainings`).
        workers: As in `make_evaluator`.
        family: Of networks, to write down.
        held_out: To write down.
        prepare: Called before the teacher is trained.
        on_progress: See `Progress`.

    Raises:
        InputError: If nothing can be called so, numbers are out of range, there are too few students, or too few whose
            trainings go well, trainings cannot be joined, or memory was not enough.
    """
    check_name(name)
    if students < FEWEST or trainings < 2:
        raise InputError(f"a sample needs {FEWEST} students and 2 trainings of each, or more, not {students} and {trainings}")
    from n2n_gym.system.device import torch_device  # here: samples are also read where nothing is trained, and torch is large
    from n2n_gym.teachers.saved import ready_teacher
    from n2n_gym.training.joined import check_joined

    if joined:
        check_joined(problem.architecture)
    chosen = draw_students(stage_by_name(stage_name, problem.architecture), students)
    if len(chosen) < FEWEST:
        found = f"{stage_name} leads to {len(chosen)} students that can be trained"
        raise InputError(f"{found}, and a sample needs {FEWEST} or more; take a larger teacher")
    prepare()
    on_progress(0, trainings * len(chosen))
    teacher = ready_teacher(problem, device=torch_device("cpu"))
    train = trained_joined if joined else partial(trained, chunk=CHUNK)
    done = train(
        problem,
        [student for _, student in chosen],
        range(trainings),
        recipe=recipe,
        workers=workers,
        store=folder / f"{name}.sqlite",
        on_progress=on_progress,
    )
    by_student = list(zip(*done, strict=True))
    sound = [index for index, trainings in enumerate(by_student) if not any(each.reason for each in trainings)]
    failed = len(chosen) - len(sound)
    if len(sound) < FEWEST:
        found = f"trainings of {failed} of {len(chosen)} students failed"
        raise InputError(f"{found}, and a sample needs {FEWEST} or more whose go well; take another recipe or teacher")
    path = folder / f"{name}.json"
    Sample(
        name=name,
        architecture=problem.architecture.to_json(),
        dataset=problem.dataset,
        train_size=problem.train_size,
        stage=stage_name,
        recipe=recipe,
        val_accuracy=teacher.validation_accuracy,
        test_accuracy=teacher.test_accuracy,
        students=tuple(
            SampledStudent(
                actions="".join(map(str, chosen[index][0])),
                accuracy=tuple(round(each.accuracy, 6) for each in by_student[index]),
                test_accuracy=tuple(round(each.test_accuracy or 0.0, 6) for each in by_student[index]),
            )
            for index in sound
        ),
        family=family,
        held_out=held_out,
        data=problem.data.identity,
        reading=DataSettings(**values_of(problem, DataSettings)),
        identity=problem.identity,
        failed=failed,
    ).save(path)
    return path
