"""How many students of random episodes are feasible: of those that obey the masks, and of those that take any action with an
effect.

    python benchmarks/feasibility.py [--networks conv4 resnet18 ...] [--episodes 500] [--out FILE]

Nothing is trained: shapes, sizes and verdict are arithmetic. It takes hours for the deepest networks: what the file holds
already, of as many episodes, is kept.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from report import Report

from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.stages import RemovalStage
from n2n_gym.student import Student
from n2n_gym.system.documents import read_document

WIDTHS = (0.125, 1.0)
COLUMNS = ("feasible", "feasible_without_lookahead", "milliseconds_an_episode", "decisions", "episodes")


def main(networks: tuple[str, ...] = tuple(ZOO), episodes: int = 500, out: Path | None = None) -> None:
    """Measure.

    Args:
        networks: Of the zoo.
        episodes: Random ones of each network and width.
        out: JSON file of the results.
    """
    report = Report("feasibility", COLUMNS, out)
    before = read_document(report.out, dict[str, Any], "report") if report.out.exists() else {"rows": []}
    known = {row["case"]: row for row in before["rows"] if row["episodes"] == episodes}
    for name in networks:
        for width in WIDTHS:
            case = f"{name} x {width:g}"
            if case in known:
                row, verdicts = {column: known[case][column] for column in COLUMNS}, before[case]
            else:
                row, verdicts = _measured(name, width, episodes)
            report.facts[case] = verdicts
            report.add(case, **row)
            if name.startswith("resnet"):
                report.claim(f"{case}: feasible", row["feasible"], at_least=0.5)
    report.finish()


def _measured(name: str, width: float, episodes: int) -> tuple[dict[str, Any], dict[str, int]]:
    """A network's row, and how often each verdict came of any actions with an effect."""
    teacher = network(name, width=width)
    stage = RemovalStage(Student(teacher))
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    obeying = [stage.random_actions(rng) for _ in range(episodes)]
    seconds = time.perf_counter() - start
    free = [[int(rng.choice(stage.effective(p))) for p in range(stage.decisions)] for _ in range(episodes)]
    verdicts = Counter(str(stage.student(each).architecture.verdict(teacher)) for each in free)
    shares = (float(np.mean([stage.feasible(each) for each in obeying])), verdicts["feasible"] / episodes)
    return dict(zip(COLUMNS, (*shares, 1000 * seconds / episodes, stage.decisions, episodes), strict=True)), dict(verdicts)


if __name__ == "__main__":
    tyro.cli(main)
