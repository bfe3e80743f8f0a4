"""What algorithms chose in spaces too large for a table, trained again: whether models of accuracy judge as trainings do.

    python benchmarks/large_choices.py [--budget 100] [--trainings 2] [--workers 2] [--out FILE]

Of each run that the leaderboard has on track `large`, the student is trained that it chose after so many students, with seeds
that neither the sample nor any search has seen; and those whom the model of the truth climbs to, among whom the best known is.
A program that was stopped goes on.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from statistics import fmean

import tyro
from fresh import Fresh
from report import RESULTS, Report
from scipy.stats import kendalltau

from agents.benchmark.account import chosen
from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.large import LargeTask
from agents.benchmark.results import Results
from agents.interval import Interval

RANDOM = "random"

CLIMBED = "best known by the model"


def main(
    results: tuple[Path, ...] = tuple(sorted((RESULTS / "agents").glob("*.large.json"))),
    tasks: tuple[str, ...] = ("large",),
    climbed: bool = True,
    budget: int = 100,
    trainings: int = 2,
    workers: int = 0,
    runs: Path = Path("runs/large-choices"),
    out: Path | None = None,
) -> None:
    """Train and compare.

    Args:
        results: Files of `n2n benchmark` on track `large`.
        tasks: Samples, as of `n2n benchmark`.
        climbed: Whether those are trained, too, whom the best known ones are among.
        budget: Students after which a run chooses.
        trainings: Of each chosen student.
        workers: Processes that train; 0 trains here.
        runs: What is trained is kept here.
        out: The JSON file.
    """
    report = Report("large_choices", ("by_the_model", "by_trainings"), out)
    found = [Results.load(path) for path in results]
    runs.mkdir(parents=True, exist_ok=True)
    for task in tasks_by_name(tasks, ("large",)):
        assert isinstance(task, LargeTask)
        codes = {CLIMBED: task.climbed} if climbed else {}
        codes |= {each.agent: _choices(task, each, budget) for each in found if each.of_task(task.name)}
        fresh = Fresh(task.sample, task.path, trainings, runs / "fresh.sqlite", workers)
        fresh.train(tuple(task.decode(code)) for own in codes.values() for code in own)
        if climbed:
            own = codes.pop(CLIMBED)
            worth = [fresh.worth([tuple(task.decode(code))]) for code in own]
            report.add(f"{task.space}, {CLIMBED}", by_the_model=task.worths(own).tolist(), by_trainings=worth)
        by_model = {agent: task.worths(own).tolist() for agent, own in codes.items()}
        by_size = {agent: [fresh.by_size(tuple(task.decode(code))) for code in own] for agent, own in codes.items()}
        by_training = {agent: [fresh.worth([tuple(task.decode(code))]) for code in own] for agent, own in codes.items()}
        for agent in codes:
            report.add(f"{task.space}, {agent}", by_the_model=by_model[agent], by_trainings=by_training[agent])
            if RANDOM in codes and agent != RANDOM:
                ahead = [a - b for a, b in zip(by_training[agent], by_training[RANDOM], strict=False)]
                report.facts[f"{task.space}: {agent} above random search, by trainings"] = Interval.of(ahead).to_json()
        if len(codes) > 1:
            for judge, name in ((by_model, ""), (by_size, ", by size alone")):
                choices = [[*chain.from_iterable(each.values())] for each in (judge, by_training)]
                means = [[fmean(own) for own in each.values()] for each in (judge, by_training)]
                for what, both in (("choices", choices), ("algorithms", means)):
                    report.facts[f"{task.space}: Kendall's tau, {what}{name}"] = float(kendalltau(*both).statistic)
    report.finish()


def _choices(task: LargeTask, results: Results, budget: int) -> list[int]:
    """Whom each run chose."""
    found = (chosen(task, run.seed, run.students, run.reports, budget) for run in results.of_task(task.name))
    return [code for code in found if code is not None]


if __name__ == "__main__":
    tyro.cli(main)
