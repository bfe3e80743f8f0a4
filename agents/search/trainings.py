"""Final trainings side by side: on a CPU in processes of one thread, whose number changes no result; on a GPU in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from agents.search.student import FinalTraining, Training
from n2n_gym.problem import Problem
from n2n_gym.system.device import torch_device
from n2n_gym.system.pool import Pool
from n2n_gym.system.worker import tell_parent
from n2n_gym.teachers.saved import Teacher, ready_teacher
from n2n_gym.training.recipes import Recipe
from n2n_gym.training.turns import ON_A_GPU


class FinalTrainings:
    """Does final trainings, several at a time.

    Args:
        problem: Teacher and data.
        teacher: The trained teacher.
        recipe: How.
        device: Where.
        processes: So many at a time. On a CPU each has a process, but with 0 or 1 they are done here, one after the other;
            on a GPU they take turns here, `ON_A_GPU` by default.
        logits: Folder for the teacher's logits, which all of them need.
    """

    def __init__(
        self, problem: Problem, teacher: Teacher, recipe: Recipe, *, device: str, processes: int, logits: Path
    ) -> None:
        self._problem = problem
        self._teacher = teacher
        self._recipe = recipe
        self._device = device
        self._processes = processes
        self._logits = logits

    @cached_property
    def here(self) -> FinalTraining:
        """What trains, and tests, in this process."""
        return FinalTraining(self._problem, self._teacher, self._recipe, device=self._device, logits=self._logits)

    def run(self, trainings: Sequence[Training], on_epoch: Callable[[int], None]) -> None:
        """Do them all; what was stopped on its way is gone on with.

        Args:
            trainings: Of distinct folders.
            on_epoch: Told how many epochs of all of them are done.

        Raises:
            InputError: If a training diverges, or its processes are lost again and again.
        """
        done = dict.fromkeys(range(len(trainings)), 0)

        def tell(number: int, epoch: int) -> None:
            done[number] = epoch
            on_epoch(sum(done.values()))

        processes = min(self._processes, len(trainings))
        if torch_device(self._device).type == "cuda":
            self.here.run(trainings, tell, at_once=processes or ON_A_GPU)
        elif processes > 1:
            self._side_by_side(trainings, processes, tell)
        else:
            self.here.run(trainings, tell)

    def _side_by_side(self, trainings: Sequence[Training], processes: int, tell: Callable[[int, int], None]) -> None:
        with Pool(processes, _begin, (self._problem, self._recipe, self._device, self._logits)) as pool:
            for _ in pool.each(_train, trainings, tell):
                pass


_training: FinalTraining  # in a worker process


def _begin(what: tuple[Problem, Recipe, str, Path]) -> None:
    global _training
    problem, recipe, device, logits = what
    teacher = ready_teacher(problem, device=torch_device(device))
    _training = FinalTraining(problem, teacher, recipe, device=device, logits=logits)


def _train(training: Training) -> None:
    _training.run([training], lambda _, epoch: tell_parent(epoch))
