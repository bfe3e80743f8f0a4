"""Where networks are trained, and by how many threads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits

from n2n_gym.errors import InputError


def torch_device(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU if there is one, else the CPU.

    Raises:
        InputError: If the name is no device, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"device {name!r} cannot be used ({reason}); try auto, cpu or cuda") from None
    return device


_turn = threading.RLock()


def _renew_turn() -> None:
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):  # a thread that trains does not live on in a child, its turn would never end there
    os.register_at_fork(after_in_child=_renew_turn)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Train, or time, while no other thread of this process does: who comes meanwhile waits.

    Some of what a training needs a process has only once: torch's number of threads, and an undisturbed clock. Threads would
    gain little from training side by side; worker processes do. Whoever has the turn may take it again.
    """
    with _turn:
        yield


LARGE = 20e9
"""Multiply-accumulates in a step's forward pass from which on a training on a CPU has `MANY` threads."""

MANY = 4


def threads_for(macs: int, batch_size: int) -> int:
    """By how many threads of a CPU a network is trained by itself: a matter of the problem, never of the machine.

    The number of threads changes the order of sums, so weights, and all that follows from them. Small networks gain nothing
    from a second thread and lose much beside other programs (docs/speed.md).

    Args:
        macs: The network's, for one image.
        batch_size: Images of a step.
    """
    return MANY if macs * batch_size >= LARGE else 1


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many of torch's threads on a CPU, and of NumPy's and SciPy's: a process has only one such number.

    With it the order of sums changes, so the last digits, and all that follows from them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


_decided = threading.local()  # whether a thread is within `by_itself` or `one_thread`


@contextlib.contextmanager
def by_itself(device: torch.device, macs: int, batch_size: int) -> Iterator[int]:
    """Train a network, or look how accurate it is, `alone`, with as many threads of a CPU as `threads_for` says.

    Within `one_thread`, or another `by_itself`, the number of threads stays as it is.

    Yields:
        The number of threads.
    """
    with alone():
        if getattr(_decided, "by", False) or device.type != "cpu":
            yield torch.get_num_threads()
            return
        count = threads_for(macs, batch_size)
        _decided.by = True
        try:
            with threads(count):
                yield count
        finally:
            _decided.by = False


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Train, or time, `alone`; on the CPU with one thread, so that no result depends on the number of cores."""
    before = getattr(_decided, "by", False)
    with alone(), threads(1) if device.type == "cpu" else contextlib.nullcontext():
        _decided.by = True
        try:
            yield
        finally:
            _decided.by = before
