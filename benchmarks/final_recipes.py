"""Final trainings: one cycle of the learning rate against stopping early, on random students of one teacher.

    python benchmarks/final_recipes.py [--teacher conv4 --dataset digits] [--students 6] [--networks resnet20] [--out FILE]

Every student is trained by each recipe, from the same weights, with the same images in the same order. Accuracies are on
validation images, which stopping early looks at in every epoch and one cycle never: so those on test images are told, too.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from report import Report

from n2n_gym.architecture import Architecture
from n2n_gym.models.build import Network
from n2n_gym.networks.beside import network_beside
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage, ShrinkStage, Stage
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.system.pool import Pool
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import Recipe, final_recipe

EARLY: dict[str, Any] = {"epochs": 150, "learning_rate": 5e-3, "one_cycle": False, "patience": 24}
"""The final training of before: at most so many epochs, with a smaller rate whenever validation accuracy stands still."""

KEPT = 0.7
"""Share of layers that students keep; of what is left, each variable is at least 0.4 of what it was."""


WEIGHT_DECAY = 5e-4
"""Of gradient descent with Nesterov's momentum; Adam has none."""


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    students: int = 6,
    networks: tuple[str, ...] = (),
    parameters: int = 0,
    epochs: tuple[int, ...] = (15, 30, 60),
    rates: tuple[float, ...] = (5e-3, 1e-2),
    nesterov_rates: tuple[float, ...] = (),
    hard_weights: tuple[float, ...] = (1.0,),
    soft_weights: tuple[float, ...] = (1.0,),
    images: int | None = None,
    early: bool = True,
    test: bool = True,
    device: str = "auto",
    processes: int = 1,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        students: How many random ones are trained.
        networks: What else is trained, such as resnet20.
        parameters: Least number of them where width-scaled is among these.
        epochs: Of one cycle.
        rates: Its highest learning rates, with Adam.
        nesterov_rates: The same with Nesterov's momentum and weight decay.
        hard_weights: Of the loss with the labels, with Nesterov's momentum.
        soft_weights: Of the distillation loss, likewise.
        images: So many of the training images an epoch, the next ones in each, likewise.
        early: Whether stopping early is measured, too.
        test: Whether test images are looked at.
        device: Where.
        processes: So many trainings side by side, each with one thread on a CPU.
        out: JSON file of the results.
    """
    report = Report("final_recipes", ("val_accuracy", "test_accuracy", "seconds", "epochs"), out)
    teacher = ready_teacher(problem, device=torch_device(device))
    default = final_recipe(problem.data, problem.train_size)
    recipes = {"stopping early": replace(default, **EARLY)} if early else {}
    for count in epochs:
        for rate in rates:
            recipes[f"one cycle, {count} epochs, {rate:g}"] = replace(default, epochs=count, learning_rate=rate)
        for rate, hard, soft in itertools.product(nesterov_rates, hard_weights, soft_weights):
            kind: dict[str, Any] = {"optimizer": "nesterov", "learning_rate": rate, "weight_decay": WEIGHT_DECAY}
            loss = "" if (hard, soft) == (1, 1) else f", {hard:g} hard + {soft:g} soft"
            name = f"one cycle, {count} epochs, nesterov {rate:g}{loss}"
            recipes[name] = replace(default, epochs=count, hard=hard, soft=soft, images=images, **kind)
    rng = np.random.default_rng(0)
    drawn = [_drawn(problem, rng).architecture for _ in range(students)]
    trained = [*drawn, *(network_beside(name, problem.architecture, parameters) for name in networks)]
    report.facts["teacher_test_accuracy"] = teacher.test_accuracy
    report.facts["networks"] = [each.parameters for each in trained]
    what = (problem, device, processes > 1, test)
    jobs = [(name, number) for name in recipes for number in range(len(trained))]
    found: dict[str, list[list[float]]] = {name: [] for name in recipes}
    for (name, number), measured in zip(
        jobs, _all([(trained[number], recipes[name], number) for name, number in jobs], processes, what), strict=True
    ):
        found[name].append(measured)
        if number == len(trained) - 1:
            columns = dict(zip(report.columns, map(list, zip(*found[name], strict=True)), strict=True))
            report.add(f"{problem.name}: {name}", **columns)
    report.finish()


Job = tuple[Architecture, Recipe, int]


def _all(jobs: Sequence[Job], processes: int, what: tuple[Problem, str, bool, bool]) -> Iterator[list[float]]:
    if processes == 1:
        _ready(*what)
        yield from map(_measured, jobs)
        return
    with Pool(processes, _ready, *what) as pool:
        yield from pool.map(_measured, jobs)


_data: ImageData  # in a worker process: what it trains with
_logits: TeacherLogits
_test: bool


def _ready(problem: Problem, device: str, one_thread: bool, test: bool) -> None:
    global _data, _logits, _test
    if one_thread:  # in a process of its own
        torch.set_num_threads(1)
    where = torch_device(device)
    teacher = ready_teacher(problem, device=where)
    _data = ImageData.of(problem, where)
    _logits = TeacherLogits(teacher.checkpoint.network.to(where), _data)
    _test = test


def _measured(job: Job) -> list[float]:
    architecture, recipe, seed = job
    network = Network(architecture, torch.Generator().manual_seed(seed)).to(_data.device)
    start = time.perf_counter()
    outcome = train(network, _data, recipe, seed=seed, teacher=_logits)
    seconds = time.perf_counter() - start
    tested = _data.test_score(network).accuracy if _test else math.nan
    return [outcome.score.accuracy, tested, seconds, outcome.epochs]


def _drawn(problem: Problem, rng: np.random.Generator) -> Student:
    """A student as searches find them: feasible, some layers removed, the others shrunk."""
    student = Student(problem.architecture)
    removal = RemovalStage(student)
    student = removal.student(_episode(removal, rng, lambda action: KEPT if action == removal.keep else 1 - KEPT))
    shrink = ShrinkStage(student)
    return shrink.student(_episode(shrink, rng, lambda action: float(action >= 3) + 1e-9))


def _episode(stage: Stage, rng: np.random.Generator, weight: Callable[[int], float]) -> list[int]:
    taken: list[int] = []
    for _ in range(stage.decisions):
        offered = np.flatnonzero(stage.mask(taken))
        weights = np.array([weight(int(action)) for action in offered])
        taken.append(int(rng.choice(offered, p=weights / weights.sum())))
    return taken


if __name__ == "__main__":
    tyro.cli(main)
