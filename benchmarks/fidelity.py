"""Does a short training rank students as a long one does, and how noisy is the reward?

    python benchmarks/fidelity.py [--teacher conv4 --dataset digits] [--students 50] [--seeds 3] [--out FILE]

The same students, drawn from random episodes of stage 1, are trained by every search recipe with several seeds, and to
convergence by the recipe of the final training (`--no-convergence` leaves it out). Reported are Spearman's rank correlations
of rewards, with 95% bootstrap intervals over students, and the reward's standard deviation over seeds.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import tyro
from report import Report
from rich.progress import track
from scipy.stats import spearmanr
from students import random_students

from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.models.build import Network
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import SEARCH_RECIPES, final_recipe

Rewards = npt.NDArray[np.float64]


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    students: int = 50,
    seeds: int = 3,
    convergence: bool = True,
    device: str = "auto",
    workers: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        students: How many are compared.
        seeds: Trainings of each by each search recipe.
        convergence: Whether they are trained to convergence, too.
        device: Where.
        workers: Processes that train by search recipes; by default one per core.
        out: The JSON file.
    """
    report = Report(f"fidelity-{problem.name}", ("rho", "low", "high", "noise"), out)
    drawn = random_students(problem.architecture, students)
    rewards = {name: short_trainings(problem, drawn, name, seeds, device, workers) for name in SEARCH_RECIPES}
    if convergence:
        rewards["convergence"] = long_trainings(problem, drawn, device)
    for name, values in rewards.items():
        if len(values) > 1:
            report.add(f"{name}: one seed and another", **correlation(values[0], values[1]), noise=noise(values))
    for one, other in combinations(rewards, 2):
        report.add(f"{one} and {other}, means over seeds", **correlation(rewards[one].mean(0), rewards[other].mean(0)))
        report.add(f"{one} and {other}, one seed each", **correlation(rewards[one][0], rewards[other][-1]))
    fast = correlation(rewards["paper"].mean(0), rewards["fast"].mean(0))
    report.claim("fast and paper: Spearman's rho", fast["rho"], at_least=0.9)
    report.facts |= {
        "rewards": {name: values.tolist() for name, values in rewards.items()},
        "students": [student.architecture.to_json() for student in drawn],
    }
    report.finish()


def short_trainings(
    problem: Problem, students: list[Student], recipe: str, seeds: int, device: str, workers: int | None
) -> Rewards:
    """Rewards of shape (seeds, students)."""
    rewards = []
    for seed in track(range(seeds), f"recipe {recipe}"):
        with make_evaluator(problem, recipe=recipe, seed=seed, device=device, workers=workers) as evaluator:
            rewards.append([paper_reward(evaluation) for evaluation in evaluator.evaluate(students)])
    return np.array(rewards)


def long_trainings(problem: Problem, students: list[Student], device: str) -> Rewards:
    """Rewards after the final training, of shape (1, students)."""
    where = torch_device(device)
    teacher = ready_teacher(problem, device=where)
    data = ImageData.of(problem, where)
    recipe = final_recipe(problem.data, problem.train_size)
    logits = TeacherLogits(teacher.checkpoint.network.to(where), data, views=recipe.epochs)
    rewards = []
    for student in track(students, "to convergence"):
        torch.manual_seed(0)
        outcome = train(Network(student.architecture).to(where), data, recipe, seed=0, teacher=logits)
        evaluation = Evaluation.of(
            student.architecture,
            problem.architecture,
            accuracy=outcome.score.accuracy,
            teacher_accuracy=teacher.validation_accuracy,
            reason=outcome.failure,
        )
        rewards.append(paper_reward(evaluation))
    return np.array([rewards])


def correlation(a: Rewards, b: Rewards, resamples: int = 2_000) -> dict[str, float]:
    """Spearman's rho with a 95% bootstrap interval over students."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(a), (resamples, len(a)))
    low, high = np.nanpercentile([spearmanr(a[i], b[i]).statistic for i in draws], [2.5, 97.5])
    return {"rho": float(spearmanr(a, b).statistic), "low": float(low), "high": float(high)}


def noise(rewards: Rewards) -> float:
    """The reward's standard deviation over seeds, the root of the mean variance over students."""
    return float(np.sqrt(rewards.var(0, ddof=1).mean()))


if __name__ == "__main__":
    tyro.cli(main)
