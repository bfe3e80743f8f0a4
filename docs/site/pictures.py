"""Draws the pictures of docs/how-it-works.md: the MDP, and one episode. Nothing is trained: rewards are looked up.

python docs/site/pictures.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import n2n_gym  # noqa: F401  registers the environments
from agents.pictures import new_figure, save_figure
from n2n_gym.envs.drawing import draw_network

INK, SOFT, BLUE, ORANGE, GREEN = "#1c2024", "#5c6570", "#4477aa", "#ee7733", "#228833"
ACTIONS = (0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0)
"""One episode of Conv4's 16 decisions: 1 removes the layer."""

SHOWN = (0, 5, 10, 16)
"""After how many decisions the episode is drawn."""


def box(axes: Axes, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.08", fc="white", ec=colour, lw=1.6)
    axes.add_patch(shape)
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=INK)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", *, bend: float = 0.0) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": SOFT, "lw": 1.2, "connectionstyle": f"arc3,rad={bend}"}
    axes.add_patch(FancyArrowPatch(start, end, **style))
    if text:
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.1)
        axes.text(*middle, text, ha="center", va="bottom", fontsize=8, color=SOFT)


def draw_mdp(path: Path) -> None:
    """States, actions and the one reward at the end; then what makes the next stage's start."""
    figure = new_figure(10, 4.4)
    axes = figure.subplots()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 4.4)
    axes.set_axis_off()
    top = 3.1
    box(axes, 0.1, top, 1.5, 0.9, "teacher\ntrained network", INK)
    box(axes, 2.2, top, 1.4, 0.9, "state $s_1$\nlayer 1 is next", BLUE)
    box(axes, 4.3, top, 1.4, 0.9, "state $s_2$\nlayer 2 is next", BLUE)
    axes.text(6.15, top + 0.45, "...", fontsize=16, ha="center", va="center", color=SOFT)
    box(axes, 6.6, top, 1.4, 0.9, "state $s_T$\nlast layer", BLUE)
    box(axes, 8.5, top, 1.4, 0.9, "student\nall is decided", ORANGE)
    middle = top + 0.45
    arrow(axes, (1.6, middle), (2.2, middle))
    arrow(axes, (3.6, middle), (4.3, middle), "$a_1$")
    arrow(axes, (5.7, middle), (6.0, middle))
    arrow(axes, (6.3, middle), (6.6, middle))
    arrow(axes, (8.0, middle), (8.5, middle), "$a_T$")
    axes.text(5.0, top - 0.12, "rewards 0 until the last decision", ha="center", va="top", fontsize=8, color=SOFT)
    low = 1.5
    box(axes, 8.0, low, 1.9, 0.9, "evaluator\na short distillation\nfrom the teacher", GREEN)
    box(axes, 5.0, low, 2.3, 0.9, "accuracy $A$ on validation\nimages, compression $C$", GREEN)
    box(axes, 2.0, low, 2.3, 0.9, "reward\n$C\\,(2-C)\\,A\\,/\\,A_{teacher}$", GREEN)
    arrow(axes, (9.2, top), (9.0, low + 0.9))
    arrow(axes, (8.0, low + 0.45), (7.3, low + 0.45))
    arrow(axes, (5.0, low + 0.45), (4.3, low + 0.45))
    box(axes, 0.1, low, 1.3, 0.9, "agent\nlearns", INK)
    arrow(axes, (2.0, low + 0.45), (1.4, low + 0.45))
    arrow(axes, (0.75, low + 0.9), (2.4, top), bend=-0.15)
    box(axes, 0.1, 0.15, 4.6, 0.9, "stage 1: keep or remove each layer\nits best student is where stage 2 starts", SOFT)
    shrinks = "stage 2: shrink each kernel, padding and number of filters\nto one of ten sizes; its best is trained to the end"
    box(axes, 5.3, 0.15, 4.6, 0.9, shrinks, SOFT)
    arrow(axes, (4.7, 0.6), (5.3, 0.6))
    save_figure(figure, path)


def draw_episode(path: Path) -> None:
    """One episode of stage 1 on Conv4, whose student was trained before: its reward is in the package's table."""
    env = gym.make("N2N/LayerRemoval-v0", teacher="conv4", dataset="digits", evaluator="table")
    env.reset(seed=0)
    figure = new_figure(9, 8.5)
    panels = dict(zip(SHOWN, figure.subplots(len(SHOWN), 1), strict=True))
    stage = env.unwrapped.stage  # type: ignore[attr-defined]
    reward, info = 0.0, {}
    for step in range(len(ACTIONS) + 1):
        if step in panels:
            axes = panels[step]
            draw_network(axes, stage.base, removed=stage.removed(ACTIONS[:step]))
            if step < len(ACTIONS):
                axes.axvline(stage.layers[step][0], color=INK, linestyle=":", linewidth=1)
                axes.set_title(f"after {step} of {len(ACTIONS)} decisions: layer {stage.layers[step][0]} is next", loc="left")
            else:
                sizes = f"{info['parameters']:,} parameters, {info['compression']:.1%} fewer than the teacher"
                said = f"the student: {sizes}, {info['accuracy']:.1%} accurate: reward {reward:.3f}"
                axes.set_title(said, loc="left")
            if step != SHOWN[0]:
                axes.get_legend().remove()
            if step != SHOWN[-1]:
                axes.set_xlabel("")
        if step < len(ACTIONS):
            _, reward, _, _, info = env.step(ACTIONS[step])
    save_figure(figure, path)


def main(folder: str = "docs/pictures") -> None:
    mpl.rcParams["svg.hashsalt"] = "n2n-gym"  # the same program draws the same file
    out = Path(folder)
    draw_mdp(out / "mdp.svg")
    draw_episode(out / "episode.svg")


if __name__ == "__main__":
    main(*sys.argv[1:2])
