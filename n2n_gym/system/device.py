"""Where networks are trained, and what goes wrong there."""

from __future__ import annotations

import contextlib
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


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On the CPU, compute with one thread, so that a student's result does not depend on the number of cores."""
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
