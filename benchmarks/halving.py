"""Does successive halving find students as good at less cost? Whole searches on tables of real trainings, epoch by epoch.

    python benchmarks/halving.py [--tables ...] [--agents ...] [--looks 100] [--seeds 12] [--out FILE]

A table holds each student's validation accuracy after every epoch of several trainings. A search sees those of one training; a
student is worth its mean reward on test images over the others. Searches of as many looks, with the same seeds: every student
trained whole, and halved (`HalvingEvaluator`); halved with twice the looks, for about the cost of whole, and whole with two
fifths of them, for about the cost of halved. The cost is counted in epochs of students that were trained, each once. Reported
is what a search's best, by its rewards, is truly worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import tyro
from report import Report
from rich.progress import track
from stable_baselines3.common.callbacks import BaseCallback

from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import BatchedVecEnv, PolicyUpdates
from agents.interval import Interval
from n2n_gym.architecture import Architecture
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.contract import Evaluator, Rung
from n2n_gym.evaluators.halving import HalvingEvaluator
from n2n_gym.rewards import paper_reward
from n2n_gym.stages import STAGES
from n2n_gym.student import Student
from n2n_gym.tables import Table, table_names

ROLLOUTS = 5


@dataclass
class Looked(Evaluator):
    """What one training of a table's students had reached after so many epochs.

    Attributes:
        table: It.
        seed: Which training.
        epoch: Where trainings are stopped; they go to the end by default.
        trained: By row, epochs that were trained; shared by all that stop elsewhere.
    """

    table: Table
    seed: int
    epoch: int | None = None
    trained: dict[int, int] = field(default_factory=dict)

    @property
    def teacher(self) -> Architecture:
        return self.table.teacher

    @property
    def epochs(self) -> int:
        return int(self.table.columns["correct"].shape[2])

    def until(self, rung: Rung) -> Evaluator:
        return replace(self, epoch=rung.epoch)

    def context(self) -> dict[str, Any]:
        return {"table": self.table.name, "seed": self.seed, "epoch": self.epoch}

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        epoch = self.epoch or self.epochs
        for index, student in enumerate(students):
            row = self.table.row_of(student.architecture)
            self.trained[row] = max(epoch, self.trained.get(row, 0))
            whole = self.table.evaluation(row, self.seed)
            yield index, whole if whole.reason else replace(whole, accuracy=whole.epoch_accuracy[epoch - 1])


class Best(BaseCallback):
    """Remembers the student with the highest reward; of equals, the first."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: tuple[int, ...] = ()
        self._reward = -math.inf

    def _on_step(self) -> bool:
        if self.locals["dones"].all():
            for info, reward in zip(self.locals["infos"], self.locals["rewards"], strict=True):
                if reward > self._reward:
                    self._reward, self.actions = float(reward), tuple(info["actions"].tolist())
        return True


WAYS = {
    "whole": (False, 1.0),
    "whole, two fifths of the looks": (False, 0.4),
    "halved": (True, 1.0),
    "halved, twice the looks": (True, 2.0),
}
"""Whether students are halved, and how many looks there are in terms of those asked for."""


def main(
    tables: tuple[str, ...] = (),
    agents: tuple[str, ...] = ("random", "informed-evolution", "reinforce-imitating"),
    looks: int = 100,
    seeds: int = 12,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        tables: All of the package by default.
        agents: Who searches.
        looks: Students that a search may look at.
        seeds: Searches of each kind; they take turns with a table's trainings.
        out: The JSON file.
    """
    torch.set_num_threads(1)
    report = Report("halving", ("epochs", "worth", "above_whole", "low", "high"), out)
    ratios, ahead, fewer = [], [], []
    for name in tables or table_names():
        table = Table.load(name)
        for agent in agents:
            found = {
                way: [
                    searched(table, agent, seed, halves=halves, looks=round(times * looks))
                    for seed in track(range(seeds), f"{name}, {agent}, {way}")
                ]
                for way, (halves, times) in WAYS.items()
            }
            for way, runs in found.items():
                gained = Interval.of([run[1] - whole[1] for run, whole in zip(runs, found["whole"], strict=True)])
                cost, worth = ([run[part] for run in runs] for part in (0, 1))
                report.add(
                    f"{name}, {agent}: {way}",
                    epochs=cost,
                    worth=worth,
                    above_whole=gained.mean,
                    low=gained.low,
                    high=gained.high,
                )
            halved, whole = found["halved"], found["whole"]
            fewer.append(
                [run[1] - other[1] for run, other in zip(halved, found["whole, two fifths of the looks"], strict=True)]
            )
            ratios.append(fmean(run[0] for run in halved) / fmean(run[0] for run in whole))
            ahead.append([run[1] - other[1] for run, other in zip(halved, whole, strict=True)])
    report.facts["worth of halved above whole, all tables and agents"] = Interval.of(
        [fmean(each) for each in zip(*ahead, strict=True)]
    ).to_json()
    report.facts["worth of halved above whole with two fifths of the looks"] = Interval.of(
        [fmean(each) for each in zip(*fewer, strict=True)]
    ).to_json()
    report.claim("cost of halving, mean over tables and agents", fmean(ratios), at_most=0.5)
    report.finish()


def searched(table: Table, agent: str, seed: int, *, halves: bool, looks: int) -> tuple[float, float]:
    """A search; returns its cost in epochs and what its best student is worth."""
    place = seed % len(table.seeds)
    looked = Looked(table, table.seeds[place])
    evaluator = HalvingEvaluator(looked, paper_reward) if halves else looked
    stage = STAGES[table.stage](table.start)
    problem = table.facts["problem"]
    settings = Settings(**problem, evaluator=evaluator)
    envs = BatchedVecEnv(CompressionVectorEnv(ROLLOUTS, stage, settings))
    best = Best()
    algorithm(agent).make(envs, stage=stage.number, seed=seed).learn(looks * stage.decisions, callback=[PolicyUpdates(), best])
    evaluator.close()
    others = np.delete(table.columns["test_correct"][table.rows([best.actions])[0]], place)
    tested = Evaluation.of(
        stage.student(best.actions).architecture,
        table.teacher,
        accuracy=float(others.mean() / table.facts["test_images"]),
        teacher_accuracy=table.facts["teacher"]["test_accuracy"],
    )
    return float(sum(looked.trained.values())), paper_reward(tested)


if __name__ == "__main__":
    tyro.cli(main)
