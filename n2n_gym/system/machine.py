"""What measurements were made on."""

from __future__ import annotations

import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """Processor, cores, threads, system, Python and, if there is one, the GPU."""
    facts: dict[str, Any] = {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),  # processors of one name compute with different ones
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def cores() -> int:
    """Cores that this process may use: a batch system, `taskset` or a container can leave it fewer than the machine has."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(present, _quota(Path("/sys/fs/cgroup/cpu.max"))))


def process_count(workers: int | None, device: torch.device) -> int:
    """How many processes train side by side: as many as asked for; by default one per core on a CPU, none on a GPU."""
    if workers is not None:
        return workers
    return cores() if device.type == "cpu" else 0


def _quota(cpu_max: Path) -> int:
    """Cores' worth of time that a container's control group allows, rounded up; very many without a limit."""
    try:
        quota, period = cpu_max.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no control group of version 2, or "max"
        return sys.maxsize


def processor() -> str:
    """The processor's name, or "" where the system does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
