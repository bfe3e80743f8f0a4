"""Processes that work for another one: how they begin, and how they are ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection


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
