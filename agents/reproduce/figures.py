"""The paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.interval import Interval
from agents.pictures import legend_beside, new_figure, open_frame, save_figure
from agents.reproduce.document import Document
from agents.reproduce.lab import PAPER, Lab
from agents.reproduce.paper import FIGURES, REWARDS, TABLE_1, TABLE_5
from agents.reproduce.tables import (
    KINDS,
    ONE_RUN,
    compression_runs,
    jsonable,
    network_name,
    transfer,
    transfer_name,
    transfer_notes,
    width_name,
)
from agents.search.report import draw_curves
from n2n_gym.evaluation import Evaluation
from n2n_gym.rewards import naive_reward, paper_reward

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#4477aa", "#ee7733", "#228833", "#aa3377", "#66ccee")

Curves = Sequence[Sequence[float]]

ENDS = 10
"""Policy updates that first and last rewards are means over; half of a search's, where it has fewer than twice as many."""

ENDS_ARE = f"First and last updates are {ENDS} each, or the two halves of a shorter search."


def search_figure(number: int, networks: Sequence[tuple[str, str]]) -> Callable[[Lab], Document]:
    """A figure of reward, accuracy and compression during searches, like figures 3, 4, 5, 11 and 12.

    Args:
        number: The figure's.
        networks: Teachers and their data sets.
    """

    def draw(lab: Lab) -> Document:
        title = f"Figure {number}: student learning on {lab.data(networks[0][1])}"
        columns = ("network", "stage", "mean reward, first updates", "last updates", "best")
        document = Document(title, columns, notes=[_said(number), ONE_RUN, ENDS_ARE])
        for teacher, dataset in networks:
            name = network_name(lab, teacher, dataset)
            if not lab.available(dataset, name, document):
                continue
            row = next((row for row in TABLE_1 if (row.teacher, row.dataset) == (teacher, dataset)), None)
            run = compression_runs(lab, row)[PAPER] if row else lab.compress(f"{teacher}-{dataset}", teacher, dataset)
            draw_curves(lab.folder / f"figure{number}-{teacher}.png", run.history, name)
            document.data[name] = {}
            for stage in sorted({episode.stage for episode in run.history}):
                curve = run.curve("reward", stage)
                part = max(1, min(ENDS, len(curve) // 2))
                best = max(episode.reward for episode in run.history if episode.stage == stage)
                document.data[name][f"stage {stage}"] = {"reward": curve.tolist(), "best": best}
                ends = (f"{curve[:part].mean():.3f}", f"{curve[-part:].mean():.3f}")
                document.rows.append((name, str(stage), *ends, f"{best:.3f}"))
        return document

    return draw


def agents_figure(number: int, teacher: str, dataset: str, *others: str) -> Callable[[Lab], Document]:
    """REINFORCE beside its actor-critic form, like figures 6 and 7, random search and what the package recommends.

    Args:
        number: The figure's.
        teacher: The network.
        dataset: Its data set.
        *others: Further agents.
    """
    names = ("reinforce", "actor-critic", "random", "dyna", *others)
    kinds: dict[str, dict[str, Any]] = {name: {"agent": name} for name in names}
    if "architecture-compression" in kinds:  # it learns from what a store holds: with the others' students it had more to see
        kinds["architecture-compression"]["store"] = None
    return lambda lab: _compared(lab, number, "actor-critic and REINFORCE", teacher, dataset, kinds)


def settings_figure(number: int, about: str, kinds: Mapping[str, dict[str, Any]]) -> Callable[[Lab], Document]:
    """The same search under several settings on MNIST with VGG-13, like figures 8 and 9.

    Args:
        number: The figure's.
        about: What is varied.
        kinds: Arguments of `compress` for each line.
    """
    lines = {**kinds, "random": {"agent": "random"}}
    return lambda lab: _compared(lab, number, about, "vgg13", "mnist", lines)


def _compared(lab: Lab, number: int, about: str, teacher: str, dataset: str, kinds: Mapping[str, dict[str, Any]]) -> Document:
    columns = ("network", "line", "mean reward, first updates", "last updates", "best student", "students")
    title = f"Figure {number}: {about} on {lab.data(dataset)}"
    network = network_name(lab, teacher, dataset)
    document = Document(title, columns, notes=[_said(number)])
    if not lab.available(dataset, title, document):
        return document
    lines: dict[str, Curves] = {}
    for line, settings in kinds.items():
        slug = "".join(c if c.isalnum() else "-" for c in line.lower())
        common: dict[str, Any] = {"stages": "1", "finalists": 0}
        runs = [
            lab.compress(f"figure{number}-{slug}-s{seed}", teacher, dataset, **(common | {"seed": seed} | settings))
            for seed in range(lab.scale.seeds)
        ]
        lines[line] = [run.curve("reward").tolist() for run in runs]
        part = max(1, min(ENDS, len(lines[line][0]) // 2))
        first = Interval.of([float(np.mean(curve[:part])) for curve in lines[line]])
        last = Interval.of([float(np.mean(curve[-part:])) for curve in lines[line]])
        best = Interval.of([max(episode.reward for episode in run.history) for run in runs])
        document.rows.append((network, line, str(first), str(last), str(best), f"{len(runs[0].history):,}"))
        measured = {"first": first.to_json(), "last": last.to_json(), "best": best.to_json()}
        document.data[line] = {"curves": lines[line], **measured}
    document.notes.append(f"Stage 1, {lab.scale.seeds} seeds; 95% intervals in parentheses. {ENDS_ARE}")
    draw_lines(lab.folder / f"figure{number}.png", {title: lines})
    return document


def _said(number: int) -> str:
    return f"The paper prints no numbers with this figure; it says: {FIGURES[number]}."


def figure10(lab: Lab) -> Document:
    """Rewards of pre-trained policies, of policies from scratch, and of a constant rate of removal."""
    data = lab.data("cifar10", lab.scale.transfer_train_size)
    columns = ("transfer", "reward, pre-trained", "scratch", "constant rate", "above scratch", "above constant rate", "paper")
    document = Document(f"Figure 10: transfer learning on {data}", columns)
    panels: dict[str, dict[str, Curves]] = {}
    for (source, target), reported in TABLE_5.items():
        name = transfer_name(lab, source, target, "cifar10")
        if not lab.available("cifar10", name, document):
            continue
        summary = transfer(lab, source, target, "cifar10")
        panels[f"{data},\n{width_name(lab, source)} to {width_name(lab, target)}"] = summary["curves"]
        document.data[name] = jsonable(summary)
        measured = (str(summary["reward"][kind]) for kind in KINDS)
        document.rows.append((name, *measured, ", ".join(map(str, reported["reward"]))))
    document.notes += transfer_notes(lab)
    if panels:
        draw_lines(lab.folder / "figure10.png", panels)
    return document


def figure13(lab: Lab) -> Document:
    """The naive reward and the paper's over accuracy and compression."""
    steps = np.linspace(0.0, 1.0, 101)
    figure = new_figure(9, 3.8)
    document = Document(
        "Figure 13: reward manifold", ("relative accuracy", "compression", "naive", "ours", "paper: naive, ours")
    )
    rewards = (("naive", "naive reward", naive_reward), ("ours", "our reward", paper_reward))
    for axes, (name, title, reward) in zip(figure.subplots(1, 2), rewards, strict=True):
        surface = [[reward(_evaluation(accuracy, compression)) for compression in steps] for accuracy in steps]
        lines = axes.contourf(steps, steps, surface, levels=np.linspace(0, 1, 21), cmap="viridis")
        axes.set(title=title, xlabel="compression C", ylabel="relative accuracy A")
        figure.colorbar(lines, ax=axes)
        document.data[name] = {"reward_by_accuracy_and_compression": [row[::10] for row in surface[::10]], "step": 0.1}
    save_figure(figure, lab.folder / "figure13.png")
    for accuracy, compression, theirs in REWARDS:
        evaluation = _evaluation(accuracy, compression)
        cells = (accuracy, compression, naive_reward(evaluation), paper_reward(evaluation))
        document.rows.append((*(f"{cell:.4f}" for cell in cells), ", ".join(map(str, theirs))))
    document.notes.append("The two rows are appendix 11.1's cases; the paper's text has their rewards the wrong way round.")
    return document


def _evaluation(accuracy: float, compression: float) -> Evaluation:
    return Evaluation(
        accuracy=accuracy,
        teacher_accuracy=1.0,
        parameters=round(1_000_000 * (1 - compression)),
        teacher_parameters=1_000_000,
        macs=0,
    )


def draw_lines(path: Path, panels: Mapping[str, Mapping[str, Curves]]) -> None:
    """A panel per comparison: means over seeds against policy updates, bands from the lowest to the highest seed."""
    figure = new_figure(2.0 + max(6.0, 4.2 * len(panels)), 3.6)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, lines) in zip(row, panels.items(), strict=True):
        _draw_panel(axes, title, lines)
    legend_beside(row[-1])  # the panels have the same lines
    save_figure(figure, path)


def _draw_panel(axes: Axes, title: str, lines: Mapping[str, Curves]) -> None:
    for (name, curves), colour in zip(lines.items(), cycle(COLOURS), strict=False):
        values = np.array(curves)
        updates = np.arange(values.shape[1])
        axes.plot(updates, values.mean(0), color=colour, label=name.replace("_", " "))
        axes.fill_between(updates, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
    axes.fill_between([], [], color="grey", alpha=0.3, linewidth=0, label="lowest to highest seed")
    axes.set(title=title, xlabel="iteration (policy update)", ylabel="mean reward")
    open_frame(axes, counts=True)
