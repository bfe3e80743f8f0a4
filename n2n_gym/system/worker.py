"""A worker process: what is known of it, and what it does."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from n2n_gym.system.memory import is_out_of_memory
from n2n_gym.system.offered import load_plugins
from n2n_gym.system.processes import begin_worker, ended_by

SILENCE = 60.0
"""Seconds without a sign of life after which a worker is killed."""

START = 300.0
"""The same for one that starts: a cold disk, or a network's, takes long to give it its libraries."""

SIGN = 1.0
"""Seconds between two signs of life."""

LONGEST = 2**28
"""Bytes of what a worker may say at once; whatever else wrote into its pipe hardly ever begins with a smaller number."""

ROOM = 2**14
"""Bytes that a pipe takes for certain while nobody reads."""


class Loss(Enum):
    """Why a task was not done."""

    DIED = "died"
    SILENT = "silent"
    MEMORY = "memory"


@dataclass(frozen=True)
class Lost:
    """What a task ends with whose workers were lost again and again.

    Attributes:
        reason: Why the last of them was.
        how: How the last of them ended, for messages.
    """

    reason: Loss
    how: str


@dataclass(eq=False)
class Worker:
    """One process, and what is known of it.

    Attributes:
        process: It.
        pipe: The way to it.
        idle: Whether it waits for a task.
        ready: Whether it has begun.
        quiet: Seconds since its last sign of life.
        lost: How it was lost, if it was.
    """

    process: BaseProcess
    pipe: Connection
    idle: bool = False
    ready: bool = False
    quiet: float = 0.0
    lost: Lost | None = None
    _said: list[tuple[str, Any]] = field(default_factory=list)
    _sending: threading.Thread | None = None

    @classmethod
    def started(cls, initializer: Callable[..., object] | None, arguments: tuple[Any, ...]) -> Worker:
        """A new one."""
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        # unpickled by itself, when the first sign of life was given: it brings the large libraries
        begins_with = pickle.dumps((initializer, arguments))
        process = context.Process(target=_serve, args=(there, begins_with), daemon=True)
        process.start()
        there.close()
        return cls(process, here)

    def begin(self, function: Callable[[Any], Any], task: Any) -> None:
        """Hand it a task; whether it is there to take it shows when it is listened to."""
        self.quiet = 0.0
        message = pickle.dumps((function, task))
        if len(message) < ROOM:
            self._send(message)
        else:  # one that is stopped would stop us, too
            self._sending = threading.Thread(target=self._send, args=(message,), daemon=True)
            self._sending.start()

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(message)

    def said(self) -> list[tuple[str, Any]]:
        """What it has said and nobody has heard yet."""
        said, self._said = self._said, []
        return said

    def look(self, passed: float) -> None:
        """Read all that it says; after some seconds of silence, or where it is dead, it is lost."""
        self.quiet += passed
        over = not self.process.is_alive()  # asked before its last words are read
        reason, how = Loss.DIED, ""
        try:
            while self.pipe.poll():
                kind, content = pickle.loads(self.pipe.recv_bytes(LONGEST))  # noqa: S301  our own process wrote it
                self.quiet, self.ready = 0.0, self.ready or kind == "ready"
                if kind == "memory":
                    reason, how = Loss.MEMORY, "ran out of memory"
                elif kind != "alive":
                    self._said.append((kind, content))
        except (EOFError, ConnectionError):
            self.process.join(SIGN)  # it is just ending
            over = True
        except Exception as error:  # what is no message of ours can fail in any way
            how, over = f"said what is no answer ({type(error).__name__})", True
        if any(kind in ("done", "raised") for kind, _ in self._said):
            return  # whatever became of it afterwards
        if not over and self.quiet > (SILENCE if self.ready else START):
            reason, how, over = Loss.SILENT, f"gave no sign of life for {self.quiet:.0f} s", True
        if over or reason is Loss.MEMORY:
            self.end()
            self.lost = Lost(reason, how or ended_by(self.process.exitcode))

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()
        if self._sending is not None:
            self._sending.join(SIGN)  # it ends, now that nobody reads
        if self._sending is None or not self._sending.is_alive():  # else the pipe's number could be another file's soon
            self.pipe.close()


def heard_of(busy: dict[Worker, int]) -> list[tuple[Worker, int]]:
    """Those that are busy, once something was heard of one, or some time has passed."""
    begun = time.monotonic()
    connection.wait([part for worker in busy for part in (worker.pipe, worker.process.sentinel)], SIGN)
    # who was stopped together with its workers wakes up with them: no time has passed for them either
    passed = min(time.monotonic() - begun, 2 * SIGN)
    for worker in busy:
        worker.look(passed)
    return list(busy.items())


_tell: Callable[[str, Any], None] | None = None  # in a worker process: the way to the parent


def tell_parent(note: Any) -> None:
    """In a worker process, from within a task: tell the parent something (`Pool.run`'s `on_note`)."""
    if _tell is not None:
        _tell("note", note)


def _serve(pipe: Connection, begins_with: bytes) -> None:
    """What a worker process does."""
    global _tell
    begin_worker()
    lock, busy = threading.Lock(), threading.Event()

    def say(kind: str, content: Any = None) -> None:
        message = pickle.dumps((kind, content))
        try:
            with lock:
                pipe.send_bytes(message)
        except OSError:  # nobody is there any more
            os._exit(1)

    def show_life() -> None:
        while busy.wait():
            say("alive")
            time.sleep(SIGN)

    busy.set()
    threading.Thread(target=show_life, daemon=True).start()
    _tell = say
    try:
        load_plugins()
        initializer, arguments = pickle.loads(begins_with)  # noqa: S301  our parent wrote it
        if initializer is not None:
            initializer(*arguments)
        say("ready")
        while True:
            busy.clear()
            try:
                message = pipe.recv_bytes()
            except EOFError:
                return
            busy.set()
            function, task = pickle.loads(message)  # noqa: S301
            say("done", function(task))
    except BaseException as error:  # a task that calls sys.exit does so each time: it is no worker that was lost
        memory = isinstance(error, Exception) and is_out_of_memory(error)
        say("memory") if memory else say("raised", _sendable(error))


def _sendable(error: BaseException) -> Exception:
    """An exception that says where it was raised, and can be raised again in another process without ending it."""
    said = "".join(traceback.format_exception(error))
    if not isinstance(error, Exception):
        return RuntimeError(said)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # its class can forbid it in any way
        return RuntimeError(said)
    error.add_note(said)
    return error
