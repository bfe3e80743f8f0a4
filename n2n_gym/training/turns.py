"""Several trainings in one thread, a step of each in turn."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import ParamSpec, TypeVar

import torch

Ended = TypeVar("Ended")
Asked = ParamSpec("Asked")

ON_A_GPU = 24
"""So many trainings take turns on a GPU."""


def finished(training: Generator[None, None, Ended]) -> Ended:
    """What a training, which pauses after each step, ends with."""
    while True:
        try:
            next(training)
        except StopIteration as end:
            ended: Ended = end.value
            return ended


def without_pause(training: Callable[Asked, Generator[None, None, Ended]]) -> Callable[Asked, Ended]:
    """A training that pauses, as a function that does not, with the same arguments."""

    @functools.wraps(training)
    def whole(*arguments: Asked.args, **options: Asked.kwargs) -> Ended:
        return finished(training(*arguments, **options))

    return whole


class Stopwatch:
    """Tells how long a training takes that others have their turns beside; it runs from when it is made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was made, without others' turns, and with what was added."""
        return time.monotonic() - self._begun

    def add(self, seconds: float) -> None:
        """Count what was not measured, or, if negative, what is not to count."""
        self._begun -= seconds

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While something is done that is not to count."""
        begun = self.seconds
        try:
            yield
        finally:
            self.add(begun - self.seconds)

    def over(self, training: Generator[None, None, Ended]) -> Generator[None, None, Ended]:
        """The training, timed."""
        while True:
            try:
                next(training)
            except StopIteration as end:
                ended: Ended = end.value
                return ended
            with self.paused():
                yield


def in_turns(trainings: Sequence[Generator[None, None, Ended]], device: torch.device, *, at_once: int) -> list[Ended]:
    """What trainings end with that take turns, in their order; see `as_they_end`."""
    ended = dict(as_they_end(trainings, device, at_once=at_once))
    return [ended[number] for number in range(len(trainings))]


def as_they_end(
    trainings: Sequence[Generator[None, None, Ended]], device: torch.device, *, at_once: int
) -> Iterator[tuple[int, Ended]]:
    """Trainings that take turns, step by step: which one ended, and with what.

    On a GPU each has a stream of its own, so that the kernels of small networks, which leave most of it idle, run side by
    side; processes would only wait for each other.

    Args:
        trainings: Each pauses after every step.
        device: Where they compute.
        at_once: So many take turns; the next one begins when one ends.
    """
    waiting = list(range(len(trainings)))[::-1]
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)  # what all of them read was put there in another stream
    running: dict[int, torch.cuda.Stream | None] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            running[waiting.pop()] = torch.cuda.Stream(device) if on_gpu else None
        for number, stream in list(running.items()):
            with torch.cuda.stream(stream) if stream else contextlib.nullcontext():
                try:
                    next(trainings[number])
                    continue
                except StopIteration as end:
                    ended: Ended = end.value
            del running[number]
            yield number, ended
