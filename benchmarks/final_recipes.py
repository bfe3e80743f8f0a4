"""Final trainings: one cycle of the learning rate against stopping early, on random students of one teacher.

    python benchmarks/final_recipes.py [--teacher conv4 --dataset digits] [--train-size N] [--students 6] [--out FILE]

Every student is trained by each recipe, from the same weights, with the same images in the same order. Accuracies are on
validation images, which stopping early looks at in every epoch and one cycle never: so those on test images are told, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from report import Report

from n2n_gym.models.build import Network
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage, ShrinkStage, Stage
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import Recipe, final_recipe

EARLY: dict[str, Any] = {"epochs": 150, "learning_rate": 5e-3, "one_cycle": False, "patience": 24}
"""The final training of before: at most so many epochs, with a smaller rate whenever validation accuracy stands still."""

KEPT = 0.7
"""Share of layers that students keep; of what is left, each variable is at least 0.4 of what it was."""


def main(
    teacher: str = "conv4",
    dataset: str = "digits",
    width: float = 1.0,
    train_size: int | None = None,
    students: int = 6,
    epochs: tuple[int, ...] = (15, 30, 60),
    rates: tuple[float, ...] = (5e-3, 1e-2),
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        teacher: Network of the zoo.
        dataset: What it is trained on.
        width: Factor on its filters.
        train_size: Training images; all by default.
        students: How many.
        epochs: Of one cycle.
        rates: Its highest learning rates.
        out: JSON file of the results.
    """
    problem = Problem(teacher, dataset, width, train_size)
    report = Report("final_recipes", ("val_accuracy", "test_accuracy", "seconds", "epochs"), out)
    device = torch_device("cpu")
    trained = ready_teacher(problem, device=device)
    data = ImageData.of(problem, device)
    logits = TeacherLogits(trained.checkpoint.network, data, views=max(*epochs, EARLY["epochs"]))
    default = final_recipe(problem.data, train_size)
    recipes = {"stopping early": replace(default, **EARLY)}
    for count in epochs:
        for rate in rates:
            recipes[f"one cycle, {count} epochs, {rate:g}"] = replace(default, epochs=count, learning_rate=rate)
    rng = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {name: [] for name in recipes}
    for number in range(students):
        student = _drawn(problem, rng)
        for name, recipe in recipes.items():
            found[name].append(_measured(student, data, recipe, logits, number))
    report.facts["teacher_test_accuracy"] = trained.test_accuracy
    for name, measured in found.items():
        columns = dict(zip(report.columns, map(list, zip(*measured, strict=True)), strict=True))
        report.add(f"{problem.name}: {name}", **columns)
    report.finish()


def _measured(student: Student, data: ImageData, recipe: Recipe, logits: TeacherLogits, seed: int) -> list[float]:
    network = Network(student.architecture, torch.Generator().manual_seed(seed))
    start = time.perf_counter()
    outcome = train(network, data, recipe, seed=seed, teacher=logits)
    seconds = time.perf_counter() - start
    return [outcome.score.accuracy, data.test_score(network).accuracy, seconds, outcome.epochs]


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
