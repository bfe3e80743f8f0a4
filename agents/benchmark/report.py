"""The leaderboard, made from result files alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.benchmark.exhaustive import TableTask
from agents.benchmark.figures import draw_curves, draw_improvement, draw_profiles
from agents.benchmark.fronts import Fronts
from agents.benchmark.metrics import (
    Numbers,
    difference,
    fronts_closed,
    gaps_closed,
    improvement,
    interquartile,
    mean_of_tasks,
    mean_ranks,
    optimality_gap,
)
from agents.benchmark.results import EDITION, Results
from agents.benchmark.runs import Run
from agents.benchmark.tasks import TRACKS, Task
from agents.interval import ALIKE, Interval, has_width
from n2n_gym.errors import InputError, unknown
from n2n_gym.system.files import write_json, write_text

RANDOM = "random"
MAIN = "reward"
"""The track whose runs are also asked for the front of size and accuracy that they found."""

ENOUGH = 10
"""With so many runs on each task, or as many as any other has, an algorithm has a rank: luck picks no few of them."""


class Standing:
    """Algorithms side by side on the tasks of one track.

    Args:
        results: One for each algorithm.
        tasks: Of one track.
        against: Which algorithm the others are told to be behind of; the first by default, and where it did not run.

    Attributes:
        track: Its name.
        gaps: By algorithm and task, the share of the gap closed by each run at each budget, shape (runs, budgets).
        closed: By algorithm, the mean over tasks and budgets.
        counts: By algorithm, its runs on the task that it has fewest on.
        agents: From the best mean on; last those with too few runs for a rank.
        ranks: The mean over tasks of the others'.
    """

    def __init__(self, results: Sequence[Results], tasks: Sequence[Task], against: str | None = None) -> None:
        self.track = tasks[0].track
        self.tasks = list(tasks)
        self.budgets = results[0].budgets
        self.runs = {each.agent: [each.of_task(task.name) for task in tasks] for each in results}
        self.gaps: dict[str, list[Numbers]] = {
            agent: [gaps_closed(own, task, self.budgets) for own, task in zip(by_task, tasks, strict=True)]
            for agent, by_task in self.runs.items()
        }
        self.closed = {agent: mean_of_tasks(by_task) for agent, by_task in self.gaps.items()}
        self.counts = {agent: min(map(len, by_task)) for agent, by_task in self.gaps.items()}
        enough = min(ENOUGH, max(2, *self.counts.values()))
        ranked = {agent: by_task for agent, by_task in self.gaps.items() if self.counts[agent] >= enough}
        self.ranks = dict(zip(ranked, mean_ranks(list(ranked.values())), strict=True)) if ranked else {}
        self.agents = sorted(self.gaps, key=lambda agent: (agent not in ranked, -self.closed[agent].mean, agent))
        self.against = against if against in self.gaps else None
        self.fronts = self._fronts() if self.track == MAIN else {}
        self.ceiling = [
            self._ceiling(task, max(len(own) for own in of_task))
            for task, of_task in zip(tasks, zip(*self.runs.values(), strict=True), strict=True)
        ]

    def _fronts(self) -> dict[str, Interval]:
        fronts = [Fronts(task) for task in self.tasks if isinstance(task, TableTask)]
        return {
            agent: mean_of_tasks([fronts_closed(own, front, self.budgets) for own, front in zip(by_task, fronts, strict=True)])
            for agent, by_task in self.runs.items()
        }

    def _ceiling(self, task: Task, seeds: int) -> Numbers | None:
        """What would close how much of the gap: the choice of a search that has seen every student, shape (runs, budgets).

        None where nobody can have seen them.
        """
        best = [task.ceiling(seed) for seed in range(seeds)]
        runs = [
            Run("", task.name, seed, (), (), 0, 0.0, (each,) * len(self.budgets))
            for seed, each in enumerate(best)
            if each is not None
        ]
        return gaps_closed(runs, task, self.budgets) if runs else None

    def at(self, agent: str, budget: int) -> Interval:
        """The share of the gap closed at one budget, mean over tasks."""
        place = self.budgets.index(budget)
        return mean_of_tasks([by_run[:, [place]] for by_run in self.gaps[agent]])

    def to_json(self) -> dict[str, Any]:
        """Everything that the leaderboard says, as JSON data."""
        return {
            agent: {
                "gap_closed": as_json(self.closed[agent]),
                **{f"gap_closed_at_{budget}": as_json(self.at(agent, budget)) for budget in self.budgets},
                "interquartile_mean": as_json(interquartile(self.gaps[agent])),
                "optimality_gap": as_json(optimality_gap(self.gaps[agent])),
                "rank": as_json(self.ranks.get(agent)),
                "runs": self.counts[agent],
                "front_gap_closed": as_json(self.fronts[agent]) if self.fronts else None,
                "improvement_over_random": as_json(self._over_random(agent)),
                f"behind_{self.against or 'the_first'}": as_json(self._behind(agent)),
                "tasks": {
                    task.space: {
                        "gap_closed": by_run.round(6).tolist(),
                        "students": [len(run.students) for run in own],
                        "looks": [run.looks for run in own],
                        "seconds": [run.seconds for run in own],
                    }
                    for task, by_run, own in zip(self.tasks, self.gaps[agent], self.runs[agent], strict=True)
                },
            }
            for agent in self.agents
        }

    def _over_random(self, agent: str) -> Interval | None:
        return improvement(self.gaps[agent], self.gaps[RANDOM]) if RANDOM in self.gaps and agent != RANDOM else None

    def _behind(self, agent: str) -> Interval | None:
        """By how much of the gap an algorithm is behind the one that it is compared with, task by task; None of that one."""
        first = self.against or self.agents[0]
        return None if agent == first else difference(self.gaps[first], self.gaps[agent])

    def ranking(self) -> Iterator[str]:
        """The track's first table: what separates."""
        budgets = " | ".join(f"at {budget}" for budget in self.budgets)
        yield f"| algorithm | gap closed | {budgets} | rank | behind {self.against or 'the first'} | runs | students |"
        yield f"|---|---|{'---|' * len(self.budgets)}---|---|---|---|"
        for agent in self.agents:
            cells = (self.closed[agent], *(self.at(agent, budget) for budget in self.budgets))
            columns = " | ".join(shown(cell) for cell in cells)
            found = f"{np.mean([len(run.students) for own in self.runs[agent] for run in own]):.0f}"
            rank = shown(self.ranks.get(agent), ".1f")
            yield f"| {agent} | {columns} | {rank} | {shown(self._behind(agent))} | {self.counts[agent]} | {found} |"
        if known := [by_run for by_run in self.ceiling if by_run is not None]:
            means = np.mean([by_run.mean(0) for by_run in known], axis=0)
            columns = " | ".join(f"{mean:.2f}" for mean in (means.mean(), *means))
            yield f"| *every student seen* | {columns} | - | - | - | - |"
        if few := [agent for agent in self.agents if agent not in self.ranks]:
            yield ""
            yield f"**Too few runs for a rank**, and so not above others: {', '.join(few)}."
        for task, by_run in zip(self.tasks, self.ceiling, strict=True):
            if by_run is None:
                continue
            if blind := [budget for budget, mean in zip(self.budgets, by_run.mean(0), strict=True) if mean <= 0]:
                yield ""
                after = ", ".join(map(str, blind))
                yield (
                    f"**{task.space} cannot tell algorithms apart after {after} students**: the student that is best by all "
                    "trainings which a search may see is worth no more there than random search's choice. Either random "
                    "search finds the best, or what differs is less than the noise of the trainings."
                )

    def further(self) -> Iterator[str]:
        """Measures beside it."""
        front = " front |" if self.fronts else ""
        yield f"| algorithm | interquartile mean | optimality gap | better than random |{front} seconds a run |"
        yield f"|---|---|---|---|{'---|' if front else ''}---|"
        for agent in self.agents:
            gaps, runs = self.gaps[agent], [run for own in self.runs[agent] for run in own]
            cells = [interquartile(gaps), optimality_gap(gaps), self._over_random(agent)]
            cells += [self.fronts[agent]] if self.fronts else []
            columns = " | ".join(shown(cell) for cell in cells)
            yield f"| {agent} | {columns} | {np.median([run.seconds for run in runs]):.1f} |"

    def by_task(self) -> Iterator[str]:
        """The gap closed on each table, over all budgets."""
        yield f"| algorithm | {' | '.join(task.space for task in self.tasks)} |"
        yield f"|---|{'---|' * len(self.tasks)}"
        for agent in self.agents:
            yield f"| {agent} | {' | '.join(shown(mean_of_tasks([by_run])) for by_run in self.gaps[agent])} |"
        if known := [by_run for by_run in self.ceiling if by_run is not None]:
            yield f"| *every student seen* | {' | '.join(f'{by_run.mean():.2f}' for by_run in known)} |"

    def random_search_checked(self) -> Iterator[str]:
        """Random search's runs against its exact expectation, task by task: a check of the whole accounting.

        Of each task, the gap closed at the budget where it is farthest from 0, with an interval that holds for all tasks and
        budgets at once. A few runs tell little, and have wide ones.
        """
        comparisons = len(self.tasks) * len(self.budgets)
        for task, gaps in zip(self.tasks, self.gaps.get(RANDOM, []), strict=False):
            if len(gaps) > 1:
                found = [Interval.of(runs.tolist(), together=comparisons) for runs in gaps.T]
                farthest = max(range(len(found)), key=lambda place: _off(found[place]))
                yield f"{task.space} {found[farthest]:.2f} at {self.budgets[farthest]}"


class Comparison:
    """Algorithms side by side, on every track that they ran on.

    Args:
        results: One for each algorithm; all with the same budgets. On a track, each ran on all tasks or on none.
        tasks: What they ran on.
        against: Which of them the others' differences are taken to, task by task; the first of each track by default.

    Raises:
        InputError: If they cannot be compared.
    """

    def __init__(self, results: Sequence[Results], tasks: Sequence[Task], against: str | None = None) -> None:
        if not results or not tasks:
            raise InputError("there are no runs to compare")
        if len({each.agent for each in results}) != len(results):
            raise InputError(f"algorithms must have different names: {', '.join(each.agent for each in results)}")
        if against is not None and against not in (names := [each.agent for each in results]):
            raise unknown("algorithm", against, names)
        if len({each.budgets for each in results}) != 1:
            shown_budgets = "; ".join(sorted({", ".join(map(str, each.budgets)) for each in results}))
            raise InputError(f"only runs that are judged after as many students can be compared, not {shown_budgets}")
        self.tasks = list(tasks)
        self.results = list(results)
        self.budgets = results[0].budgets
        by_track = {track: [task for task in tasks if task.track == track] for track in TRACKS}
        for each in results:
            if missing := [
                task.name for own in by_track.values() if (ran := each.ran(own)) for task in own if task not in ran
            ]:
                raise InputError(f"{each.agent} has no runs on {', '.join(missing)}")
        if nobodys := [task.name for task in tasks if not any(each.of_task(task.name) for each in results)]:
            raise InputError(f"no algorithm has runs on {', '.join(nobodys)}")
        self.standings = [
            Standing([each for each in results if each.ran(own)], own, against) for own in by_track.values() if own
        ]

    def write(self, folder: Path, command: str) -> None:
        """Write `LEADERBOARD.md`, `comparison.json` and the figures."""
        write_text(folder / "LEADERBOARD.md", self.leaderboard(command))
        write_json(folder / "comparison.json", self.to_json())
        first = self.standings[0]
        draw_curves(first.tasks, first.runs, first.agents, folder / "curves.png")
        draw_profiles(first.gaps, first.agents, folder / "profiles.png")
        draw_improvement(first.gaps, first.agents, folder / "improvement.png")

    def to_json(self) -> dict[str, Any]:
        """Everything that the leaderboard says, as JSON data."""
        tracks = {standing.track: standing.to_json() for standing in self.standings}
        return {"edition": EDITION, "budgets": self.budgets, "tracks": tracks}

    def _spaces(self) -> str:
        """How many there are of which kind, and their names."""
        kinds = []
        for large, one, several in (
            (False, "table", "tables"),
            (True, "sample of a larger space", "samples of larger spaces"),
        ):
            if names := dict.fromkeys(task.space for task in self.tasks if task.question.large == large):
                kinds.append(f"{len(names)} {several if len(names) > 1 else one} ({', '.join(names)})")
        return " and ".join(kinds)

    def leaderboard(self, command: str) -> str:
        """The leaderboard as Markdown."""
        counts = sorted({len(each.of_task(task.name)) for each in self.results for task in each.ran(self.tasks)})
        few, many = counts[0], counts[-1]
        seeds = f"{few} to {many} runs" if few < many else f"{few} run{'s' * (few > 1)}"
        lines = [
            f"# Leaderboard, edition {EDITION}",
            "",
            f"{self._spaces()}; {seeds} of each algorithm on each task. "
            "*Gap closed*: what the chosen student is worth, by trainings and test images that no search sees, between "
            "random search's exact expectation at as many distinct feasible students (0) and the best student that there is "
            "(1); what is farther below random search than the best is above counts as -1; mean over "
            f"{', '.join(map(str, self.budgets))} students, then over tables. In parentheses 95% intervals (bootstrap, runs "
            "resampled within each task). *Rank* is the mean over tables, among algorithms with "
            f"{ENOUGH} *runs* on each task, or as many as any other, but no single one; who has fewer stands below. "
            "*Students* is how many a run paid for, on average. *Every student seen* is what a search would choose that has "
            "seen all. The best is so by the trainings that judge, and was lucky in them: nobody can expect to get "
            "there. [How it is measured](../docs/benchmark.md)."
            + (f" With fewer than {ENOUGH} runs the intervals are too narrow." if few < ENOUGH else ""),
        ]
        for standing in self.standings:
            lines += ["", f"## {standing.track.capitalize()}: {TRACKS[standing.track].about}", "", *standing.ranking()]
            if absent := [each.agent for each in self.results if each.agent not in standing.agents]:
                lines += ["", f"Not run here: {', '.join(absent)}."]
            if standing is self.standings[0]:
                lines += ["", *standing.further()]
                if len(standing.tasks) > 1:
                    lines += ["", "Gap closed by table:", "", *standing.by_task()]
                pictures = {"curves": "Gap closed", "profiles": "Profiles", "improvement": "Probability of improvement"}
                for picture, title in pictures.items():
                    lines += ["", f"![{title}]({picture}.png)"]
            if checked := list(standing.random_search_checked()):
                said = (
                    "Random search's runs, which should close a gap of 0, are farthest from it here (Student's t, intervals "
                    f"that hold for all tables and budgets at once): {', '.join(checked)}."
                )
                lines += ["", said]
        return "\n".join([*lines, "", f"Made by `{command}`.", ""])


def _off(interval: Interval) -> tuple[float, float]:
    """How far from 0 an interval lies: in widths, and in itself; one without any width does not hold 0 at all."""
    far = abs(interval.mean)
    if has_width(interval.to_json()):
        return far / (interval.high - interval.low), far
    return (math.inf, far) if far > ALIKE else (0.0, far)


def as_json(interval: Interval | None) -> dict[str, Any] | None:
    """An interval without the values that it sums up."""
    return None if interval is None else {key: value for key, value in interval.to_json().items() if key != "values"}


def shown(interval: Interval | None, numbers: str = ".2f") -> str:
    """An interval in a table's cell."""
    return "-" if interval is None else f"{interval:{numbers}}"
