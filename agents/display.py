"""What a long run shows while it works."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
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
from rich.text import Text

from n2n_gym.system.progress import heard

if TYPE_CHECKING:
    from n2n_gym.problem import Problem
    from n2n_gym.teachers.saved import Teacher

QUIET = 30.0
"""Seconds after which a line is written where the output is no terminal, whether there is news or not."""

GLANCE = 0.1
"""Seconds between two looks at what is done within a step of a task."""


class Display:
    """Shows nothing; what a run tells it may be shown by a subclass."""

    def start(self, task: str, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, or goes on after `done` of them; the one before it is over."""

    def update(self, done: int, note: str) -> None:
        """`done` steps are done; `note` says how it goes."""

    def detail(self, what: str, done: int, total: int | None) -> None:
        """Within a step, or before the first task, so much of something is done (`n2n_gym.system.progress.Listener`)."""

    def expect(self, seconds: float) -> None:
        """The whole run will take about so much longer."""

    def say(self, line: str) -> None:
        """Something worth a line of its own."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The run is over."""


class _Bars(Progress):
    """Bars, and a line below them."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, style="dim")


class ProgressDisplay(Display):
    """A progress bar with the time left, and when the whole run will end, from the first second on.

    Where the output is no terminal, a line after each tenth of a task, and at least every half minute.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = _Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True), markup=False),
            BarColumn(bar_width=8),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"), markup=False),
            expand=True,
            console=console,
            disable=not console.is_terminal,
        )
        self._name = ""
        self._total = 1
        self._done = 0
        self._note = ""
        self._within = ""
        self._tenth = 0
        self._what = ""
        self._glanced = 0.0
        self._ends: float | None = None  # by the clock on the wall
        self._bar: TaskID | None = None
        self._open: list[list[TaskID]] = []  # the bars of each run that is in progress, a run within a series of runs
        self._stale: list[TaskID] = []  # those of runs of the series that are over
        self._held: list[ExitStack] = []
        self._written = 0.0
        self._over = threading.Event()

    def start(self, task: str, total: int, done: int = 0) -> None:
        self._finish()
        for bar in self._stale:
            self._progress.remove_task(bar)
        self._stale.clear()
        self._name, self._total, self._done, self._tenth = task, total, done, 10 * done // max(total, 1)
        self._note = self._within = ""
        self._bar = self._progress.add_task(task, total=total, completed=done, note="")
        self._open[-1].append(self._bar)
        if not self._console.is_terminal:
            self._line(f"{task}: {done} of {total}")

    def update(self, done: int, note: str) -> None:
        self._done, self._note, self._within = done, note, ""
        if self._bar is not None:
            self._progress.update(self._bar, completed=done, note=note)
        tenth = 10 * done // self._total
        if not self._console.is_terminal and tenth > self._tenth:
            self._tenth = tenth
            self._line(self._state())

    def detail(self, what: str, done: int, total: int | None) -> None:
        if (now := time.monotonic()) < self._glanced + GLANCE and what == self._what:
            return
        self._glanced, self._what = now, what
        if self._bar is None:
            self._bar = self._progress.add_task("starting", total=None, note="")
            self._open[-1].append(self._bar)
        self._within = f"{what} {done:,} of {total:,}" if total else what
        self._progress.update(self._bar, note="  ".join(filter(None, (self._within, self._note))))

    def expect(self, seconds: float) -> None:
        self._ends = time.time() + seconds
        self._progress.below = self._end()

    def say(self, line: str) -> None:
        self._line(line)

    def __enter__(self) -> Self:
        held = ExitStack()
        held.enter_context(heard(self.detail))
        self._held.append(held)
        if not self._open:
            self._written = time.monotonic()
            self._over.clear()
            self._progress.start()
            if not self._console.is_terminal:
                threading.Thread(target=self._keep_writing, args=(self._over,), daemon=True).start()
        self._open.append([])
        if self._bar is None:
            self._bar = self._progress.add_task("starting", total=None, note="")
            self._open[-1].append(self._bar)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        self._held.pop().close()
        self._ends, self._progress.below = None, ""
        if not self._name and self._bar is not None:
            self._drop(self._bar)
        self._bar = None
        self._stale += self._open.pop()  # the next run of a series has bars of its own
        if not self._open:
            self._name = ""
            self._over.set()
            self._progress.stop()

    def _finish(self) -> None:
        """The task at hand is over, though it had fewer steps than was thought."""
        if self._bar is None:
            return
        if self._name:
            self._progress.update(self._bar, total=self._done, completed=self._done, note=self._note)
        else:  # nothing but preparations so far
            self._drop(self._bar)
        self._bar = None

    def _drop(self, bar: TaskID) -> None:
        self._progress.remove_task(bar)
        for bars in self._open:
            if bar in bars:
                bars.remove(bar)

    def _state(self) -> str:
        task = f"{self._name}: {self._done} of {self._total}" if self._name else "starting"
        ends = "" if self._ends is None else self._end()
        return "  ".join(filter(None, (task, self._note, self._within, ends)))

    def _end(self) -> str:
        """When the run ends, and in what time."""
        assert self._ends is not None
        left = max(self._ends - time.time(), 0.0)
        if time.time() > self._ends + QUIET:
            return "the whole run takes longer than was foreseen"
        clock = time.strftime("%H:%M" if left < 20 * 3600 else "%a %H:%M", time.localtime(self._ends))
        return f"the whole run ends about {clock}, in {duration(left)}"

    def _line(self, line: str) -> None:
        self._written = time.monotonic()
        self._console.print(line, soft_wrap=True, markup=False, emoji=False, highlight=False)

    def _keep_writing(self, over: threading.Event) -> None:
        while not over.wait(1.0):
            if time.monotonic() > self._written + QUIET:
                self._line(self._state())


def duration(seconds: float) -> str:
    """A length of time, as exact as anybody wants to know it: `1.2 s`, `45 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.2g} s" if 0 < seconds < 9.5 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


def short(number: float) -> str:
    """A number in a few letters: 20,000 is 20k."""
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if abs(number) >= 10**power:
            return f"{number / 10**power:.3g}{unit}"
    return f"{number:.3g}"


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
    from n2n_gym.teachers.saved import TRAINING, ready_teacher  # torch takes long to import: not for --help

    def listen(what: str, done: int, total: int | None) -> None:
        if what == TRAINING:
            display.start("teacher", total or 1, done)
        else:
            display.detail(what, done, total)

    with heard(listen):
        return ready_teacher(
            problem, device=torch_device(device), on_epoch=lambda epoch, _accuracy: display.update(epoch, problem.name)
        )
