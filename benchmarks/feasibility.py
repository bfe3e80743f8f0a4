"""How many students of random episodes are feasible: of those that obey the masks, and of those that take any action with an
effect.

    python benchmarks/feasibility.py [--networks conv4 resnet18 ...] [--episodes 500] [--out FILE]

Nothing is trained: shapes, sizes and verdict are arithmetic.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import tyro
from report import Report

from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.stages import RemovalStage
from n2n_gym.student import Student

WIDTHS = (0.125, 1.0)


def main(networks: tuple[str, ...] = tuple(ZOO), episodes: int = 500, out: Path | None = None) -> None:
    """Measure.

    Args:
        networks: Of the zoo.
        episodes: Random ones of each network and width.
        out: JSON file of the results.
    """
    report = Report("feasibility", ("feasible", "feasible_without_lookahead", "milliseconds_an_episode", "decisions"), out)
    for name in networks:
        for width in WIDTHS:
            teacher = network(name, width=width)
            stage = RemovalStage(Student(teacher))
            rng = np.random.default_rng(0)
            start = time.perf_counter()
            obeying = [_episode(stage, rng) for _ in range(episodes)]
            seconds = time.perf_counter() - start
            free = [[int(rng.choice(stage.effective(p))) for p in range(stage.decisions)] for _ in range(episodes)]
            verdicts = Counter(str(stage.student(each).architecture.verdict(teacher)) for each in free)
            report.add(
                f"{name} x {width:g}",
                feasible=float(np.mean([stage.feasible(each) for each in obeying])),
                feasible_without_lookahead=verdicts["feasible"] / episodes,
                milliseconds_an_episode=1000 * seconds / episodes,
                decisions=stage.decisions,
            )
            report.facts[f"{name} x {width:g}"] = dict(verdicts)
            if name.startswith("resnet"):
                report.claim(f"{name} x {width:g}: feasible", report.rows[-1]["feasible"], at_least=0.5)
    report.finish()


def _episode(stage: RemovalStage, rng: np.random.Generator) -> list[int]:
    """Uniformly random among what the masks offer, decision by decision."""
    taken: list[int] = []
    for _ in range(stage.decisions):
        taken.append(int(rng.choice(np.flatnonzero(stage.mask(taken)))))
    return taken


if __name__ == "__main__":
    tyro.cli(main)
