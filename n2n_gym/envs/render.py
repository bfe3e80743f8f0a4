"""Frames of an episode: text for terminals, and pictures whose still parts are drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import IMAGE, Variable
from n2n_gym.envs.drawing import draw_outlines, fillings, refill
from n2n_gym.errors import unknown
from n2n_gym.stages.base import Stage

RENDER_MODES = ["ansi", "rgb_array"]
ANSI_GREY, ANSI_RESET = "\x1b[90m", "\x1b[0m"
BAR = 24
"""Characters of the widest layer's bar."""

Frame = str | npt.NDArray[np.uint8]


class Renderer:
    """Frames of a stage's episodes. Copies of it, and what is pickled, leave out what was drawn.

    Args:
        stage: What is decided.
        mode: `ansi`, `rgb_array`, or None for no frames.

    Raises:
        InputError: If the mode is unknown.
    """

    def __init__(self, stage: Stage, mode: str | None) -> None:
        if mode is not None and mode not in RENDER_MODES:
            raise unknown("render mode", mode, RENDER_MODES)
        self.stage = stage
        self.mode = mode

    def __reduce__(self) -> tuple[Any, ...]:
        return Renderer, (self.stage, self.mode)

    def frame(self, actions: Sequence[int]) -> Frame | None:
        """The frame after the first actions of an episode.

        Returns:
            Lines of text, or an RGB picture of shape (300, 1000, 3).
        """
        if self.mode is None:
            return None
        return draw_ansi(self.stage, actions) if self.mode == "ansi" else self._picture.after(actions)

    @cached_property
    def _picture(self) -> Picture:
        return Picture(self.stage)


def draw_ansi(stage: Stage, actions: Sequence[int]) -> str:
    """The network layer by layer: kernel, width to scale, what was decided; removed layers grey, `>` at the next one."""
    resized = stage.resized(actions)
    before, after = stage.base.widths, resized.widths
    removed = stage.removed(actions)
    widest = max(before)
    here = stage.layers[len(actions)][0] if len(actions) < stage.decisions else None
    decided = _decided(stage, actions)
    lines = []
    for index, (node, left) in enumerate(zip(stage.base.nodes, resized.nodes, strict=True)):
        layer = left.layer
        kernel, stride, _, _ = layer.observed
        size = f"{kernel}x{kernel}/{stride}" if kernel else ""
        full, filled = (round(BAR * width[index] / widest) or 1 for width in (before, after))
        bar = ("·" * full if index in removed else "█" * filled + "░" * (full - filled)).ljust(BAR)
        said = decided[index][0] if index in removed else ", ".join(decided[index])
        if len(node.inputs) > 1:
            said = f"of {' and '.join('image' if i == IMAGE else str(i) for i in node.inputs)}"
        line = f"{'>' if index == here else ' '}{index:4d}  {layer.kind:<10} {size:<6}{after[index]:6d} {bar} {said}".rstrip()
        lines.append(f"{ANSI_GREY}{line}{ANSI_RESET}" if index in removed else line)
    return "\n".join(lines)


def _decided(stage: Stage, actions: Sequence[int]) -> list[list[str]]:
    """What was decided of each layer, also where another layer leads."""
    decided: list[list[str]] = [[] for _ in stage.base.nodes]
    for position, (layers, variable) in enumerate(zip(stage.layers, stage.variables, strict=True)):
        what = "" if variable is Variable.LAYER else f"{variable.name.lower()} "
        said = stage.describe(position, actions[position]) if position < len(actions) else "?"
        for index in layers:
            decided[index].append(f"{what}{said}" + ("" if index == layers[0] else f" with {layers[0]}"))
    return decided


class Picture:
    """Pictures of a stage's episodes: removed layers grey, shrunk ones filled as far as they are kept.

    Axes, outlines and legend are drawn once; a frame draws bars, title and the line at the next decision over them.

    Args:
        stage: What is decided.
    """

    def __init__(self, stage: Stage) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.stage = stage
        figure = Figure(figsize=(10, 3), dpi=100)
        figure.subplots_adjust(left=0.07, right=0.86, top=0.9, bottom=0.16)
        self._canvas = FigureCanvasAgg(figure)
        self._axes = figure.subplots()
        draw_outlines(self._axes, stage.base, with_grey=Variable.LAYER in stage.variables)
        self._bars = fillings(stage.base)
        self._bars.set_animated(True)
        self._axes.add_collection(self._bars, autolim=False)
        self._colours = np.array(self._bars.get_facecolor())
        self._title = self._axes.set_title("", animated=True)
        self._canvas.draw()
        self._still: Any = self._canvas.copy_from_bbox(figure.bbox)

    def after(self, actions: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The picture after the first actions of an episode, shape (300, 1000, 3)."""
        stage = self.stage
        self._canvas.restore_region(self._still)
        refill(self._bars, self._colours, removed=stage.removed(actions), resized=stage.resized(actions))
        self._axes.draw_artist(self._bars)
        self._title.set_text(f"{len(actions)} of {stage.decisions} decisions")
        self._axes.draw_artist(self._title)
        picture = np.asarray(self._canvas.buffer_rgba())[..., :3].copy()
        if len(actions) < stage.decisions:
            box = self._axes.bbox
            x, _ = self._axes.transData.transform((stage.layers[len(actions)][0], 0))
            below, above = (len(picture) - round(y) for y in (box.y0, box.y1))
            picture[above:below, round(x)][np.arange(below - above) % 4 < 2] = 0  # dotted
        return picture
