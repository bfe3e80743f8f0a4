"""Whole searches in spaces too large for a table, each of their students trained: do models of accuracy stand for trainings?

    python benchmarks/large_trajectories.py [--tasks NAME] [--agents NAME ...] [--budget 100] [--trainings 2] [--out FILE]

Of one run of each algorithm that the leaderboard has on track `large`, every student is trained that it paid for, with seeds
that neither the sample nor any search has seen. Asked is, as where surrogates of benchmarks are validated (Zela et al., 2022):

- how well students are predicted that an algorithm looked at, by the model that the package ships, and by one that has learned
  from all other algorithms' students, too, but from none of its own (leave one algorithm out);
- whether a search's course, what its choice is worth after each student, looks alike by model and by trainings.

A program that was stopped goes on.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import tyro
from fresh import Fresh
from report import RESULTS, Report

from agents.benchmark.account import chosen
from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.large import LargeTask
from agents.benchmark.results import Results
from agents.benchmark.runs import Run
from agents.pictures import legend_beside, new_figure, open_frame, save_figure
from n2n_gym.tables.sample import SampledStudent
from n2n_gym.tables.surrogate import Agreement, Surrogate

Plan = tuple[int, ...]

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
    report = Report("large_trajectories", ("r2", "tau", "top_tau", "left_out_r2", "left_out_tau", "left_out_top_tau"), out)
    runs.mkdir(parents=True, exist_ok=True)
    courses: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for task in tasks_by_name(tasks, ("large",)):
        assert isinstance(task, LargeTask)
        found = {agent: Results.load(results / f"{agent}.large.json").of_task(task.name) for agent in agents}
        first = {agent: min(own, key=lambda run: run.seed) for agent, own in found.items() if own}
        plans = {agent: [tuple(task.decode(code)) for code in run.students[:budget]] for agent, run in first.items()}
        fresh = Fresh(task.sample, task.path, trainings, runs / "fresh.sqlite", workers)
        fresh.train(plan for own in plans.values() for plan in own)
        for agent, own in plans.items():
            shipped = _agreement(Surrogate(task.sample, truth=True), own, fresh)
            others = [plan for other, theirs in plans.items() if other != agent for plan in theirs]
            left_out = _agreement(_taught(task, others, own, fresh), own, fresh)
            named = {f"left_out_{name}": value for name, value in asdict(left_out).items()}
            rated = {name: value for name, value in {**asdict(shipped), **named}.items() if value is not None}
            report.add(f"{task.space}, {agent}", students=len(own), **rated)
            by_model, by_trainings = courses.setdefault(task.space, {})[agent] = _course(task, first[agent], budget, fresh)
            report.rows[-1] |= {"course by the model": by_model, "course by trainings": by_trainings}
        both = np.array([*courses[task.space].values()])  # shape (agents, 2, students)
        apart = both[:, 0] - both[:, 1]
        report.facts[f"{task.space}: the model's course above the trainings', mean"] = float(apart.mean())
        report.facts[f"{task.space}: the same, root of the mean square"] = float(np.sqrt(np.square(apart).mean()))
        for after in (10, 25, 50, 100):
            if after <= both.shape[2]:
                correlation = np.corrcoef(both[:, 0, after - 1], both[:, 1, after - 1])[0, 1]
                report.facts[f"{task.space}: correlation over algorithms after {after}"] = float(correlation)
    report.finish()
    _draw(report.out.with_suffix(".png"), courses)


def _agreement(model: Surrogate, plans: list[Plan], fresh: Fresh) -> Agreement:
    """How well a model predicts what fresh trainings of some students have on test images."""
    stage = model.sample.decisions
    return Agreement.of(model.accuracies([stage.student(plan) for plan in plans]), np.array([*map(fresh.accuracy, plans)]))


def _taught(task: LargeTask, others: list[Plan], own: list[Plan], fresh: Fresh) -> Surrogate:
    """A model that learned from the sample and from some searches' students, but for those of one's own."""
    number = {plan: task.students([task.encode([plan])[0]])[0] for plan in (*others, *own)}
    new = {number[plan]: plan for plan in others if number[plan] not in {number[each] for each in own}}
    seen = [
        SampledStudent(
            actions="".join(map(str, plan)), accuracy=(fresh.accuracy(plan),) * 2, test_accuracy=(fresh.accuracy(plan),) * 2
        )
        for plan in new.values()
    ]
    return Surrogate(replace(task.sample, students=(*task.sample.students, *seen)), truth=True)


def _course(task: LargeTask, run: Run, budget: int, fresh: Fresh) -> tuple[list[float], list[float]]:
    """What a search's choice is worth after each student, by the model of the truth and by fresh trainings."""
    paid = run.students[:budget]
    codes = [chosen(task, run.seed, paid, run.reports, after) for after in range(1, len(paid) + 1)]
    known = [code for code in codes if code is not None]
    by_model = dict(zip(known, task.worths(known).tolist(), strict=True))
    return [by_model[code] for code in known], [fresh.worth([tuple(task.decode(code))]) for code in known]


def _draw(path: Path, courses: dict[str, dict[str, tuple[list[float], list[float]]]]) -> None:
    """A panel for each space: lines by trainings, dashed ones by the model."""
    figure = new_figure(5 * len(courses) + 1.5, 4)
    for axes, (space, own) in zip(figure.subplots(1, len(courses), squeeze=False)[0], courses.items(), strict=True):
        for agent, (by_model, by_trainings) in own.items():
            [line] = axes.plot(range(1, len(by_trainings) + 1), by_trainings, lw=1.4, label=agent)
            axes.plot(range(1, len(by_model) + 1), by_model, "--", lw=1, color=line.get_color())
        axes.set_title(space, fontsize=9)
        axes.set_xlabel("students trained")
        axes.set_ylim(bottom=max(axes.get_ylim()[0], float(np.median([pair[1][0] for pair in own.values()]))))
        open_frame(axes)
    figure.axes[0].set_ylabel("what the choice is worth (dashed: by the model)")
    legend_beside(figure.axes[-1])
    save_figure(figure, path)


if __name__ == "__main__":
    tyro.cli(main)
