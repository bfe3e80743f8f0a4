"""The benchmark's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.benchmark.metrics import Numbers, probability_of_improvement, profile
from agents.benchmark.runs import Run, worth
from agents.benchmark.tasks import Task
from agents.pictures import new_figure, open_frame, save_figure

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#222222", "#ee8866", "#44bb99", "#999933")

LINES = ("-", "--", "-.")

POINTS = 24
"""At so many numbers of students, at most, curves are drawn."""


def looks(agents: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """A colour for each algorithm; more than there are colours get dashes."""
    return [
        (agent, {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i // len(COLOURS) % len(LINES)], "label": agent})
        for i, agent in enumerate(agents)
    ]


def draw_curves(tasks: Sequence[Task], runs: Mapping[str, Sequence[Sequence[Run]]], agents: Sequence[str], path: Path) -> None:
    """What choices are worth against distinct students, on each task: means over runs, random search's exact expectation."""
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(3.3 * columns + 2.2, 2.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    most = max(1, *(len(run.students) for by_task in runs.values() for own in by_task for run in own))
    budgets = np.unique(np.geomspace(1, most, POINTS).round().astype(int)).tolist()
    for index, (task, axes) in enumerate(zip(tasks, panels, strict=False)):
        for agent, look in looks(agents):
            worths = [worth(task, run.seed, run.students, run.reports, budgets) for run in runs[agent][index]]
            axes.plot(budgets, np.mean(worths, axis=0), linewidth=1.3, **look)
        axes.plot(budgets, task.random_search(0, most)[np.array(budgets) - 1], "k:", linewidth=1.3, label="random, expected")
        axes.axhline(task.optimum, color="black", linewidth=0.8, label="the best known")
        low = task.random_search(0, most)[min(4, most - 1)]
        axes.set_ylim(low - 0.3 * (task.optimum - low), task.optimum + 0.05 * (task.optimum - low))
        axes.set(xscale="log", xlabel="distinct students", ylabel="worth of the choice")
        axes.set_title(task.space, fontsize=8)
        open_frame(axes)
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=7, loc="outside right upper", frameon=False)
    save_figure(figure, path)


def draw_profiles(gaps: Mapping[str, Sequence[Numbers]], agents: Sequence[str], path: Path) -> None:
    """The share of runs that close so much of the gap, over all budgets."""
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    shares = np.linspace(-1.0, 1.0, 201)
    for agent, look in looks(agents):
        axes.step(shares, profile([by_run.ravel() for by_run in gaps[agent]], shares), where="post", linewidth=1.3, **look)
    axes.set(xlabel="share of the gap to random search closed", ylabel="share of runs that reach it", ylim=(0, 1.02))
    open_frame(axes)
    figure.legend(fontsize=7, loc="outside right upper", frameon=False)
    save_figure(figure, path)


def draw_improvement(gaps: Mapping[str, Sequence[Numbers]], agents: Sequence[str], path: Path) -> None:
    """How probable it is that a run of the row's algorithm, the mean over its budgets, is better than one of the column's."""
    shares = np.full((len(agents), len(agents)), np.nan)
    for row, agent in enumerate(agents):
        for column, other in enumerate(agents):
            if row != column:
                shares[row, column] = probability_of_improvement(gaps[agent], gaps[other])
    size = 2.6 + 0.36 * len(agents)
    figure = new_figure(size + 0.8, size)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="RdBu", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            axes.text(column, row, f"{share:.2f}"[1 if share < 1 else 0 :], ha="center", va="center", fontsize=6)
    axes.set_xticks(range(len(agents)), agents, rotation=90, fontsize=7)
    axes.set_yticks(range(len(agents)), agents, fontsize=7)
    axes.set_title("P(row is better than column)", fontsize=8)
    figure.colorbar(image, shrink=0.7)
    save_figure(figure, path)
