"""Does memory grow as students go by? Resident memory of a process that trains one student after the other.

python benchmarks/memory.py [--students 500] [--every 25] [--out FILE]
"""

from __future__ import annotations

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
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        students: How many are trained, all different.
        every: After how many memory is looked at.
        out: The JSON file.
    """
    report = Report(f"memory-{problem.name}", ("resident_mib", "peak_mib", "growth_kib_per_student"), out)
    drawn = random_students(problem.architecture, students)
    resident = []
    with make_evaluator(problem, device="cpu") as evaluator:
        for start in range(0, students, every):
            evaluator.evaluate(drawn[start : start + every])
            resident.append(_status("VmRSS"))
            report.add(f"after {start + len(drawn[start : start + every])} students", resident_mib=resident[-1])
    late = np.array(resident[len(resident) // 2 :])
    slope = float(np.polyfit(np.arange(len(late)), late, 1)[0]) * 1024 / every if len(late) > 1 else 0.0
    report.add("second half", resident_mib=late.tolist(), peak_mib=_status("VmHWM"), growth_kib_per_student=slope)
    report.finish()


def _status(name: str) -> float:
    """A figure of this process's memory, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    tyro.cli(main)
