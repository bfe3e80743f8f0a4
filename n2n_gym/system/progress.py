"""How far long work is, told to whoever wants to show it: what works says it here, and knows nobody who listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Listener = Callable[[str, int, int | None], object]
"""Told what is being done, how much of it is, and how much there is; None if that is not known."""

STUDENT, EPOCH = "student", "epoch"
"""What is said of students that are evaluated, and of a training's epochs, begins so: whoever foretells an end counts them."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report(what: str, done: int = 0, total: int | None = None) -> None:
    """Say how far work is; nothing happens where nobody listens.

    Args:
        what: It, in a word or two.
        done: So much of it.
        total: Of so much; None if that is not known.
    """
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextlib.contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Have reports of this thread go to a listener, and to no other one, for a while."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
