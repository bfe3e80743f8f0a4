"""What a long run shows while it works."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

if TYPE_CHECKING:
    from n2n_gym.problem import Problem
    from n2n_gym.teachers.saved import Teacher


class Display:
    """Shows nothing; what a run tells it may be shown by a subclass."""

    def start(self, task: str, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, or goes on after `done` of them."""

    def update(self, done: int, note: str) -> None:
        """`done` steps are done; `note` says how it goes."""

    def say(self, line: str) -> None:
        """Something worth a line of its own."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The run is over."""


class ProgressDisplay(Display):
    """A progress bar with the time left; where the output is no terminal, a line after each tenth of a task.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=8),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            expand=True,
            console=console,
            disable=not console.is_terminal,
        )
        self._name = ""
        self._total = 1
        self._tenth = 0
        self._open: list[list[TaskID]] = []  # the bars of each run that is in progress, a run within a series of runs

    def start(self, task: str, total: int, done: int = 0) -> None:
        self._name, self._total, self._tenth = task, total, 10 * done // max(total, 1)
        self._task = self._progress.add_task(task, total=total, completed=done, note="")
        self._open[-1].append(self._task)
        if not self._console.is_terminal:
            self._print(f"{task}: {done} of {total}")

    def update(self, done: int, note: str) -> None:
        self._progress.update(self._task, completed=done, note=note)
        tenth = 10 * done // self._total
        if not self._console.is_terminal and tenth > self._tenth:
            self._tenth = tenth
            self._print(f"{self._name}: {done} of {self._total}  {note}")

    def say(self, line: str) -> None:
        self._print(line)

    def _print(self, line: str) -> None:
        """Print a line as it is: names of files may hold brackets."""
        self._console.print(line, soft_wrap=True, markup=False, emoji=False, highlight=False)

    def __enter__(self) -> Self:
        if not self._open:
            self._progress.start()
        self._open.append([])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        bars = self._open.pop()
        if self._open:
            for bar in bars:  # the next run of the series has its own
                self._progress.remove_task(bar)
        else:
            self._progress.stop()


def shown_teacher(problem: Problem, device: str, display: Display) -> Teacher:
    """The trained teacher of a problem; where it must be trained first, that is shown.

    Args:
        problem: Teacher and data.
        device: Where it is trained.
        display: Shows how it goes.

    Raises:
        InputError: If its data cannot be had, or it cannot be trained.
    """
    from n2n_gym.system.device import torch_device
    from n2n_gym.teachers.saved import ready_teacher  # torch takes long to import: not for --help
    from n2n_gym.training.recipes import teacher_recipe

    started = False

    def on_epoch(epoch: int, _accuracy: float) -> None:
        nonlocal started
        if not started:
            display.start("teacher", teacher_recipe(problem.data).epochs)
            started = True
        display.update(epoch, problem.name)

    return ready_teacher(problem, device=torch_device(device), on_epoch=on_epoch)
