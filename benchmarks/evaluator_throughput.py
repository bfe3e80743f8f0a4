"""Students per minute of the evaluator and of the paper's published loop, side by side, on the same students and images.

    python benchmarks/evaluator_throughput.py [--cases conv4-mnist ...] [--repeats 3] [--out FILE]

Both train the students of whole rollout batches for 5 epochs on the same training images and measure them on the same
held-out images. The published loop runs twice: with its own batch size (64 on MNIST, 200 on CIFAR-10), and with the one
that recipe `paper` has for so many images. Data, teacher and worker processes are ready before the clock starts.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from reference_loop import ReferenceLoop
from report import Report
from students import random_students
from torch import nn

from n2n_gym.device import torch_device
from n2n_gym.evaluators import make_evaluator
from n2n_gym.models.teachers import ready_teacher
from n2n_gym.precision import has_bf16
from n2n_gym.problem import Problem
from n2n_gym.recipes import search_recipe


@dataclass(frozen=True)
class Case:
    """One teacher on one data set."""

    problem: Problem
    published_batch: int


CASES = {
    "conv4-digits": Case(Problem("conv4", "digits", 1.0, 200), 64),
    "conv4-mnist": Case(Problem("conv4", "mnist", 1.0, 5_000), 64),
    "resnet18x0.25-cifar10": Case(Problem("resnet18", "cifar10", 0.25, 2_000), 200),
    "vgg19x0.25-cifar10": Case(Problem("vgg19", "cifar10", 0.25, 2_000), 200),
    "resnet18x0.5-cifar10": Case(Problem("resnet18", "cifar10", 0.5, 1_000), 200),
    "resnet18-cifar10-full": Case(Problem("resnet18", "cifar10", 1.0), 200),
}
"""The first one is a test of the program, the last one for a GPU."""


def main(
    cases: tuple[str, ...] = ("conv4-mnist", "resnet18x0.25-cifar10", "vgg19x0.25-cifar10"),
    students: int = 5,
    repeats: int = 3,
    device: str = "auto",
    workers: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        cases: Some of `CASES`.
        students: Of one rollout batch.
        repeats: Rollout batches, each of other students.
        device: Where.
        workers: Processes of the evaluator; by default one per core on a CPU, none on a GPU.
        out: The JSON file.
    """
    columns = ("students_per_minute", "images_per_second", "times_published", "gflops_per_second", "accuracy")
    report = Report("evaluator_throughput", columns, out)
    where = torch_device(device)
    report.facts |= {"peak_gflops_per_second": peak_rates(where)}
    for name in cases:
        measure(report, name, CASES[name], students, repeats, where, workers)
    report.finish()


def measure(
    report: Report, name: str, case: Case, count: int, repeats: int, device: torch.device, workers: int | None
) -> None:
    problem = case.problem
    teacher = ready_teacher(problem, device=device).checkpoint.network
    own_batch = search_recipe("paper", problem.data, problem.train_size).batch_size
    students = random_students(problem.architecture, count * repeats)
    batches = [students[i * count : (i + 1) * count] for i in range(repeats)]
    images = (problem.train_size or problem.data.images) * 5
    work = [sum(6 * s.macs * images for s in batch) / 1e9 for batch in batches]  # forward and backward: 3 passes of 2 MACs

    loops = {
        f"published loop, batches of {size}": ReferenceLoop(problem, teacher, batch_size=size, device=device)
        for size in dict.fromkeys((case.published_batch, own_batch))
    }
    seconds: dict[str, list[float]] = {label: [] for label in (*loops, "evaluator")}
    accuracy: dict[str, list[float]] = {label: [] for label in seconds}
    with make_evaluator(problem, device=str(device), workers=workers) as evaluator:
        evaluator.evaluate(
            random_students(problem.architecture, workers or os.cpu_count() or 1, seed=1)
        )  # everything is ready
        for batch in batches:
            for label, loop in loops.items():
                start = time.perf_counter()
                accuracy[label].append(float(np.mean(loop.evaluate(batch))))
                seconds[label].append(time.perf_counter() - start)
            start = time.perf_counter()
            accuracy["evaluator"].append(float(np.mean([e.accuracy for e in evaluator.evaluate(batch)])))
            seconds["evaluator"].append(time.perf_counter() - start)
    published = seconds[next(iter(loops))]
    for label, times in seconds.items():
        report.add(
            f"{name}: {label}",
            students_per_minute=[60 * count / t for t in times],
            images_per_second=[images * count / t for t in times],
            times_published=[a / b for a, b in zip(published, times, strict=True)],
            gflops_per_second=[w / t for w, t in zip(work, times, strict=True)],
            accuracy=accuracy[label],
        )


def peak_rates(device: torch.device, repeats: int = 5) -> dict[str, float]:
    """What a large matrix product and a large convolution reach here, in GFLOP/s, with all cores; the best of a few."""
    dtypes = [torch.float32, *([torch.bfloat16] if has_bf16(device) else [])]
    rates = {}
    for dtype in dtypes:
        side = 4096 if device.type == "cuda" else 2048
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        name = str(dtype).removeprefix("torch.")
        rates[f"matrix product, {name}"] = _best(lambda a=a, b=b: a @ b, 2 * side**3, device, repeats)
        convolve = nn.Conv2d(128, 128, 3, padding=1, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        x = torch.randn(64, 128, 32, 32, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        flops = 2 * 64 * 32 * 32 * 128 * 128 * 9
        with torch.no_grad():
            rates[f"convolution, {name}"] = _best(lambda x=x, c=convolve: c(x), flops, device, repeats)
    return rates


def _best(run: object, flops: int, device: torch.device, repeats: int) -> float:
    best = 0.0
    for _ in range(repeats + 1):  # the first one warms up
        start = time.perf_counter()
        run()  # type: ignore[operator]
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, flops / (time.perf_counter() - start) / 1e9)
    return best


if __name__ == "__main__":
    tyro.cli(main)
