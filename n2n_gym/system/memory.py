"""How the C library treats memory, and what it looks like when there is none left."""

from __future__ import annotations

import ctypes
import errno

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def keep_freed_memory() -> None:
    """Have the C library keep memory that was freed, in a process that does nothing but train.

    glibc gives large blocks back to the system, so that each forward pass touches new pages again: a validation pass of
    Conv4 on MNIST takes 1.8 times as long. Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # musl, macOS, Windows
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch, Python or the system ran out of memory; nothing is imported to find out."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    words = (
        "can't allocate memory",
        "out of memory",
        "can't start new thread",
        "std::bad_alloc",
        "could not create a primitive",  # oneDNN's, of a layer that it has done before
        "could not create a memory object",
    )
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)
