"""How long whole searches take to reach a reward: the defaults, and recipe `paper` trained by the paper's published loop.

    python benchmarks/search_time.py [--teacher conv4 --dataset digits] [--iterations 30] [--seeds 3] [--out FILE]

Both searches are stage 1 by the same agent with the same seeds; who goes first alternates. The published loop trains every
student, also one that it trained before. Reported is the time after which the defaults had seen a student with the reward that
the published loop's search ended with, against all of that search's time; and when either saw given rewards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import tyro
from reference_loop import ReferenceLoop
from report import Report
from stable_baselines3.common.callbacks import BaseCallback

from agents.algorithms import algorithm
from agents.sb3 import BatchedVecEnv
from n2n_gym.architecture import Architecture
from n2n_gym.device import torch_device
from n2n_gym.envs.base import Settings
from n2n_gym.envs.layer_removal import RemovalStage
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.base import Evaluation, Evaluator
from n2n_gym.models.teachers import ready_teacher
from n2n_gym.problem import Problem
from n2n_gym.recipes import search_recipe


class ReferenceEvaluator(Evaluator):
    """The published loop as an evaluator: it remembers nothing.

    Args:
        problem: Teacher and data.
        batch_size: Images a step.
        device: Where.
    """

    def __init__(self, problem: Problem, batch_size: int, device: str) -> None:
        where = torch_device(device)
        self.problem = problem
        self.trained = ready_teacher(problem, device=where)
        self.loop = ReferenceLoop(problem, self.trained.checkpoint.network, batch_size=batch_size, device=where)

    @property
    def teacher(self) -> Architecture:
        return self.problem.architecture

    def context(self) -> dict[str, Any]:
        return {"evaluator": "published loop"}

    def stream(self, students: Sequence[Architecture]) -> Iterator[tuple[int, Evaluation]]:
        known = self.trained.validation_accuracy
        for index, accuracy in enumerate(self.loop.evaluate(students)):
            yield index, Evaluation.of(students[index], self.teacher, accuracy=accuracy, teacher_accuracy=known)

    def evaluate(self, students: Sequence[Architecture]) -> list[Evaluation]:
        feasible = [i for i, student in enumerate(students) if student.verdict(self.teacher).feasible]
        done = dict(self.stream([students[i] for i in feasible])) if feasible else {}
        answers = {feasible[position]: evaluation for position, evaluation in done.items()}
        return [
            answers[i] if i in answers else Evaluation.failed(student, self.teacher, student.verdict(self.teacher))
            for i, student in enumerate(students)
        ]


class BestSoFar(BaseCallback):
    """Seconds since the start and best reward, after every policy update."""

    def __init__(self) -> None:
        super().__init__()
        self.curve: list[tuple[float, float]] = []
        self._best = -1.0
        self._start = time.perf_counter()

    def _on_step(self) -> bool:
        if self.locals["dones"].all():
            self._best = max(self._best, float(self.locals["rewards"].max()))
            self.curve.append((time.perf_counter() - self._start, self._best))
        return True

    @property
    def seconds(self) -> float:
        """Of the whole search."""
        return self.curve[-1][0]

    def until(self, reward: float) -> float:
        """Seconds until that reward was reached; infinite if it was not."""
        return next((seconds for seconds, best in self.curve if best >= reward), math.inf)


GOALS = (0.9, 0.95, 0.98)
"""Rewards to reach besides the published loop's last."""


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    iterations: int = 30,
    seeds: int = 3,
    device: str = "auto",
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        iterations: Policy updates of each search.
        seeds: Searches of each kind.
        device: Where.
        out: The JSON file.
    """
    columns = ("seconds", "best_reward", "seconds_to_its_end", "share_of_its_time", *(f"seconds_to_{goal}" for goal in GOALS))
    report = Report(f"search_time-{problem.name}", columns, out)
    batch_size = search_recipe("paper", problem.data, problem.train_size).batch_size
    kinds = {
        "published loop": lambda seed: searched_by_published_loop(problem, batch_size, device, iterations, seed),
        "defaults": lambda seed: searched_by_defaults(problem, device, iterations, seed),
    }
    curves: dict[str, list[BestSoFar]] = {kind: [] for kind in kinds}
    for seed in range(seeds):
        for kind in list(kinds) if seed % 2 == 0 else reversed(kinds):
            curves[kind].append(kinds[kind](seed))
    published = curves["published loop"]
    goals = [curve.curve[-1][1] for curve in published]
    for kind, each in curves.items():
        until = [curve.until(goal) for curve, goal in zip(each, goals, strict=True)]
        shares = [time / whole.seconds for time, whole in zip(until, published, strict=True)]
        report.add(
            f"{problem.name}, {iterations} updates: {kind}",
            seconds=[curve.seconds for curve in each],
            best_reward=[curve.curve[-1][1] for curve in each],
            seconds_to_its_end=until,
            share_of_its_time=shares,
            **{f"seconds_to_{goal}": [curve.until(goal) for curve in each] for goal in GOALS},
        )
    report.claim("share of the published loop's time until its last reward", median(shares), at_most=0.1)
    report.facts["curves"] = {kind: [curve.curve for curve in each] for kind, each in curves.items()}
    report.finish()


def searched_by_published_loop(problem: Problem, batch_size: int, device: str, iterations: int, seed: int) -> BestSoFar:
    """A search whose students the published loop trains."""
    return search(problem, ReferenceEvaluator(problem, batch_size, device), iterations, seed)


def searched_by_defaults(problem: Problem, device: str, iterations: int, seed: int) -> BestSoFar:
    """A search as `n2n compress` does it."""
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store.sqlite"
        with make_evaluator(problem, seed=seed, device=device, workers=None, store=store) as evaluator:
            evaluator.context()  # the teacher is there before the clock starts
            return search(problem, evaluator, iterations, seed)


def search(problem: Problem, evaluator: Evaluator, iterations: int, seed: int) -> BestSoFar:
    """One search of stage 1."""
    stage = RemovalStage(problem.architecture)
    settings = Settings(**asdict(problem), evaluator=evaluator)
    envs = BatchedVecEnv(CompressionVectorEnv(5, stage, settings))
    recorder = BestSoFar()
    algorithm("reinforce").make(envs, stage=1, seed=seed).learn(iterations * 5 * stage.decisions, callback=recorder)
    return recorder


if __name__ == "__main__":
    tyro.cli(main)
