"""Pictures of a network layer by layer: text for terminals, bars for frames and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import IMAGE, Architecture, Variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from n2n_gym.stages.base import Stage

GREY = "#dddddd"
ANSI_GREY, ANSI_RESET = "\x1b[90m", "\x1b[0m"
BAR = 24
"""Characters of the widest layer's bar."""


def draw_ansi(stage: Stage, actions: Sequence[int]) -> str:
    """The network layer by layer: kernel, width to scale, what was decided; removed layers grey, `>` at the next one."""
    resized = stage.resized(actions)
    before, after = stage.base.widths, resized.widths
    removed = stage.removed(actions)
    widest = max(before)
    here = stage.layers[len(actions)][0] if len(actions) < stage.decisions else None
    lines = []
    for index, (node, left) in enumerate(zip(stage.base.nodes, resized.nodes, strict=True)):
        layer = left.layer
        kernel, stride, _, _ = layer.observed
        size = f"{kernel}x{kernel}/{stride}" if kernel else ""
        full, filled = (round(BAR * width[index] / widest) or 1 for width in (before, after))
        bar = ("·" * full if index in removed else "█" * filled + "░" * (full - filled)).ljust(BAR)
        said = _decided(stage, actions, index)
        if len(node.inputs) > 1:
            said = f"of {' and '.join('image' if i == IMAGE else str(i) for i in node.inputs)}"
        line = f"{'>' if index == here else ' '}{index:4d}  {layer.kind:<10} {size:<6}{after[index]:6d} {bar} {said}".rstrip()
        lines.append(f"{ANSI_GREY}{line}{ANSI_RESET}" if index in removed else line)
    return "\n".join(lines)


def _decided(stage: Stage, actions: Sequence[int], index: int) -> str:
    """What was decided of a layer, also where another layer leads."""
    decisions = []
    for position, (layers, variable) in enumerate(zip(stage.layers, stage.variables, strict=True)):
        if index in layers:
            what = "" if variable is Variable.LAYER else f"{variable.name.lower()} "
            said = stage.describe(position, actions[position]) if position < len(actions) else "?"
            lead = "" if index == layers[0] else f" with {layers[0]}"
            decisions.append(f"{what}{said}{lead}")
    return ", ".join(decisions)


def draw_rgb_array(stage: Stage, actions: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The same as a picture, shape (height, width, 3): removed layers grey, shrunk ones filled as far as they are kept."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw_network(axes, stage.base, removed=stage.removed(actions), resized=stage.resized(actions))
    axes.set_title(f"{len(actions)} of {stage.decisions} decisions")
    if len(actions) < stage.decisions:
        axes.axvline(stage.layers[len(actions)][0], color="black", linewidth=0.8, linestyle=":")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_network(
    axes: Axes,
    architecture: Architecture,
    *,
    removed: frozenset[int] = frozenset(),
    resized: Architecture | None = None,
    widest: int | None = None,
) -> None:
    """Draw a network's layers as bars from left to right, as high as they are wide, with arcs for shortcuts.

    Args:
        axes: Where to.
        architecture: What to draw.
        removed: Layers to draw in grey.
        resized: The same network after shrinking; its widths are filled in, the difference left white.
        widest: The width that fills the height; by default the network's own largest.
    """
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    before = architecture.widths
    after = before if resized is None else resized.widths
    kinds = {node.layer.kind: node.layer.colour for node in architecture.nodes}
    places = range(len(before))
    axes.bar(places, before, width=0.9, color="white", edgecolor="#999999", linewidth=0.5)
    colours = [GREY if i in removed else node.layer.colour for i, node in enumerate(architecture.nodes)]
    axes.bar(places, after, width=0.9, color=colours, edgecolor="#555555", linewidth=0.3)
    top = widest or max(before)
    for block in architecture.blocks:
        start, end = min(block.members, default=block.join) - 0.5, block.join
        arrow = {"arrowstyle": "-", "color": "#aa3377", "connectionstyle": "arc3,rad=-0.2", "lw": 0.8}
        axes.annotate("", (end, top * 1.04), (start, top * 1.04), arrowprops=arrow)
    legend = [Patch(color=colour, label=kind.replace("_", " ")) for kind, colour in kinds.items()]
    if removed:
        legend.append(Patch(color=GREY, label="removed"))
    axes.legend(handles=legend, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    axes.set_ylim(0, top * 1.25)
    axes.set_xlim(-1, max(len(before), 4))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layer")
    axes.set_ylabel("channels")
    axes.spines[["top", "right"]].set_visible(False)
