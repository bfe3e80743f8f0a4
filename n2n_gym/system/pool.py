"""Worker processes that are watched: one that dies, or gives no sign of life, costs nothing but its own try.

Nothing here takes a semaphore or a queue of the system: a process that is stopped by any signal leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from n2n_gym.errors import InputError
from n2n_gym.system.memory import is_out_of_memory
from n2n_gym.system.processes import begin_worker, ended_by
from n2n_gym.system.progress import report

SILENCE = 60.0
"""Seconds without a sign of life after which a worker is killed."""

START = 300.0
"""The same for one that starts: a cold disk, or a network's, takes long to give it its libraries."""

SIGN = 1.0
"""Seconds between two signs of life."""

RETRIES = 3
"""Times that a task is tried again whose worker was lost."""

MOST_LOST = 12
"""Workers in a row, without one task done, after which nobody tries any further."""

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


class Pool:
    """Worker processes, started anew and not forked, as they are needed; threads that share a pool have workers of their own.

    A task whose worker dies, is stopped or runs out of memory is tried again when nothing else is being done, `RETRIES`
    times; then it is `Lost`. A worker is alive as long as it can run Python: not while it is stopped, or swapped out.

    Args:
        workers: How many work for one `run`, at most, and are kept afterwards.
        initializer: What each begins with; nothing by default.
        *arguments: Its arguments.
        once: Whether each does one task and is ended: for tasks that must find nothing of what others left behind.
    """

    def __init__(
        self, workers: int, initializer: Callable[..., object] | None = None, *arguments: Any, once: bool = False
    ) -> None:
        self.__setstate__((workers, once, initializer, arguments))

    def __getstate__(self) -> tuple[Any, ...]:  # a copy starts workers of its own
        return self._most, self._once, *self._begins_with

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._most, self._once, *self._begins_with = state
        self._lost = 0
        self._forget()

    def _forget(self) -> None:
        """Have no workers."""
        self._workers: list[_Worker] = []
        self._owner = os.getpid()
        self._access = threading.Lock()

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        on_note: Callable[[int, Any], object] = lambda _index, _note: None,
    ) -> Iterator[tuple[int, Any]]:
        """Have tasks done; yields index and result, or `Lost`, as each is done.

        What was begun is ended at once if whoever listens stops listening.

        Args:
            function: Called with a task in a worker.
            tasks: In the order in which they are begun.
            on_note: Told what a task says by `tell_parent`, with its index.

        Raises:
            InputError: If workers cannot start, or are lost one after the other.
            Exception: What `function` raises, as a `RuntimeError` if it is no `Exception` (`sys.exit`); but running out of
                memory is a matter of the worker.
        """
        self._leave_to_parent()
        waiting, again = deque(range(len(tasks))), deque[int]()
        losses = [0] * len(tasks)
        busy: dict[_Worker, int] = {}  # what each is doing for us
        try:
            while waiting or again or busy:
                while waiting and len(busy) < self._most:
                    self._begin(busy, function, tasks, waiting.popleft())
                if again and not busy:  # by itself: two that need much memory may have killed each other
                    self._begin(busy, function, tasks, again.popleft())
                for worker, index in _heard_of(busy):
                    for kind, content in worker.said():
                        if kind == "note":
                            on_note(index, content)
                        elif kind == "raised":  # the last that it says
                            raise content
                        elif kind == "done":
                            self._rest(worker, busy)
                            self._lost = 0
                            yield index, content
                    if worker.lost is not None:
                        del busy[worker]
                        self._drop(worker)
                        losses[index] += worker.ready
                        if losses[index] <= RETRIES:
                            again.append(index)
                        else:
                            yield index, worker.lost
        finally:
            for worker in busy:
                self._end(worker)

    def each(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        on_note: Callable[[int, Any], object] = lambda _index, _note: None,
    ) -> Iterator[tuple[int, Any]]:
        """As `run`, for tasks of which none may be lost.

        Raises:
            InputError: If one is.
        """
        for index, answer in self.run(function, tasks, on_note):
            if isinstance(answer, Lost):
                raise InputError(
                    f"a worker process was lost {RETRIES + 1} times at the same work (the last one {answer.how}), maybe for "
                    "want of memory: start the command again, which goes on from here, with fewer --workers"
                )
            yield index, answer

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """The results of tasks, in their order; raises what `each` does."""
        done: dict[int, Any] = {}
        following = 0
        for index, answer in self.each(function, tasks):
            done[index] = answer
            while following in done:
                yield done.pop(following)
                following += 1

    def close(self) -> None:
        """End the workers at once, whatever they are doing; `run` starts new ones."""
        self._leave_to_parent()
        for worker in list(self._workers):
            self._end(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def processes(self) -> list[int]:
        """The numbers of the processes that there are."""
        return [worker.process.pid or 0 for worker in self._workers]

    def _begin(self, busy: dict[_Worker, int], function: Callable[[Any], Any], tasks: Sequence[Any], index: int) -> None:
        with self._access:
            for worker in [each for each in self._workers if each.idle]:
                worker.idle = False
                if worker.process.is_alive():
                    break
                self._workers.remove(worker)
                worker.end()
            else:
                report("starting worker processes", len(busy), self._most)
                worker = _Worker.started(*self._begins_with)
                self._workers.append(worker)
        busy[worker] = index
        worker.begin(function, tasks[index])

    def _rest(self, worker: _Worker, busy: dict[_Worker, int]) -> None:
        """A worker has done its task: it waits for another one, unless there are more that wait than are ever needed."""
        del busy[worker]
        with self._access:
            worker.idle = not self._once and sum(each.idle for each in self._workers) < self._most
        if not worker.idle:
            self._end(worker)

    def _drop(self, worker: _Worker) -> None:
        """Note that a worker was lost.

        Raises:
            InputError: If that happens all the time.
        """
        assert worker.lost is not None
        self._end(worker)
        self._lost += 1
        if not worker.ready and worker.process.exitcode == 1:
            raise InputError(
                'worker processes cannot start: put what your script does under `if __name__ == "__main__":`, '
                "for each worker imports it again; or train without them (workers=0)"
            )
        starts = self._lost > RETRIES and not worker.ready
        if starts or self._lost >= MOST_LOST:
            when = "as they start" if starts else "one after the other"
            raise InputError(
                f"worker processes are lost {when} (the last one {worker.lost.how}), maybe for want of memory: try fewer "
                "--workers, or none (0); what was done is kept, and the same command goes on from there"
            )

    def _end(self, worker: _Worker) -> None:
        with self._access:
            if worker in self._workers:  # else whoever closed the pool has ended it
                self._workers.remove(worker)
        worker.end()

    def _leave_to_parent(self) -> None:
        """In a process that was forked since the workers were started, forget them: they are the parent's."""
        if self._owner != os.getpid():
            self._forget()


def _heard_of(busy: dict[_Worker, int]) -> list[tuple[_Worker, int]]:
    """Those that are busy, once something was heard of one, or some time has passed."""
    begun = time.monotonic()
    connection.wait([part for worker in busy for part in (worker.pipe, worker.process.sentinel)], SIGN)
    # who was stopped together with its workers wakes up with them: no time has passed for them either
    passed = min(time.monotonic() - begun, 2 * SIGN)
    for worker in busy:
        worker.look(passed)
    return list(busy.items())


@dataclass(eq=False)
class _Worker:
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
    def started(cls, initializer: Callable[..., object] | None, arguments: tuple[Any, ...]) -> _Worker:
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
