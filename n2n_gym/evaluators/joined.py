"""Trains each student with several seeds at once, for tables: the trainings are joined to one network's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from n2n_gym.errors import InputError
from n2n_gym.evaluation import OUT_OF_MEMORY, Evaluation
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.store import StoredEvaluator
from n2n_gym.evaluators.workers import REASONS
from n2n_gym.models.joined import JoinedNetwork
from n2n_gym.problem import Problem
from n2n_gym.student import Student
from n2n_gym.system.device import one_thread, torch_device
from n2n_gym.system.machine import process_count
from n2n_gym.system.memory import is_out_of_memory, keep_freed_memory
from n2n_gym.system.pool import Pool
from n2n_gym.system.worker import Lost
from n2n_gym.training.joined import train_joined

CPU = torch_device("cpu")

_trainings: JoinedTrainings  # in a worker process: what it trains students with


@dataclass(frozen=True)
class JoinedTrainings:
    """Trains and tests a student with each of some seeds, all at once, on a CPU and in float32.

    A training ends as a `DistillationEvaluator`'s with its seed would, but for the order in which numbers are summed.

    Attributes:
        problem: Teacher and data set.
        seeds: One for each training.
        recipe: How students are trained.
    """

    problem: Problem
    seeds: tuple[int, ...]
    recipe: str

    def __getstate__(self) -> dict[str, Any]:  # a worker process reads teacher and images itself
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def evaluators(self) -> list[_OneOfThem]:
        """What would train with each seed by itself; teacher and images are shared."""
        first = _OneOfThem(self.problem, self.seeds[0], thorough=True, recipe=self.recipe, device="cpu", seeds=self.seeds)
        teacher, data = first.trained_teacher, first.data
        return [replace(first, seed=seed).equipped(teacher, data, bf16=False) for seed in self.seeds]

    def train(self, student: Student) -> list[Evaluation]:
        """Train a feasible student; one evaluation for each seed."""
        evaluators = self.evaluators
        first = evaluators[0]
        teacher, architecture = first.trained_teacher, student.architecture
        seeds = [each.student_seed(student) for each in evaluators]
        logits = first.teacher_logits  # no student pays for them
        begun = time.monotonic()
        try:
            with one_thread(CPU):
                networks = JoinedNetwork([each.initialised(student) for each in evaluators])
                failures = train_joined(networks, first.data, first.training_recipe, seeds=seeds, teacher=logits)
                validated = first.data.validation_scores(networks)
                seconds = (time.monotonic() - begun) / len(seeds)
                tested = first.data.test_scores(networks)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return [Evaluation.failed(architecture, first.teacher, OUT_OF_MEMORY)] * len(seeds)
        return [
            Evaluation.failed(architecture, first.teacher, failure, seconds)
            if failure
            else Evaluation.of(
                architecture,
                first.teacher,
                accuracy=score.accuracy,
                teacher_accuracy=teacher.validation_accuracy,
                class_accuracy=score.class_accuracy,
                epoch_accuracy=(score.accuracy,),
                test_accuracy=test.accuracy,
                seconds=seconds,
            )
            for failure, score, test in zip(failures, validated, tested, strict=True)
        ]

    def stream(
        self, students: Sequence[Student], workers: int | str | None = 0, store: Path | None = None
    ) -> Iterator[tuple[int, list[Evaluation]]]:
        """Train feasible and distinct students; yield index and evaluations of each, those that the store knows first.

        Args:
            students: They.
            workers: Processes of this machine: 0 trains in this one, None takes one for each core.
            store: File in which evaluations are kept as they are made; nothing is kept without.

        Raises:
            InputError: If the workers are no number.
        """
        if isinstance(workers, str):
            raise InputError(f"joined trainings are for processes of this machine, not for workers {workers!r}; give a number")
        stored = [] if store is None else [StoredEvaluator(each, store) for each in self.evaluators]
        wanted = []
        try:
            for index, student in enumerate(students):
                known = [found for each in stored if (found := each.kept(student)) is not None]
                if len(known) == len(self.seeds):
                    yield index, known
                else:
                    wanted.append(index)
            for place, evaluations in self._trained([students[index] for index in wanted], workers):
                index = wanted[place]
                for each, evaluation in zip(stored, evaluations, strict=bool(stored)):
                    each.keep(students[index], evaluation)
                yield index, evaluations
        finally:
            for each in stored:
                each.close()

    def _trained(self, students: Sequence[Student], workers: int | None) -> Iterator[tuple[int, list[Evaluation]]]:
        processes = process_count(workers, CPU)
        if not processes:
            yield from ((index, self.train(student)) for index, student in enumerate(students))
            return
        teacher = self.problem.architecture
        with Pool(processes, _start_worker, self) as pool:
            for index, answer in pool.run(_train, students):
                if isinstance(answer, Lost):
                    failed = Evaluation.failed(students[index].architecture, teacher, REASONS[answer.reason])
                    answer = [failed] * len(self.seeds)
                yield index, answer


@dataclass(frozen=True)
class _OneOfThem(DistillationEvaluator):
    """One of a student's trainings; its evaluations are kept apart from those of trainings by themselves."""

    seeds: tuple[int, ...] = ()

    def context(self) -> dict[str, Any]:
        return super().context() | {"joined": list(self.seeds)}


def _start_worker(trainings: JoinedTrainings) -> None:
    global _trainings
    _trainings = trainings
    keep_freed_memory()


def _train(student: Student) -> list[Evaluation]:
    evaluations = _trainings.train(student)
    if evaluations[0].reason == OUT_OF_MEMORY:  # another process tries it by itself
        raise MemoryError
    return evaluations
