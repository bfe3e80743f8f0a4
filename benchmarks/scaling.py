"""Students per minute against worker processes, and the cost of a batch of students against their number, images and depth.

python benchmarks/scaling.py [--workers 0 1 2] [--repeats 3] [--out FILE]
"""

from __future__ import annotations

import time
from pathlib import Path

import tyro
from report import Report
from students import random_students

from n2n_gym.evaluators import make_evaluator
from n2n_gym.problem import Problem


def main(
    workers: tuple[int, ...] = (0, 1, 2),
    batches: tuple[int, ...] = (2, 5, 10, 20, 40),
    images: tuple[int, ...] = (250, 500, 1_000),
    depths: tuple[str, ...] = ("resnet18", "resnet34", "resnet50", "resnet101"),
    students: int = 10,
    repeats: int = 3,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        workers: Numbers of worker processes; 0 trains in the calling process.
        batches: Numbers of students in a batch.
        images: Numbers of training images.
        depths: Teachers, to compare by their layers.
        students: In a batch, where that is not what is compared.
        repeats: Of every measurement, with other students each time.
        out: The JSON file.
    """
    report = Report("scaling", ("students_per_minute", "seconds_per_student", "cost_of_first"), out)
    conv4 = Problem("conv4", "digits")
    _compare(report, {f"conv4/digits, {count} workers": (conv4, count, students) for count in workers}, repeats)
    most = max(workers)
    _compare(report, {f"conv4/digits, batches of {n} students": (conv4, most, n) for n in batches}, repeats)
    sizes = {f"conv4/digits, {n} images": (Problem("conv4", "digits", 1.0, n), most, students) for n in images}
    _compare(report, sizes, repeats)
    narrow = {
        f"{name} x 0.05/digits, {_layers(name)} layers": (Problem(name, "digits", 0.05, 200), most, 4) for name in depths
    }
    _compare(report, narrow, repeats)
    report.finish()


def _layers(name: str) -> int:
    return len(Problem(name, "digits", 0.05).architecture.nodes)


def _compare(report: Report, cases: dict[str, tuple[Problem, int, int]], repeats: int) -> None:
    """One family of measurements; the first one's cost per student is what the others' are multiples of."""
    first: list[float] = []
    for label, (problem, workers, count) in cases.items():
        drawn = random_students(problem.architecture, count * repeats)
        seconds = []
        with make_evaluator(problem, workers=workers) as evaluator:
            evaluator.evaluate(random_students(problem.architecture, max(workers, 1), seed=1))  # everything is ready
            for i in range(repeats):
                start = time.perf_counter()
                evaluator.evaluate(drawn[i * count : (i + 1) * count])
                seconds.append((time.perf_counter() - start) / count)
        first = first or seconds
        report.add(
            label,
            students_per_minute=[60 / s for s in seconds],
            seconds_per_student=seconds,
            cost_of_first=[b / a for a, b in zip(seconds, first, strict=True)],
        )


if __name__ == "__main__":
    tyro.cli(main)
