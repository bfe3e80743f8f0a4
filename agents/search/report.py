"""Figures of a run: how the search went (figures 3 to 5), what it found (figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from agents.pictures import legend_beside, new_figure, open_frame, save_figure
from agents.search.history import Episode
from n2n_gym.architecture import Architecture
from n2n_gym.envs.drawing import draw_network
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.student import Student

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = {"reward": "#ee7733", "accuracy": "#228833", "compression": "#4477aa"}
STAGE_NAMES = {1: "Stage 1: layer removal", 2: "Stage 2: layer shrinkage"}


class Band(NamedTuple):
    """What an update's students are like, for each update that has any."""

    updates: list[int]
    lowest: list[float]
    mean: list[float]
    highest: list[float]


def band_of(episodes: Sequence[Episode], name: str) -> Band:
    """One of `CURVES`. Degenerate students count in the reward alone."""
    groups: dict[int, list[float]] = {}
    for episode in episodes:
        if name == "reward" or not episode.reason:
            groups.setdefault(episode.iteration, []).append(getattr(episode, name))
    updates = sorted(groups)
    return Band(updates, *([of(groups[update]) for update in updates] for of in (min, fmean, max)))


def draw_curves(path: Path, history: list[Episode], title: str) -> None:
    """Reward, accuracy and compression against policy update, a panel per stage, like the paper's figure 3.

    Lines are means over an update's students, bands run from the lowest to the highest. Degenerate students count in the
    reward alone. Red circles mark the smallest and the largest student; a legend beside each panel says all that.
    """
    stages = sorted({episode.stage for episode in history})
    figure = new_figure(11, 3.2 * len(stages) + 0.4)
    for axes, stage in zip(figure.subplots(len(stages), 1, squeeze=False)[:, 0], stages, strict=True):
        _draw_stage(axes, [episode for episode in history if episode.stage == stage])
        axes.set_title(STAGE_NAMES[stage], loc="left")
    figure.suptitle(title)
    save_figure(figure, path)


def _draw_stage(axes: Axes, episodes: list[Episode]) -> None:
    for name, colour in CURVES.items():
        band = band_of(episodes, name)
        axes.plot(band.updates, band.mean, color=colour, label=f"{name}, mean of an update", linewidth=1.5)
        axes.fill_between(band.updates, band.lowest, band.highest, color=colour, alpha=0.12, linewidth=0)
    axes.fill_between([], [], color="grey", alpha=0.3, linewidth=0, label="lowest to highest of an update")
    students = sorted((episode for episode in episodes if not episode.reason), key=lambda episode: episode.parameters)
    for episode, word, size in zip(students[:1] + students[-1:], ("smallest", "largest"), (6, 11), strict=False):
        label = f"reward of the {word} student,\nof {episode.parameters:,} parameters"
        axes.plot(episode.iteration, episode.reward, "o", color="none", markeredgecolor="red", markersize=size, label=label)
    lowest_reward = min(episode.reward for episode in episodes)
    axes.set_ylim(-1.05 if lowest_reward < 0 else 0, 1.05)
    axes.set(xlabel="iteration (policy update)", ylabel=", ".join(CURVES))
    open_frame(axes, counts=True)
    legend_beside(axes)


def draw_architectures(path: Path, student: Student) -> None:
    """The teacher, with what stage 1 removed in grey, above the student, on one scale."""
    teacher = student.teacher
    removed = RemovalStage(Student(teacher)).removed(student.removals or ())
    before = Student(teacher, student.removals).architecture
    figure = new_figure(10, 5.5)
    above, below = figure.subplots(2, 1)
    draw_network(above, teacher, removed=removed)
    above.set_title(_caption("teacher", teacher), loc="left")
    draw_network(below, before, resized=student.architecture, widest=max(teacher.widths))
    below.set_xlim(above.get_xlim())
    ratio = teacher.parameters / student.architecture.parameters
    below.set_title(f"{_caption('student', student.architecture)}, {ratio:.1f} times smaller", loc="left")
    save_figure(figure, path)


def _caption(name: str, architecture: Architecture) -> str:
    return f"{name}: {len(architecture.nodes)} layers, {architecture.parameters:,} parameters, {architecture.macs:,} MACs"
