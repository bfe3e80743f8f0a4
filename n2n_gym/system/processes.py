"""Processes that work for another one, or beside it: how they begin, what they are known by, how it shows that they ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from functools import cache
from multiprocessing import connection
from pathlib import Path
from uuid import uuid4

PROC = Path("/proc")
"""Where Linux says what processes there are."""


def begin_worker() -> None:
    """In a worker process: leave Ctrl-C and a closed terminal to the parent, and end when it does, even if it was killed."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def ended_by(exitcode: int | None) -> str:
    """How a process of that exit code ended, in words: `was killed by SIGKILL`."""
    if exitcode is None or exitcode >= 0:
        return f"ended with exit code {exitcode}"
    try:
        return f"was killed by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"was killed by signal {-exitcode}"


def this_process() -> str:
    """A name that no other process has, nor will have: where it runs, its number there, and when it started.

    No clock and no host's name is asked: neither stays the same.
    """
    number = os.getpid()
    try:
        return f"{_place()} {number} {_start(number)}"
    except OSError:  # not Linux: nobody can look whether it has ended
        return f"{_unique()} {number} ?"


def has_ended(process: str) -> bool:
    """Whether a process of that name has ended for certain; nobody knows of another machine's."""
    try:
        place, number, start = process.split()
        if place != _place() or not number.isdecimal():
            return False
        os.kill(int(number), 0)  # sends nothing
        return _start(int(number)) != start
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):  # another user's, or no such name
        return False


def _place() -> str:
    """The machine, since it was booted, and the processes of it that see each other."""
    boot = (PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    return f"{boot}/{(PROC / 'self' / 'ns' / 'pid').stat().st_ino}"


def _start(number: int) -> str:
    """When a process started, in ticks since the machine did.

    Raises:
        ProcessLookupError: If it has ended, but for its parent's taking note.
    """
    state, *facts = (PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
    if state in ("Z", "X"):
        raise ProcessLookupError(number)
    return facts[18]


@cache
def _unique() -> str:
    return uuid4().hex
