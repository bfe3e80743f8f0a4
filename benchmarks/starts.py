"""From how many of stage 1's students should stage 2 start? Whole runs with equal numbers of trained students.

    python benchmarks/starts.py [--teacher conv4 --dataset digits] [--starts 1 3] [--students 40] [--seeds 5] [--out FILE]

A run's student is its most rewarded one, trained to convergence three times with fresh seeds; its worth is its reward by
the mean accuracy on test images. Runs with the same seed share stage 1. Each is kept in its folder: a program that was stopped
goes on.
"""

from __future__ import annotations

from pathlib import Path

import tyro
from report import Report

from agents import compress
from agents.interval import Interval
from n2n_gym.evaluation import Evaluation
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.student import Student


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    starts: tuple[int, ...] = (1, 3),
    agent: str = "informed-evolution",
    students: int = 40,
    seeds: int = 5,
    runs: Path = Path("runs/starts"),
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        starts: Numbers to compare; the first is what others are compared with.
        agent: Who searches.
        students: That each stage trains.
        seeds: Runs of each.
        runs: Where they are kept.
        out: The JSON file.
    """
    report = Report(f"starts-{problem.name}", ("worth", "search_reward", "trained", "above_first", "low", "high"), out)
    worth: dict[int, list[float]] = {}
    for count in starts:
        found = [
            _run(problem, agent, students, count, seed, runs / f"{agent}-{count}-s{seed}", runs / f"s{seed}.sqlite")
            for seed in range(seeds)
        ]
        worth[count] = [each[0] for each in found]
        above = Interval.of([a - b for a, b in zip(worth[count], worth[starts[0]], strict=True)])
        report.add(
            f"{problem.name}, {agent}, {count} start{'s' * (count > 1)}",
            worth=worth[count],
            search_reward=[each[1] for each in found],
            trained=[each[2] for each in found],
            above_first=above.mean,
            low=above.low,
            high=above.high,
        )
    report.finish()


def _run(
    problem: Problem, agent: str, students: int, starts: int, seed: int, out: Path, store: Path
) -> tuple[float, float, float]:
    """What a run's student is worth, what its search thought, and how many students were trained or looked up."""
    store.parent.mkdir(parents=True, exist_ok=True)
    result = compress(
        teacher=problem.teacher,
        dataset=problem.dataset,
        width=problem.width,
        train_size=problem.train_size,
        agent=agent,
        students=students,
        iterations=4 * students,
        rollouts=4,
        starts=starts,
        finalists=1,
        final_trainings=3,
        beside=(),
        speed=False,
        seed=seed,
        device="cpu",
        workers=0,
        store=str(store),
        out=str(out),
    )
    student = Student.load(out / "student.json", problem.architecture)
    accuracy = result["student"]["test_accuracies"]["mean"]
    tested = Evaluation.of(
        student.architecture, problem.architecture, accuracy=accuracy, teacher_accuracy=result["teacher"]["test_accuracy"]
    )
    return paper_reward(tested), result["student"]["search_reward"], float(result["search"]["evaluations"])


if __name__ == "__main__":
    tyro.cli(main)
