"""Worker processes that are watched: one that dies, or gives no sign of life, costs nothing but its own try.

Nothing here takes a semaphore or a queue of the system: a process that is stopped by any signal leaves nothing behind.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from n2n_gym.errors import InputError
from n2n_gym.system.progress import report
from n2n_gym.system.worker import Lost, Worker, heard_of

RETRIES = 3
"""Times that a task is tried again whose worker was lost."""

MOST_LOST = 12
"""Workers in a row, without one task done, after which nobody tries any further."""


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
        self._workers: list[Worker] = []
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
        busy: dict[Worker, int] = {}  # what each is doing for us
        try:
            while waiting or again or busy:
                while waiting and len(busy) < self._most:
                    self._begin(busy, function, tasks, waiting.popleft())
                if again and not busy:  # by itself: two that need much memory may have killed each other
                    self._begin(busy, function, tasks, again.popleft())
                for worker, index in heard_of(busy):
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

    def _begin(self, busy: dict[Worker, int], function: Callable[[Any], Any], tasks: Sequence[Any], index: int) -> None:
        with self._access:
            for worker in [each for each in self._workers if each.idle]:
                worker.idle = False
                if worker.process.is_alive():
                    break
                self._workers.remove(worker)
                worker.end()
            else:
                report("starting worker processes", len(busy), self._most)
                worker = Worker.started(*self._begins_with)
                self._workers.append(worker)
        busy[worker] = index
        worker.begin(function, tasks[index])

    def _rest(self, worker: Worker, busy: dict[Worker, int]) -> None:
        """A worker has done its task: it waits for another one, unless there are more that wait than are ever needed."""
        del busy[worker]
        with self._access:
            worker.idle = not self._once and sum(each.idle for each in self._workers) < self._most
        if not worker.idle:
            self._end(worker)

    def _drop(self, worker: Worker) -> None:
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

    def _end(self, worker: Worker) -> None:
        with self._access:
            if worker in self._workers:  # else whoever closed the pool has ended it
                self._workers.remove(worker)
        worker.end()

    def _leave_to_parent(self) -> None:
        """In a process that was forked since the workers were started, forget them: they are the parent's."""
        if self._owner != os.getpid():
            self._forget()
