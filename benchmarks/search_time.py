"""How long whole searches take until their best student is truly worth something, and what halving saves.

    python benchmarks/search_time.py [--teacher conv4 --dataset digits] [--iterations 30] [--seeds 5] [--out FILE]

Searches of stage 1 with the same seeds, in one process and thread each, so that their cost is core seconds, whatever else the
machine does; who goes first changes from seed to seed:

- `published loop`: the paper's agent; each student is trained by the paper's published loop, also one that it trained before,
  in batches as small as recipe `paper`'s, so that its students are as good (evaluator_throughput.py);
- `defaults`: the default agent with the default recipe;
- `random`: random search with the default recipe;
- `halving`: as `defaults`, by `HalvingEvaluator`.

A search thinks well of students that were lucky. So whoever was its best at some time is trained to convergence, with fresh
seeds, and what counts is that student's mean reward on test images. Reported is the cost after which each search's best was
truly worth given rewards, and what the published loop's was worth in the end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro
from reference_loop import ReferenceLoop
from report import Report
from rich.progress import track
from stable_baselines3.common.callbacks import BaseCallback

from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import BatchedVecEnv, PolicyUpdates
from agents.interval import Interval
from agents.search.options import Search as Options
from n2n_gym.architecture import Architecture
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.models.build import Network
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import final_recipe, search_recipe


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

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        known = self.trained.validation_accuracy
        with torch.random.fork_rng(devices=[]):  # the search's own draws are as in the other search
            accuracies = self.loop.evaluate(students)
        for index, accuracy in enumerate(accuracies):
            yield index, Evaluation.of(students[index].architecture, self.teacher, accuracy=accuracy, teacher_accuracy=known)

    def evaluate(self, students: Sequence[Student]) -> list[Evaluation]:
        verdicts = [student.architecture.verdict(self.teacher) for student in students]
        feasible = [i for i, verdict in enumerate(verdicts) if verdict.feasible]
        done = dict(self.stream([students[i] for i in feasible])) if feasible else {}
        answers = {feasible[position]: evaluation for position, evaluation in done.items()}
        return [
            answers[i] if i in answers else Evaluation.failed(student.architecture, self.teacher, verdicts[i])
            for i, student in enumerate(students)
        ]


JUDGES = (1000, 1001)
"""Seeds of the trainings to convergence: no search saw them."""

GOALS = (0.9, 0.95, 0.97)
"""Rewards to reach besides what the published loop's search reached."""

PUBLISHED = "published loop"


class Progress(BaseCallback):
    """After every policy update: core seconds since the start, and the student that has done best so far."""

    def __init__(self, stage: RemovalStage) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.best: list[Student] = []
        self._stage = stage
        self._reward = -math.inf
        self._start = time.process_time()

    def _on_step(self) -> bool:
        if self.locals["dones"].all():
            for info, reward in zip(self.locals["infos"], self.locals["rewards"], strict=True):
                if reward > self._reward:
                    self._reward, leader = float(reward), self._stage.student(info["actions"].tolist())
                    self.best = [*self.best[: len(self.seconds)], leader]
            if len(self.best) == len(self.seconds):
                self.best.append(self.best[-1])
            self.seconds.append(time.process_time() - self._start)
        return True

    def until(self, worth: Mapping[str, float], reward: float) -> float:
        """Core seconds until the best so far was worth a reward; infinite if it never was."""
        pairs = zip(self.seconds, self.best, strict=True)
        return next((seconds for seconds, each in pairs if worth[each.architecture.fingerprint] >= reward), math.inf)


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    iterations: int = 30,
    seeds: int = 5,
    kinds: tuple[str, ...] = (PUBLISHED, "defaults", "random", "halving"),
    device: str = "cpu",
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        iterations: Policy updates of each search.
        seeds: Searches of each kind.
        kinds: Of those above.
        device: Where.
        out: The JSON file.
    """
    torch.set_num_threads(1)
    report = Report(f"search_time-{problem.name}", ("seconds", "worth", *(f"seconds_to_{goal}" for goal in GOALS)), out)
    done: dict[str, list[Progress]] = {kind: [] for kind in kinds}
    for seed in range(seeds):
        for kind in kinds[seed % len(kinds) :] + kinds[: seed % len(kinds)]:
            done[kind].append(searched(kind, problem, device, iterations, seed))
            print(f"seed {seed}, {kind}: {done[kind][-1].seconds[-1]:.0f} core seconds", flush=True)
    worth = judged(problem, [best for each in done.values() for progress in each for best in progress.best], device)
    for kind, each in done.items():
        report.add(
            f"{problem.name}, {iterations} updates: {kind}",
            seconds=[run.seconds[-1] for run in each],
            worth=[worth[run.best[-1].architecture.fingerprint] for run in each],
            **{f"seconds_to_{goal}": [run.until(worth, goal) for run in each] for goal in GOALS},
        )
    ends = {kind: [worth[run.best[-1].architecture.fingerprint] for run in each] for kind, each in done.items()}
    if PUBLISHED in kinds:
        for kind in kinds[1:]:
            pairs = list(zip(done[kind], done[PUBLISHED], ends[PUBLISHED], strict=True))
            shares = [run.until(worth, end) / published.seconds[-1] for run, published, end in pairs]
            report.facts[f"share of the {PUBLISHED}'s cost until its worth, {kind}"] = shares
            if kind == "defaults":
                report.claim(f"share of the {PUBLISHED}'s cost until its worth", median(shares), at_most=0.1)
    if {"defaults", "halving"} <= set(kinds):
        pairs_of_seconds = zip(done["halving"], done["defaults"], strict=True)
        report.claim("cost of halving", median(a.seconds[-1] / b.seconds[-1] for a, b in pairs_of_seconds), at_most=0.5)
        gained = [a - b for a, b in zip(ends["halving"], ends["defaults"], strict=True)]
        report.facts["worth of halving's best above the defaults'"] = Interval.of(gained).to_json()
    report.facts["default_recipe"] = Options().recipe
    report.facts["worth"] = worth
    report.finish()


def searched(kind: str, problem: Problem, device: str, iterations: int, seed: int) -> Progress:
    """One search."""
    stage = RemovalStage(Student(problem.architecture))
    if kind == PUBLISHED:
        batch_size = search_recipe("paper", problem.data, problem.train_size).batch_size
        return search(stage, problem, ReferenceEvaluator(problem, batch_size, device), "reinforce", iterations, seed)
    with (
        TemporaryDirectory() as folder,
        make_evaluator(
            problem,
            evaluator="halving" if kind == "halving" else "distillation",
            recipe=Options().recipe,
            seed=seed,
            device=device,
            store=Path(folder) / "store.sqlite",
        ) as evaluator,
    ):
        evaluator.context()  # the teacher is there before the clock starts
        agent = "random" if kind == "random" else Options().agent
        return search(stage, problem, evaluator, agent, iterations, seed)


def search(stage: RemovalStage, problem: Problem, evaluator: Evaluator, agent: str, iterations: int, seed: int) -> Progress:
    """One search of stage 1, by a given agent with a given evaluator."""
    settings = Settings(**asdict(problem), evaluator=evaluator)
    envs = BatchedVecEnv(CompressionVectorEnv(5, stage, settings))
    progress = Progress(stage)
    algorithm(agent).make(envs, stage=1, seed=seed).learn(
        iterations * 5 * stage.decisions, callback=[PolicyUpdates(), progress]
    )
    return progress


def judged(problem: Problem, students: Sequence[Student], device: str) -> dict[str, float]:
    """The mean reward on test images of trainings to convergence, by fingerprint."""
    where = torch_device(device)
    teacher, data = ready_teacher(problem, device=where), ImageData.of(problem, where)
    recipe = final_recipe(problem.data, problem.train_size)
    logits = TeacherLogits(teacher.checkpoint.network, data, views=recipe.epochs)
    found: dict[str, float] = {}
    for student in track({each.architecture.fingerprint: each for each in students}.values(), "to convergence"):
        rewards = []
        for seed in JUDGES:
            network = Network(student.architecture, torch.Generator().manual_seed(seed))
            train(network, data, recipe, seed=seed, teacher=logits)
            accuracy = data.test_score(network).accuracy
            tested = Evaluation.of(
                student.architecture, problem.architecture, accuracy=accuracy, teacher_accuracy=teacher.test_accuracy
            )
            rewards.append(paper_reward(tested))
        found[student.architecture.fingerprint] = fmean(rewards)
    return found


if __name__ == "__main__":
    tyro.cli(main)
