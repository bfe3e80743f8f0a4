"""Whole searches in spaces too large for a table, each of their students trained: do models of accuracy stand for trainings?

    python benchmarks/large_trajectories.py [--tasks NAME] [--agents NAME ...] [--budget 100] [--trainings 2] [--out FILE]

Of one run of each algorithm that `n2n benchmark` made on track `large`, every student is trained that it paid for, with seeds
that neither the sample nor any search has seen. Asked is, as where surrogates of benchmarks are validated (Zela et al., 2022):

- how well students are predicted that an algorithm looked at and that are not in the sample, by the model that the package
  ships, and by one that has learned from all other algorithms' students, too, but from none of its own (leave one algorithm
  out); beside it, how the number of parameters alone ranks them, and another training of the same students;
- whether a search's course, what its choice is worth after each student, looks alike by model and by trainings; beside it,
  the course by size alone, as if all were equally accurate, and how far the courses by two trainings are apart.

A program that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro
from fresh import Fresh
from report import RESULTS, Report
from scipy.stats import kendalltau

from agents.benchmark.account import chosen
from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.large import LargeTask
from agents.benchmark.results import Results
from agents.benchmark.runs import Run
from agents.pictures import legend_beside, new_figure, open_frame, save_figure
from n2n_gym.tables.sample import SampledStudent
from n2n_gym.tables.surrogate import Agreement, Surrogate

Plan = tuple[int, ...]
Course = dict[str, npt.NDArray[np.float64]]
"""What a choice is worth after each student, as different judges say."""

AGENTS = ("random", "evolution", "cross-entropy", "reinforce", "gaussian-process", "dyna", "dyna-pretrained")


def main(
    results: Path = RESULTS / "agents",
    tasks: tuple[str, ...] = ("large",),
    agents: tuple[str, ...] = AGENTS,
    budget: int = 100,
    trainings: int = 2,
    workers: int = 0,
    runs: Path = Path("runs/large-trajectories"),
    out: Path | None = None,
) -> None:
    """Train and compare.

    Args:
        results: Folder of the files that `n2n benchmark` wrote on track `large`, NAME.large.json.
        tasks: Samples, as of `n2n benchmark`.
        agents: Algorithms.
        budget: Students of each search, from the first on.
        trainings: Of each student.
        workers: Processes that train; 0 trains here.
        runs: What is trained is kept here.
        out: The JSON file; the picture of courses is written beside it.
    """
    report = Report(
        "large_trajectories", ("students", "r2", "tau", "left_out_r2", "left_out_tau", "size_tau", "again_tau"), out
    )
    runs.mkdir(parents=True, exist_ok=True)
    courses: dict[str, dict[str, Course]] = {}
    for task in tasks_by_name(tasks, ("large",)):
        assert isinstance(task, LargeTask)
        found = {agent: Results.load(results / f"{agent}.large.json").of_task(task.name) for agent in agents}
        first = {agent: min(own, key=lambda run: run.seed) for agent, own in found.items() if own}
        plans = {agent: [tuple(task.decode(code)) for code in run.students[:budget]] for agent, run in first.items()}
        fresh = Fresh(task.sample, task.path, trainings, runs / "fresh.sqlite", workers)
        fresh.train(plan for own in plans.values() for plan in own)
        for agent, run in first.items():
            others = [plan for other, theirs in plans.items() if other != agent for plan in theirs]
            report.add(f"{task.space}, {agent}", **_predicted(task, plans[agent], others, fresh))
            course = courses.setdefault(task.space, {})[agent] = _course(task, run, budget, fresh)
            report.rows[-1]["course"] = {name: values.tolist() for name, values in course.items()}
        _compare(report, task.space, [*courses[task.space].values()])
    report.finish()
    _draw(report.out.with_suffix(".png"), courses)


def _predicted(task: LargeTask, own: list[Plan], others: list[Plan], fresh: Fresh) -> dict[str, float]:
    """How well a search's students are predicted, those that no model here has learned from and whose trainings went well."""
    stage = task.sample.decisions
    sampled = {_number(task, student.episode): student for student in task.sample.students}
    mine = {_number(task, plan): plan for plan in own}
    new = [plan for number, plan in mine.items() if number not in sampled and fresh.accuracies(plan)]
    theirs = {_number(task, plan): plan for plan in others if fresh.accuracies(plan)}
    taught = [student for number, student in sampled.items() if number not in mine]
    taught += [_sampled(plan, fresh) for number, plan in theirs.items() if number not in mine and number not in sampled]
    models = {"": task.sample, "left_out_": replace(task.sample, students=tuple(taught))}
    students = [stage.student(plan) for plan in new]
    seen = np.array([fresh.accuracies(plan) for plan in new])
    facts: dict[str, float] = {"students": len(new), "in_sample": len(mine.keys() & sampled.keys())}
    facts["failed"] = sum(not fresh.accuracies(plan) for plan in mine.values())
    for name, sample in models.items():
        agreed = asdict(Agreement.of(Surrogate(sample, truth=True).accuracies(students), seen.mean(1)))
        facts |= {f"{name}{what}": value for what, value in agreed.items() if value is not None}
    facts["size_tau"] = _tau([student.architecture.parameters for student in students], seen.mean(1))
    if seen.shape[1] > 1:
        facts["again_tau"] = _tau(seen[:, 0], seen[:, 1])
    return facts


def _number(task: LargeTask, plan: Plan) -> int:
    """What tells an episode's student from others."""
    return task.students([task.encode([plan])[0]])[0]


def _sampled(plan: Plan, fresh: Fresh) -> SampledStudent:
    accuracy = float(np.mean(fresh.accuracies(plan)))
    return SampledStudent(actions="".join(map(str, plan)), accuracy=(accuracy,) * 2, test_accuracy=(accuracy,) * 2)


def _tau(one: Any, other: Any) -> float:
    return float(kendalltau(one, other).statistic)


def _course(task: LargeTask, run: Run, budget: int, fresh: Fresh) -> Course:
    """What a search's choice is worth after each student; one that has found fewer keeps its last choice."""
    paid = run.students[:budget]
    codes = [chosen(task, run.seed, paid, run.reports, min(after, len(paid))) for after in range(1, budget + 1)]
    known = [code for code in codes if code is not None]
    plans = [tuple(task.decode(code)) for code in known]
    typical = np.mean([student.test_accuracy[-1] for student in task.sample.students]) / task.sample.test_accuracy
    by_size = {plan: fresh.by_size(plan) for plan in set(plans)}
    each = np.array([fresh.worths(plan) for plan in plans])
    return {
        "by the model": task.worths(known),
        "by trainings": each.mean(1),
        "by size": np.array([by_size[plan] * typical for plan in plans]),
        "by one training": each[:, 0],
        "by another": each[:, -1],
    }


def _compare(report: Report, space: str, courses: Sequence[Course]) -> None:
    """How far courses are apart, and whether they put algorithms in the same order."""
    pairs = (("by the model", "by trainings"), ("by size", "by trainings"), ("by one training", "by another"))
    for one, other in pairs:
        apart = np.array([course[one] - course[other] for course in courses])
        report.facts[f"{space}: {one} less {other}"] = {
            "mean": float(apart.mean()),
            "root mean square": float(np.sqrt(np.square(apart).mean())),
            **{
                f"tau of algorithms after {after}": _tau(
                    *([course[how][after - 1] for course in courses] for how in (one, other))
                )
                for after in (10, 25, 50, 100)
                if after <= apart.shape[1] and len(courses) > 1
            },
        }


def _draw(path: Path, courses: dict[str, dict[str, Course]]) -> None:
    """A panel for each space: lines by trainings, dashed ones by the model."""
    figure = new_figure(5 * len(courses) + 1.5, 4)
    for axes, (space, own) in zip(figure.subplots(1, len(courses), squeeze=False)[0], courses.items(), strict=True):
        for agent, course in own.items():
            students = range(1, len(course["by trainings"]) + 1)
            [line] = axes.plot(students, course["by trainings"], lw=1.4, label=agent)
            axes.plot(students, course["by the model"], "--", lw=1, color=line.get_color())
        axes.set_title(space, fontsize=9)
        axes.set_xlabel("students trained")
        axes.set_ylim(bottom=float(np.median([course["by trainings"][0] for course in own.values()])))
        open_frame(axes)
    figure.axes[0].set_ylabel("what the choice is worth (dashed: by the model)")
    legend_beside(figure.axes[-1])
    save_figure(figure, path)


if __name__ == "__main__":
    tyro.cli(main)
