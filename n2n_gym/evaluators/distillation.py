"""Trains one student from the teacher's logits (section 3.5)."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from n2n_gym.architecture import Architecture
from n2n_gym.evaluation import OUT_OF_MEMORY, TIMEOUT, Evaluation
from n2n_gym.evaluators.contract import Evaluator, Rung
from n2n_gym.evaluators.settings import TrainingSettings
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import inherit
from n2n_gym.problem import Problem
from n2n_gym.student import Student
from n2n_gym.system.device import one_thread, torch_device
from n2n_gym.system.memory import is_out_of_memory
from n2n_gym.system.versions import library_versions
from n2n_gym.teachers.saved import Teacher, ready_teacher
from n2n_gym.training.images import ImageData, Score
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import training
from n2n_gym.training.precision import has_bf16, pays_in_bf16
from n2n_gym.training.recipes import Recipe, search_recipe
from n2n_gym.training.turns import ON_A_GPU, Stopwatch, as_they_end, finished


class _OutOfTimeError(Exception):
    pass


@dataclass
class _Measured:
    """What is known of a student's training so far.

    Attributes:
        failure: Why it failed, or "".
        score: On the validation images.
        epoch_accuracy: The same after each epoch, if that is looked at.
        test_accuracy: On the test images, if that is looked at.
        watch: How long it takes, with earlier rungs, and without what a search does not look at.
    """

    failure: str = ""
    score: Score = field(default_factory=lambda: Score(0.0))
    epoch_accuracy: list[float] = field(default_factory=list)
    test_accuracy: float | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)

    def looked(self, score: Callable[[], Score]) -> Score:
        """A score that a search does not look at."""
        with self.watch.paused():
            return score()


@dataclass(frozen=True)
class DistillationEvaluator(TrainingSettings, Evaluator):
    """Trains each student for a few epochs with mean squared error to the teacher's logits.

    Attributes:
        problem: Teacher and data set.
        seed: Another seed gives every student another initialisation and order of images.
        thorough: Whether students are validated after each epoch and tested at the end, for tables; a search must not.
        rung: Where trainings are stopped; they are trained whole by default.
        shared: Folder through which processes share the teacher's logits; each computes them for itself by default.
    """

    problem: Problem
    seed: int = 0
    thorough: bool = False
    rung: Rung | None = None
    shared: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _ = self.training_recipe  # an unknown name is said at once

    def __getstate__(self) -> dict[str, Any]:  # a worker process reads teacher and images itself, but computes as we do
        known = (*(field.name for field in fields(self)), "bf16")
        return {name: self.__dict__[name] for name in known if name in self.__dict__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(
        self, memo: dict[int, Any]
    ) -> Self:  # teacher and images are only read: a copy in this process shares them
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def equipped(self, teacher: Teacher, data: ImageData, *, bf16: bool) -> Self:
        """This evaluator with teacher and images at hand, where their files are not, and arithmetic as it is elsewhere."""
        self.__dict__.update(trained_teacher=teacher, data=data, bf16=bf16)
        return self

    @cached_property
    def bf16(self) -> bool:
        """Whether larger students are trained in bfloat16."""
        return has_bf16(self._device)

    @property
    def epochs(self) -> int:
        return self.training_recipe.epochs

    def until(self, rung: Rung) -> Evaluator:
        _ = self.data, self.teacher_logits  # which both share
        stopping = copy.deepcopy(self)
        stopping.__dict__["rung"] = rung
        return stopping

    def sharing(self, folder: Path) -> Evaluator:
        return replace(self, shared=folder)

    @property
    def teacher(self) -> Architecture:
        return self.problem.architecture

    @property
    def inherits(self) -> bool:
        return self.training_recipe.inherits

    @cached_property
    def trained_teacher(self) -> Teacher:
        """The teacher with its weights; trained first if it was not yet."""
        return ready_teacher(self.problem, device=self._device)

    @cached_property
    def data(self) -> ImageData:
        """The images as the teacher reads them."""
        return ImageData.of(self.problem, self._device)

    @cached_property
    def teacher_logits(self) -> TeacherLogits:
        """The teacher's logits for the training images."""
        return TeacherLogits(self.trained_teacher.checkpoint.network.to(self._device), self.data, folder=self.shared)

    def context(self) -> dict[str, Any]:
        teacher = self.trained_teacher.checkpoint
        # Whoever imports may bring equal weights in another network, or another normalisation.
        imported = not self.problem.trained_here
        return {
            "evaluator": "distillation",
            "teacher": teacher.fingerprint,
            "dataset": teacher.facts["data_fingerprint"],
            "train_size": self.problem.train_size,
            "recipe": self.training_recipe.to_json(),
            "seed": self.seed,
            "device": self._device.type,
            "bf16": self.bf16,
            "versions": library_versions(),
            **({"network": self.problem.architecture.fingerprint} if imported else {}),
            **({"normalisation": own} if (own := self.problem.own_normalisation) else {}),
            **({"thorough": True} if self.thorough else {}),
            **({"rung": self.rung.epoch} if self.rung and self.rung.epoch < self.epochs else {}),
        }

    @property
    def at_once(self) -> int:
        """So many trainings take turns: one on a CPU, where they would only wait for each other."""
        return ON_A_GPU if self._device.type == "cuda" else 1

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        alone = list(range(len(students)))
        if self.at_once > 1:
            alone = []
            with one_thread(self._device):
                turns = as_they_end([self.steps(student) for student in students], self._device, at_once=self.at_once)
                for index, evaluation in turns:
                    if evaluation.reason == OUT_OF_MEMORY:  # beside others: it is tried again by itself
                        alone.append(index)
                    else:
                        yield index, evaluation
        for index in alone:
            yield index, self.train_student(students[index])

    def train_student(self, student: Student) -> Evaluation:
        """Train one feasible student and measure it."""
        with one_thread(self._device):
            return finished(self.steps(student))

    def steps(self, student: Student) -> Generator[None, None, Evaluation]:
        """Train a student and measure it; it pauses after each step."""
        _ = self.trained_teacher, self.teacher_logits  # no student pays for them
        known = _Measured()
        yield from known.watch.over(self._measured(student, known))
        seconds = known.watch.seconds
        if known.failure:
            return Evaluation.failed(student.architecture, self.teacher, known.failure, seconds)
        return Evaluation.of(
            student.architecture,
            self.teacher,
            accuracy=known.score.accuracy,
            teacher_accuracy=self.trained_teacher.validation_accuracy,
            class_accuracy=known.score.class_accuracy,
            epoch_accuracy=tuple(known.epoch_accuracy),
            test_accuracy=known.test_accuracy,
            seconds=seconds,
        )

    def _measured(self, student: Student, known: _Measured) -> Generator[None, None, None]:
        """Train a student and write down what becomes known of it."""
        bf16 = self.bf16 and pays_in_bf16(student.architecture, self._device)

        def on_epoch(epoch: int, _accuracy: float) -> None:
            if self.thorough and epoch < self.training_recipe.epochs:
                score = known.looked(lambda: self.data.validation_score(network, bf16=bf16))
                known.epoch_accuracy.append(score.accuracy)
            if self.timeout is not None and known.watch.seconds > self.timeout:
                raise _OutOfTimeError

        try:
            network = self.initialised(student)
            outcome = yield from training(
                network,
                self.data,
                self.training_recipe,
                seed=self.student_seed(student),
                teacher=self.teacher_logits,
                bf16=self.bf16,
                bf16_validation=True,
                on_epoch=on_epoch,
                resume=None if self.rung is None else self.rung.file(self.key(student)),
                until=None if self.rung is None else self.rung.epoch,
                watch=known.watch,
            )
            known.failure, known.score = outcome.failure, outcome.score
            if self.thorough and not known.failure:
                known.epoch_accuracy.append(outcome.score.accuracy)
                known.test_accuracy = known.looked(lambda: self.data.test_score(network)).accuracy
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            known.failure = OUT_OF_MEMORY
        except _OutOfTimeError:
            known.failure = TIMEOUT

    def initialised(self, student: Student) -> Network:
        """A student's network as its training begins: with fresh weights, or its teacher's if the recipe says so."""
        network = Network(student.architecture, torch.Generator().manual_seed(self.student_seed(student))).to(self._device)
        if self.inherits:
            inherit(network, student, self.trained_teacher.checkpoint.network)
        return network

    def student_seed(self, student: Student) -> int:
        """From fingerprint, recipe and seed, so that neither order nor number of workers changes a result."""
        text = json.dumps([self.key(student), self.training_recipe.to_json(), self.seed], sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])

    @cached_property
    def training_recipe(self) -> Recipe:
        """How students are trained."""
        return search_recipe(self.recipe, self.problem.data, self.problem.train_size)

    @cached_property
    def _device(self) -> torch.device:
        return torch_device(self.device)
