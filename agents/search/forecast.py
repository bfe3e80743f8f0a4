"""When a run will end, as far as that can be told from what it has done so far."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from agents.display import Display
from agents.search.options import Search
from n2n_gym.system.device import torch_device
from n2n_gym.system.machine import process_count
from n2n_gym.system.progress import EPOCH, STUDENT, heard
from n2n_gym.training.recipes import final_recipe, search_recipe

SHARE = 0.5
"""Of the time that its teacher takes for an epoch, a student's before any was trained: a guess."""

ENOUGH = 0.1
"""Of an update, a student or an epoch: what was done before tells of the start of processes, not of the pace."""

RACING = 2
"""Finalists that are still in the race after its first round, as a rule."""

TEACHER, STAGES, FINALS = "teacher", ("stage 1", "stage 2"), "final training"


class Forecast(Display):
    """Hands on what a run tells, and beside it when the run will end.

    What is under way goes on as it went so far. A stage to come takes what the one before it took, or what its students would
    take at their teacher's pace; final trainings take as long for an epoch as the search's students did.

    Args:
        display: Shows it.
        search: What the run does.
    """

    def __init__(self, display: Display, search: Search) -> None:
        self._display = display
        problem = search.problem
        recipe = search_recipe(search.recipe, problem.data, problem.train_size)
        final = final_recipe(problem.data, problem.train_size)
        images = problem.train_size or problem.data.images
        self._search = search
        self._at_once = max(
            process_count(search.workers if isinstance(search.workers, int) else None, torch_device(search.device)), 1
        )
        self._short = recipe.epochs * min(recipe.images or images, images) / images  # epochs of all images
        self._long = search.final_epochs or final.epochs
        self._task = ""
        self._total, self._done, self._begun_at = 1, 0.0, 0.0
        self._begun = time.monotonic()
        self._student: float | None = None  # seconds of the clock for one of the search's students
        self._trainings = self._expected_trainings()  # final ones still to come, the batch at hand included
        self._held: list[ExitStack] = []

    def start(self, task: str, total: int, done: int = 0) -> None:
        if FINALS in task:
            batch = total / self._long
            before = self._trainings - self._total / self._long if FINALS in self._task else batch + self._later(batch)
            self._trainings = max(before, batch)
        self._task, self._total, self._done, self._begun_at = task.split(",")[0], total, done, done
        self._begun = time.monotonic()
        self._display.start(task, total, done)
        self._foretell()

    def update(self, done: int, note: str) -> None:
        self._done = done
        self._display.update(done, note)
        self._foretell()

    def detail(self, what: str, done: int, total: int | None) -> None:
        within = int(self._done)
        if total and what.startswith(STUDENT if self._task in STAGES else EPOCH):
            self._done = within + min(done / total, 0.999)
            self._foretell()
        self._display.detail(what, done, total)

    def say(self, line: str) -> None:
        self._display.say(line)

    def expect(self, seconds: float) -> None:
        self._display.expect(seconds)

    def __enter__(self) -> Self:
        held = ExitStack()
        held.enter_context(self._display)
        held.enter_context(heard(self.detail))
        self._held.append(held)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held.pop().__exit__(kind, error, trace)

    def _expected_trainings(self) -> float:
        search = self._search
        if not search.finalists:
            return 0
        first = search.finalists + (search.unsearched and search.finalists > 1)
        return first + self._later(first)

    def _later(self, first: float) -> float:
        """How many follow the first trainings of so many finalists."""
        again = min(RACING, first) * (self._search.final_trainings - 1)
        return again + len(self._search.beside) * self._search.final_trainings

    def _foretell(self) -> None:
        done = self._done - self._begun_at
        if done < ENOUGH:
            return
        step = (time.monotonic() - self._begun) / done
        left = step * max(self._total - self._done, 0)
        stages = [f"stage {number}" for number in self._search.stages.split("+")]
        if self._task == TEACHER:
            self._student = SHARE * step * self._short / self._at_once
            left += len(stages) * self._stage + self._finals
        elif self._task in STAGES:
            each = step if self._search.budget else step / self._search.rollouts
            known = self._student
            self._student = max(each, known or 0.0)  # later ones are known, or like others: finals are not
            left += len([name for name in stages if name > self._task]) * self._stage + self._finals
            if self._done != int(self._done):  # a part of one says what is left, and is not kept: it includes the start
                self._student = known
        elif FINALS in self._task:
            left += step * max(self._trainings * self._long - self._total, 0)
        else:
            return
        self._display.expect(left)

    @property
    def _stage(self) -> float:
        """Seconds of a stage to come."""
        students = self._search.budget or self._search.iterations * self._search.rollouts
        return (self._student or 0.0) * students

    @property
    def _finals(self) -> float:
        """Seconds of all final trainings."""
        return (self._student or 0.0) * self._long / self._short * self._trainings
