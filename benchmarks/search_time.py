"""How long whole searches take to reach a reward: the defaults, and recipe `paper` trained by the paper's published loop.

    python benchmarks/search_time.py [--teacher conv4 --dataset digits] [--iterations 30] [--seeds 3] [--out FILE]

Both searches are stage 1 by the same agent with the same seeds; who goes first alternates. The published loop trains every
student, also one that it trained before, in batches as small as recipe `paper`'s, so that both look at equally good students:
with its own batches it would be faster and its students worse (evaluator_throughput.py). When both are done, the students of
both are trained by recipe `paper` once more, with a seed of its own, for the defaults may train otherwise, and a search thinks
well of students that were lucky. Reported is the time after which the defaults were where the published loop's search ended,
against all of that search's time: by the best student so far, which luck can find in the first update, and by the mean reward
of the last ten updates, which has to be learned; and when either saw given rewards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro
from reference_loop import ReferenceLoop
from report import Report
from stable_baselines3.common.callbacks import BaseCallback

from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import BatchedVecEnv
from agents.search.options import Search as Options
from n2n_gym.architecture import Architecture
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.recipes import search_recipe


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


WINDOW = 10
"""Updates that a mean reward is taken over; all of a shorter search."""

JUDGE = 1000
"""Seed of the trainings by which both searches are judged: neither saw them."""


class Progress(BaseCallback):
    """After every policy update: seconds since the start, and the update's episodes with their rewards."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.episodes: list[list[Sequence[int]]] = []
        self.rewards: list[list[float]] = []
        self._start = time.perf_counter()

    def _on_step(self) -> bool:
        if self.locals["dones"].all():
            self.seconds.append(time.perf_counter() - self._start)
            self.episodes.append([info["actions"].tolist() for info in self.locals["infos"]])
            self.rewards.append([float(reward) for reward in self.locals["rewards"]])
        return True


@dataclass(frozen=True)
class Search:
    """A search as it looks when its students are trained once more, by recipe `paper`.

    Attributes:
        seconds: From the start until each policy update.
        best: Reward of the student that had done best in the search so far.
        mean: Mean reward of the last `WINDOW` updates; before there are so many, -1.
    """

    seconds: list[float]
    best: list[float]
    mean: list[float]

    @classmethod
    def of(cls, progress: Progress, stage: RemovalStage, judge: Evaluator) -> Search:
        """What was searched, judged."""
        window = min(WINDOW, len(progress.rewards))
        students = [[stage.student(actions) for actions in episodes] for episodes in progress.episodes]
        judged = iter(judge.evaluate([student for update in students for student in update]))
        rewards = [[paper_reward(next(judged)) for _ in update] for update in students]
        best, found = [], (-math.inf, -math.inf)
        for own, again in zip(progress.rewards, rewards, strict=True):
            found = max([found, *zip(own, again, strict=True)], key=lambda pair: pair[0])  # of equals, the first
            best.append(found[1])
        means = [fmean(update) for update in rewards]
        late = [fmean(means[end - window : end]) if end >= window else -1.0 for end in range(1, len(means) + 1)]
        return cls(progress.seconds, best, late)

    def until(self, curve: Sequence[float], reward: float) -> float:
        """Seconds until that reward was reached on one of the curves; infinite if it was not."""
        return next((seconds for seconds, value in zip(self.seconds, curve, strict=True) if value >= reward), math.inf)


GOALS = (0.9, 0.95, 0.98)
"""Rewards to reach besides the published loop's last."""


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    iterations: int = 30,
    seeds: int = 3,
    device: str = "auto",
    workers: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        iterations: Policy updates of each search.
        seeds: Searches of each kind.
        device: Where.
        workers: Processes that train the defaults' students; by default one per core.
        out: The JSON file.
    """
    ends = ("best", "mean")
    columns = ("seconds", *ends, *(f"share_to_its_{end}" for end in ends), *(f"seconds_to_{goal}" for goal in GOALS))
    report = Report(f"search_time-{problem.name}", columns, out)
    batch_size = search_recipe("paper", problem.data, problem.train_size).batch_size
    kinds = {
        "published loop": lambda seed: searched_by_published_loop(problem, batch_size, device, iterations, seed),
        "defaults": lambda seed: searched_by_defaults(problem, device, workers, iterations, seed),
    }
    done: dict[str, list[Progress]] = {kind: [] for kind in kinds}
    for seed in range(seeds):
        for kind in list(kinds) if seed % 2 == 0 else reversed(kinds):
            done[kind].append(kinds[kind](seed))
            print(f"seed {seed}, {kind}: {done[kind][-1].seconds[-1]:.0f} s", flush=True)
    stage = RemovalStage(Student(problem.architecture))
    with (
        TemporaryDirectory() as folder,
        make_evaluator(problem, seed=JUDGE, device=device, workers=workers, store=Path(folder) / "store.sqlite") as judge,
    ):
        curves = {kind: [Search.of(progress, stage, judge) for progress in each] for kind, each in done.items()}
    published = curves["published loop"]
    shares: dict[str, list[float]] = {}
    for kind, each in curves.items():
        for end in ends:
            pairs = zip(each, published, strict=True)
            shares[end] = [run.until(getattr(run, end), getattr(whole, end)[-1]) / whole.seconds[-1] for run, whole in pairs]
        report.add(
            f"{problem.name}, {iterations} updates: {kind}",
            seconds=[run.seconds[-1] for run in each],
            **{end: [getattr(run, end)[-1] for run in each] for end in ends},
            **{f"share_to_its_{end}": shares[end] for end in ends},
            **{f"seconds_to_{goal}": [run.until(run.best, goal) for run in each] for goal in GOALS},
        )
    for end in ends:  # the last ones are the defaults'
        report.claim(f"share of the published loop's time until its last {end} reward", median(shares[end]), at_most=0.1)
    report.facts["default_recipe"] = Options().recipe
    report.facts["curves"] = {kind: [asdict(run) for run in each] for kind, each in curves.items()}
    report.finish()


def searched_by_published_loop(problem: Problem, batch_size: int, device: str, iterations: int, seed: int) -> Progress:
    """A search whose students the published loop trains."""
    return search(problem, ReferenceEvaluator(problem, batch_size, device), iterations, seed)


def searched_by_defaults(problem: Problem, device: str, workers: int | None, iterations: int, seed: int) -> Progress:
    """A search as `n2n compress` does it."""
    with TemporaryDirectory() as folder:
        store, recipe = Path(folder) / "store.sqlite", Options().recipe
        with make_evaluator(problem, recipe=recipe, seed=seed, device=device, workers=workers, store=store) as evaluator:
            evaluator.context()  # the teacher is there before the clock starts
            return search(problem, evaluator, iterations, seed)


def search(problem: Problem, evaluator: Evaluator, iterations: int, seed: int) -> Progress:
    """One search of stage 1."""
    stage = RemovalStage(Student(problem.architecture))
    settings = Settings(**asdict(problem), evaluator=evaluator)
    envs = BatchedVecEnv(CompressionVectorEnv(5, stage, settings))
    recorder = Progress()
    algorithm("reinforce-imitating").make(envs, stage=1, seed=seed).learn(iterations * 5 * stage.decisions, callback=recorder)
    return recorder


if __name__ == "__main__":
    tyro.cli(main)
