"""Does memory grow as students go by? Resident memory of the process that asks, and of the workers that train.

python benchmarks/memory.py [--students 500] [--every 25] [--out FILE]
"""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import tyro
from report import Report
from students import random_students

from n2n_gym.evaluators import make_evaluator
from n2n_gym.problem import Problem


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    students: int = 500,
    every: int = 25,
    workers: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        students: How many are trained, all different.
        every: After how many memory is looked at.
        workers: Processes that train; by default one per core. With 0 the process that asks trains.
        out: The JSON file.
    """
    report = Report(f"memory-{problem.name}", ("resident_mib", "peak_mib", "growth_kib_per_student"), out)
    drawn = random_students(problem.architecture, students)
    resident: list[list[float]] = []  # of this process, then of each worker
    with make_evaluator(problem, device="cpu", workers=workers) as evaluator:
        for start in range(0, students, every):
            batch = drawn[start : start + every]
            evaluator.evaluate(batch)
            processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
            resident.append([_status(process, "VmRSS") for process in processes])
            peak = max(_status(process, "VmHWM") for process in processes)
            report.add(f"after {start + len(batch)} students", resident_mib=sum(resident[-1]), peak_mib=peak)
    late = np.array([sum(each) for each in resident[len(resident) // 2 :]])
    slope = float(np.polyfit(np.arange(len(late)), late, 1)[0]) * 1024 / every if len(late) > 1 else 0.0
    report.facts["resident_mib_of_each_process"] = resident
    report.add("second half, all processes", resident_mib=late.tolist(), growth_kib_per_student=slope)
    grown = late[-1] / late[0]
    report.claim("resident memory at the end against half-way", float(grown), at_most=1.05)
    report.finish()


def _status(process: int | None, name: str) -> float:
    """A figure of a process's memory, in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    tyro.cli(main)
