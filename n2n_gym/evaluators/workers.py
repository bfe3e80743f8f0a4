"""Several students at once, each in a process of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from n2n_gym.evaluation import WORKER_DIED, Evaluation
from n2n_gym.evaluators.contract import Evaluator, Rung, WrappingEvaluator, dearest_first
from n2n_gym.student import Student
from n2n_gym.system.memory import keep_freed_memory
from n2n_gym.system.processes import begin_worker, end_at_once, worker_pool

_evaluator: Evaluator  # in a worker process: what it trains students with


class WorkerEvaluator(WrappingEvaluator):
    """Hands students to worker processes, the dearest first, and yields evaluations as they are done.

    The workers are started when first needed and kept. A student whose worker dies is tried once more by itself; if
    that worker dies too, its evaluation says so.

    Args:
        inner: Trains one student after the other; a copy of it goes to each worker.
        workers: How many processes.
    """

    def __init__(self, inner: Evaluator, workers: int) -> None:
        self.inner = inner
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._owner = 0  # the process that started it
        self._broken = False  # whether one of the pool's workers died

    def __getstate__(self) -> dict[str, Any]:  # a copy starts workers of its own
        return {**self.__dict__, "_pool": None, "_broken": False}

    def until(self, rung: Rung) -> Evaluator:  # by the same processes
        return _Stopping(self, rung)

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        return self.trained(students)

    def trained(self, students: Sequence[Student], rung: Rung | None = None) -> Iterator[tuple[int, Evaluation]]:
        """As `stream`; with a rung, each until there."""
        self.inner.context()  # the teacher is trained here, not once in every worker
        waiting = deque(dearest_first(students))
        running: dict[Future[Evaluation], int] = {}
        suspects: list[int] = []
        while waiting or running:
            if not running and self._broken:
                self._stop()
            while waiting and len(running) < self.workers and not self._broken:
                index = waiting.popleft()  # no more than are trained: who waits is no suspect when a worker dies
                running[self._submit(students[index], rung)] = index
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                index = running.pop(future)
                try:
                    yield index, future.result()
                except BrokenProcessPool:
                    self._broken = True
                    suspects.append(index)
        for index in suspects:  # one at a time, so that the one that kills its worker is found
            if self._broken:
                self._stop()
            try:
                yield index, self._submit(students[index], rung).result()
            except BrokenProcessPool:
                self._broken = True
                yield index, Evaluation.failed(students[index].architecture, self.teacher, WORKER_DIED)
        if self._broken:
            self._stop()

    def close(self) -> None:
        self._stop()
        super().close()

    def _submit(self, student: Student, rung: Rung | None) -> Future[Evaluation]:
        self._leave_to_parent()
        if self._pool is None:
            self._pool, self._owner = worker_pool(self.workers, _start_worker, self.inner), os.getpid()
        try:
            return self._pool.submit(_evaluate, student, rung)
        except BrokenProcessPool as error:  # a worker died between two submissions
            broken: Future[Evaluation] = Future()
            broken.set_exception(error)
            return broken

    def _stop(self) -> None:
        """End the workers at once, whatever they are training."""
        self._leave_to_parent()
        if self._pool is not None:
            end_at_once(self._pool)
            self._pool = None
        self._broken = False

    def _leave_to_parent(self) -> None:
        """In a process that was forked since the workers were started, forget them: they are the parent's."""
        if self._owner != os.getpid():
            self._pool = None
            self._broken = False


class _Stopping(WrappingEvaluator):
    """Workers' trainings until a rung, by the same processes."""

    inner: WorkerEvaluator

    def __init__(self, inner: WorkerEvaluator, rung: Rung) -> None:
        self.inner = inner
        self._rung = rung

    def context(self) -> dict[str, Any]:
        return self.inner.inner.until(self._rung).context()

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        return self.inner.trained(students, self._rung)


def _start_worker(evaluator: Evaluator) -> None:
    global _evaluator
    _evaluator = evaluator
    keep_freed_memory()
    begin_worker()


def _evaluate(student: Student, rung: Rung | None) -> Evaluation:
    [evaluation] = (_evaluator if rung is None else _evaluator.until(rung)).evaluate([student])
    return evaluation
