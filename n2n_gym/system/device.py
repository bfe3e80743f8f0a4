"""Where networks are trained, and what goes wrong there."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import torch

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


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Train, or time, `alone`; on the CPU with one thread, so that no result depends on the number of cores."""
    with alone():
        threads = torch.get_num_threads()
        if device.type == "cpu":
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch, or Python, ran out of memory."""
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(each in str(error) for each in words)
