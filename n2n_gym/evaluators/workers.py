"""Several students at once, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from n2n_gym.evaluation import OUT_OF_MEMORY, WORKER_DIED, WORKER_SILENT, Evaluation
from n2n_gym.evaluators.contract import Evaluator, Rung, WrappingEvaluator, dearest_first
from n2n_gym.student import Student
from n2n_gym.system.files import OwnFolder
from n2n_gym.system.memory import keep_freed_memory
from n2n_gym.system.pool import Pool
from n2n_gym.system.progress import heard, report
from n2n_gym.system.worker import Loss, Lost, tell_parent

REASONS = {Loss.DIED: WORKER_DIED, Loss.SILENT: WORKER_SILENT, Loss.MEMORY: OUT_OF_MEMORY}
"""What is said of a student whose workers were lost."""

PAUSE = 2.0
"""Seconds between two reports of a worker: nobody reads faster."""

_evaluator: Evaluator  # in a worker process: what it trains students with


class WorkerEvaluator(WrappingEvaluator):
    """Hands students to worker processes, the dearest first, and yields evaluations as they are done.

    The workers are started when first needed and kept. They tell how far they are, and share what each needs of the teacher
    through a folder. A student whose worker dies, is stopped or runs out of memory is tried again by itself, three times
    (`n2n_gym.system.pool`); then its evaluation says so.

    Args:
        inner: Trains one student after the other; a copy of it goes to each worker.
        workers: How many processes.
    """

    def __init__(self, inner: Evaluator, workers: int) -> None:
        self.__setstate__((inner, workers))

    def __getstate__(self) -> tuple[Evaluator, int]:  # a copy has workers and a folder of its own
        return self.inner, self.workers

    def __setstate__(self, state: tuple[Evaluator, int]) -> None:
        self.inner, self.workers = state
        self._folder = OwnFolder("workers")
        self._pool = Pool(self.workers, _start_worker, self.inner.sharing(self._folder.path))

    def until(self, rung: Rung) -> Evaluator:  # by the same processes
        return _Stopping(self, rung)

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        return self.trained(students)

    def trained(self, students: Sequence[Student], rung: Rung | None = None) -> Iterator[tuple[int, Evaluation]]:
        """As `stream`; with a rung, each until there."""
        self.inner.context()  # the teacher is trained here, not once in every worker
        order = dearest_first(students)
        jobs = [(students[index], rung) for index in order]

        def tell(place: int, progress: tuple[str, int, int | None]) -> None:
            what, done, total = progress
            report(f"training {place + 1} of {len(jobs)}, {what}", done, total)

        for place, answer in self._pool.run(_evaluate, jobs, tell):
            index = order[place]
            if isinstance(answer, Lost):
                answer = Evaluation.failed(students[index].architecture, self.teacher, REASONS[answer.reason])
            yield index, answer

    def close(self) -> None:
        self._pool.close()
        super().close()


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


def _evaluate(job: tuple[Student, Rung | None]) -> Evaluation:
    student, rung = job
    with heard(_Seldom()):
        [(_, evaluation)] = (_evaluator if rung is None else _evaluator.until(rung)).stream([student])
    if evaluation.reason == OUT_OF_MEMORY:  # this process's, or beside what others were doing: another one tries it by itself
        raise MemoryError
    return evaluation


class _Seldom:
    """In a worker process: tells the parent how far it is, once in `PAUSE` seconds, and never before."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._told >= PAUSE:
            self._told = time.monotonic()
            tell_parent((what, done, total))
