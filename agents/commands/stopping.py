"""Ctrl-C, and what schedulers and closed terminals send: the first ends a command cleanly, another one at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

SAME = 0.5
"""Seconds within which several signals are one: a terminal that is closed, and its shell, each send theirs."""

SHOW_CURSOR = b"\x1b[?25h"


class StoppedError(KeyboardInterrupt):
    """A signal asked the command to end.

    Attributes:
        status: The exit status that shells expect: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Have signals raise `StoppedError`, once; a signal that is ignored, as under nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: float | None = None

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked is None:
            asked = time.monotonic()
            raise StoppedError(number)
        if time.monotonic() - asked > SAME:  # whatever is written is whole at any time, and workers end by themselves
            if sys.__stdout__ is not None and sys.__stdout__.isatty():
                os.write(sys.__stdout__.fileno(), SHOW_CURSOR)
            os._exit(128 + number)

    before = {}
    for name in SIGNALS:
        number = getattr(signal, name, None)  # Windows lacks some
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        if asked is None:
            for number, handler in before.items():
                signal.signal(number, handler)
