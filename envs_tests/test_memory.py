"""How the C library treats memory: measured in a process of its own, for it cannot be undone."""

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from n2n_gym.system.memory import keep_freed_memory

torch.set_num_threads(1)
if {kept}:
    keep_freed_memory()
for _ in range(3):
    torch.zeros(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.zeros(20_000_000).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_was_freed_is_used_again():
    try:
        _ = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        pytest.skip("not glibc")
    programs = (FAULTS.format(kept=kept) for kept in (True, False))
    kept, given_back = (int(subprocess.check_output([sys.executable, "-c", program])) for program in programs)
    assert kept < given_back / 5


def test_elsewhere_nothing_happens(monkeypatch):
    from n2n_gym.system.memory import keep_freed_memory

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    keep_freed_memory()
