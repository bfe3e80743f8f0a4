"""Students per minute against workers, and the cost of a batch of students against their number, images and depth.

    python benchmarks/scaling.py [--workers 0 1 2 ray] [--repeats 3] [--out FILE]

Whoever trains, evaluations are compared with the first kind of workers': all but their times must be equal to the bit.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import tyro
from report import Report
from students import random_students, warm_up

from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.problem import Problem
from n2n_gym.system.machine import cores

Case = tuple[Problem, int | str, int]
"""Teacher and data, workers, students in a batch."""

DEEP_SHARE = 0.03
"""Share of the layers removed where depths are compared: of ResNet-50 hardly a student is left with more of them gone."""


def main(
    workers: tuple[str, ...] = ("0", "1", "2", "ray"),
    batches: tuple[int, ...] = (2, 5, 10, 20, 40),
    images: tuple[int, ...] = (250, 500, 1_000),
    depths: tuple[str, ...] = ("resnet18", "resnet34", "resnet50", "resnet101"),
    students: int = 10,
    repeats: int = 3,
    warm_seconds: float = 15.0,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        workers: Numbers of worker processes; 0 trains in the calling process, `ray` on a Ray cluster of this machine's cores.
        batches: Numbers of students in a batch.
        images: Numbers of training images.
        depths: Teachers, to compare by their layers.
        students: In a batch, where that is not what is compared.
        repeats: Of every measurement, with other students each time.
        warm_seconds: How long every evaluator trains before the clock starts.
        out: The JSON file.
    """
    report = Report("scaling", ("students_per_minute", "seconds_per_student", "cost_of_first", "bit_equal"), out)
    chosen = [int(each) if each.isdigit() else each for each in workers]
    conv4 = Problem("conv4", "digits")
    equal = _compare(report, {f"conv4/digits, workers {w}": (conv4, w, students) for w in chosen}, repeats, warm_seconds)
    report.claim("evaluations by all kinds of workers are equal to the bit", float(equal), at_least=1)
    most = max(count for count in chosen if isinstance(count, int))
    several: dict[str, Case] = {f"conv4/digits, batches of {n} students": (conv4, most, n) for n in batches}
    _compare(report, several, repeats, warm_seconds)
    sizes: dict[str, Case] = {
        f"conv4/digits, {n} images": (Problem("conv4", "digits", 1.0, n), most, students) for n in images
    }
    _compare(report, sizes, repeats, warm_seconds)
    narrow: dict[str, Case] = {
        f"{name} x 0.05/digits, {_layers(name)} layers": (Problem(name, "digits", 0.05, 200), most, 4) for name in depths
    }
    _compare(report, narrow, repeats, warm_seconds, DEEP_SHARE)
    report.finish()


def _layers(name: str) -> int:
    return len(Problem(name, "digits", 0.05).architecture.nodes)


def _compare(report: Report, cases: dict[str, Case], repeats: int, warm_seconds: float, share: float = 0.5) -> bool:
    """One family of measurements; the first one's cost per student is what the others' are multiples of.

    Returns:
        Whether all cases that trained the same students by the same teacher found the same.
    """
    first: list[float] = []
    known: dict[tuple[str, str], Evaluation] = {}
    all_equal = True
    for label, (problem, workers, count) in cases.items():
        drawn = random_students(problem.architecture, count * repeats, share=share)
        seconds = []
        equal, compared = True, False
        with make_evaluator(problem, device="cpu", workers=workers) as evaluator:
            warm_up(evaluator, max(workers, 1) if isinstance(workers, int) else cores(), warm_seconds, share)
            for i in range(repeats):
                batch = drawn[i * count : (i + 1) * count]
                start = time.perf_counter()
                found = evaluator.evaluate(batch)
                seconds.append((time.perf_counter() - start) / count)
                for student, evaluation in zip(batch, found, strict=True):
                    timeless = replace(evaluation, seconds=0.0)
                    place = (problem.name, student.architecture.fingerprint)
                    compared |= place in known
                    equal &= known.setdefault(place, timeless) == timeless
        all_equal &= equal
        first = first or seconds
        report.add(
            label,
            students_per_minute=[60 / s for s in seconds],
            seconds_per_student=seconds,
            cost_of_first=[b / a for a, b in zip(first, seconds, strict=True)],
            bit_equal=equal if compared else "-",
        )
    return all_equal


if __name__ == "__main__":
    tyro.cli(main)
