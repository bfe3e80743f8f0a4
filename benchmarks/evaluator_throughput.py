"""Students per minute of the evaluator and of the paper's published loop, side by side, on the same students and images.

    python benchmarks/evaluator_throughput.py [--cases conv4-mnist ...] [--repeats 3] [--out FILE]

Both train the students of whole rollout batches for 5 epochs on the same training images and measure them on the same
held-out images. The published loop runs twice: with its own batch size (64 on MNIST, 200 on CIFAR-10), and with the one
that recipe `paper` has for so many images. Data, teacher and worker processes are ready before the clock starts, and so
are the evaluator's teacher logits; the published loop computes them with each batch. At these sizes the published loop's
six passes over the held-out images are a large part of its work: `test_share`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
import tyro
from reference_loop import ReferenceLoop
from report import Report
from students import random_students, warm_up
from torch import nn

from agents.interval import Interval
from n2n_gym.evaluators import make_evaluator
from n2n_gym.models.build import Network
from n2n_gym.problem import Problem
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.system.machine import cores
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train
from n2n_gym.training.precision import has_bf16
from n2n_gym.training.recipes import search_recipe


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
    cases: tuple[str, ...] = ("conv4-mnist", "resnet18x0.25-cifar10"),
    students: int = 5,
    repeats: int = 3,
    device: str = "auto",
    workers: int | None = None,
    warm_seconds: float = 15.0,
    step_images: int = 2_000,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        cases: Some of `CASES`.
        students: Of one rollout batch.
        repeats: Rollout batches, each of other students.
        device: Where.
        workers: Processes of the evaluator; by default one per core on a CPU, none on a GPU.
        warm_seconds: How long the evaluator trains before the clock starts.
        step_images: Images of CIFAR-10 an epoch in the measurement of training by itself; 0 leaves it out.
        out: The JSON file.
    """
    columns = (
        *("students_per_minute", "images_per_second", "times_published", "times_same_batch", "test_share"),
        *("gflops_per_second", "share_of_peak", "accuracy", "more_accurate_by"),
    )
    report = Report("evaluator_throughput", columns, out)
    where = torch_device(device)
    peaks = peak_rates(where)
    report.facts["peak_gflops_per_second"] = peaks
    for name in cases:
        measure(report, name, CASES[name], students, repeats, where, workers, warm_seconds, peaks)
    if step_images:
        share = training_share(report, where, repeats, step_images)
        report.claim("ResNet-18 x 0.5, training: share of a convolution's rate", share, at_least=0.7)
    report.finish()


def measure(
    report: Report,
    name: str,
    case: Case,
    count: int,
    repeats: int,
    device: torch.device,
    workers: int | None,
    warm_seconds: float,
    peaks: dict[str, float],
) -> None:
    """One case: its rows, and whether it is as much faster, and as accurate, as was asked."""
    problem = case.problem
    teacher = ready_teacher(problem, device=device).checkpoint.network
    recipe = search_recipe("paper", problem.data, problem.train_size)
    students = random_students(problem.architecture, count * repeats)
    batches = [students[i * count : (i + 1) * count] for i in range(repeats)]
    loops = {
        f"published loop, batches of {size}": ReferenceLoop(problem, teacher, batch_size=size, device=device)
        for size in dict.fromkeys((case.published_batch, recipe.batch_size))
    }
    published, same_batch = next(iter(loops)), list(loops)[-1]
    images = len(next(iter(loops.values())).train_loader.dataset) * recipe.epochs  # type: ignore[arg-type]
    held_out = len(next(iter(loops.values())).test_loader.dataset)  # type: ignore[arg-type]
    seconds: dict[str, list[float]] = {label: [] for label in (*loops, "evaluator")}
    accuracy: dict[str, list[list[float]]] = {label: [] for label in seconds}
    tests: dict[str, list[float]] = {label: [] for label in loops}
    with make_evaluator(problem, device=str(device), workers=workers) as evaluator:
        processes = (cores() if device.type == "cpu" else 1) if workers is None else max(workers, 1)
        warm_up(evaluator, processes, warm_seconds)
        context = evaluator.context()
        for i, batch in enumerate(batches):
            runs: list[tuple[str, Callable[[Sequence[Student]], list[float]]]] = [
                *((label, loop.evaluate) for label, loop in loops.items()),
                ("evaluator", lambda students: [e.accuracy for e in evaluator.evaluate(students)]),
            ]
            for label, run in runs if i % 2 == 0 else reversed(runs):  # a slow moment of the machine meets each in turn
                before = loops[label].test_seconds if label in loops else 0.0
                start = time.perf_counter()
                accuracy[label].append(run(batch))
                seconds[label].append(time.perf_counter() - start)
                if label in loops:
                    tests[label].append((loops[label].test_seconds - before) / seconds[label][-1])
    report.facts[name] = {"context": context, "accuracy_of_each_student": accuracy}
    everyone = {label: np.concatenate(values) for label, values in accuracy.items()}
    for label, times in seconds.items():
        loop = label in loops
        fastest = convolution_rate(peaks, bf16=context["bf16"] and not loop)
        # forward and backward are 3 passes of 2 operations for each multiply-accumulate, looking at held-out images is one;
        # the published loop's teacher looks at every batch, the evaluator's was done before
        looks = held_out * (recipe.epochs + 1 if loop else 1)
        taught = problem.architecture.macs * 2 * images if loop else 0
        work = [(sum(s.architecture.macs for s in batch) * (6 * images + 2 * looks) + taught) / 1e9 for batch in batches]
        rates = [w / t for w, t in zip(work, times, strict=True)]
        report.add(
            f"{name}: {label}",
            students_per_minute=[60 * count / t for t in times],
            images_per_second=[images * count / t for t in times],
            times_published=[a / b for a, b in zip(seconds[published], times, strict=True)],
            times_same_batch=[a / b for a, b in zip(seconds[same_batch], times, strict=True)],
            test_share=tests.get(label, "-"),
            gflops_per_second=rates,
            share_of_peak=[rate / fastest for rate in rates],
            accuracy=[float(np.mean(each)) for each in accuracy[label]],
            more_accurate_by=str(Interval.of((everyone[label] - everyone[published]).tolist())),
        )
    faster = {label: [a / b for a, b in zip(seconds[label], seconds["evaluator"], strict=True)] for label in loops}
    report.claim(f"{name}: times as fast as the published loop", median(faster[published]), at_least=3)
    report.claim(f"{name}: the same, with its batches as small", median(faster[same_batch]), at_least=3)
    for label in loops:
        gain = float((everyone["evaluator"] - everyone[label]).mean())
        report.claim(f"{name}: accuracy above that of the {label}", gain, at_least=-0.005)


def training_share(report: Report, device: torch.device, repeats: int, images: int) -> float:
    """A whole ResNet-18 x 0.5 in the evaluator's own loop, with the batches of a full data set and all cores.

    Returns:
        Its share of a convolution's rate.
    """
    problem = Problem("resnet18", "cifar10", 0.5, images)
    data = ImageData.of(problem, device)
    bf16 = has_bf16(device)
    recipe = replace(search_recipe("paper", problem.data), epochs=repeats + 1, soft=0.0, hard=1.0)
    moments: list[float] = []
    network = Network(problem.architecture).to(device)
    train(network, data, recipe, seed=0, bf16=bf16, on_epoch=lambda *_: moments.append(time.perf_counter()))
    work = 6 * problem.architecture.macs * images / 1e9
    rates = [work / float(seconds) for seconds in np.diff(moments)]  # the first epoch warms up
    fastest = convolution_rate(peak_rates(device), bf16=bf16)  # once more, for the machine may be slower or faster by now
    shares = [rate / fastest for rate in rates]
    label = f"resnet18x0.5: training in batches of {recipe.batch_size}, all cores, {'bfloat16' if bf16 else 'float32'}"
    report.add(label, gflops_per_second=rates, share_of_peak=shares)
    return median(shares)


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


def convolution_rate(peaks: dict[str, float], *, bf16: bool) -> float:
    """Of `peak_rates`, the one that training in this arithmetic is a share of."""
    return peaks[f"convolution, {'bfloat16' if bf16 else 'float32'}"]


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
