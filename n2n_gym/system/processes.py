"""Processes that work for another one: how they begin, and how they are ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any

from n2n_gym.errors import InputError


def worker_pool(workers: int, initializer: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """Worker processes, started anew and not forked; the first one is there when this returns.

    Args:
        workers: How many, at most.
        initializer: What each begins with.
        *arguments: Its arguments.

    Raises:
        InputError: If they cannot start because the program's main file does not let them import it.
    """
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=initializer, initargs=arguments
    )
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool:
        raise InputError(
            'worker processes cannot start: put what your script does under `if __name__ == "__main__":`, '
            "for each worker imports it again; or train without them (workers=0)"
        ) from None
    return pool


def begin_worker() -> None:
    """In a worker process: leave Ctrl-C to the parent, and end when the parent does, even if it was killed.

    An idle worker of a `ProcessPoolExecutor` waits for work at a pipe that it holds both ends of: it would not notice.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def end_at_once(pool: ProcessPoolExecutor) -> None:
    """End a pool's workers, whatever they are doing."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
        process.join()
