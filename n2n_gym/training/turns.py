"""Several trainings in one thread, a step of each in turn."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Sequence
from typing import ParamSpec, TypeVar

import torch

Ended = TypeVar("Ended")
Asked = ParamSpec("Asked")


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


def in_turns(trainings: Sequence[Generator[None, None, Ended]], device: torch.device, *, at_once: int) -> list[Ended]:
    """What trainings end with that take turns, step by step.

    On a GPU each has a stream of its own, so that the kernels of small networks, which leave most of it idle, run side by
    side; processes would only wait for each other.

    Args:
        trainings: Each pauses after every step.
        device: Where they compute.
        at_once: So many take turns; the next one begins when one ends.
    """
    ended: dict[int, Ended] = {}
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
                except StopIteration as end:
                    ended[number] = end.value
                    del running[number]
    return [ended[number] for number in range(len(trainings))]
