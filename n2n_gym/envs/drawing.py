"""A network as bars from left to right, for frames and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from n2n_gym.architecture import IMAGE, Architecture, LayerKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection

COLOURS = {
    LayerKind.CONV: "#4477aa",
    LayerKind.BATCH_NORM: "#66ccee",
    LayerKind.RELU: "#ccbb44",
    LayerKind.MAX_POOL: "#ee6677",
    LayerKind.AVG_POOL: "#994455",
    LayerKind.LINEAR: "#228833",
    LayerKind.ADD: "#aa3377",
    LayerKind.CONCAT: "#aa3377",
}
GREY = "#dddddd"
GREY_RGBA = (0xDD / 0xFF,) * 3 + (1.0,)


def colour_of(kind: LayerKind) -> str:
    """The colour of a kind of layer's bars."""
    return COLOURS[kind]


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
    draw_outlines(axes, architecture, widest=widest, with_grey=bool(removed))
    bars = fillings(architecture)
    axes.add_collection(bars, autolim=False)
    refill(bars, bars.get_facecolor(), removed=removed, resized=resized or architecture)


def draw_outlines(axes: Axes, architecture: Architecture, *, widest: int | None = None, with_grey: bool) -> None:
    """All of `draw_network` that stays as it is while the network is edited: axes, empty bars, arcs and legend.

    Args:
        axes: Where to.
        architecture: What to draw.
        widest: The width that fills the height; by default the network's own largest.
        with_grey: Whether the legend explains the grey of layers that are removed.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    heights = widths(architecture)
    outlines = PolyCollection(_bars(heights), facecolors="white", edgecolors="#999999", linewidths=0.5, zorder=1)
    axes.add_collection(outlines, autolim=False)
    top = widest or max(heights)
    for block in architecture.blocks:
        start, end = min(block.members, default=block.join) - 0.5, block.join
        arrow = {"arrowstyle": "-", "color": "#aa3377", "connectionstyle": "arc3,rad=-0.2", "lw": 0.8}
        axes.annotate("", (end, top * 1.04), (start, top * 1.04), arrowprops=arrow)
    kinds = {node.layer.kind for node in architecture.nodes}
    legend = [Patch(color=colour_of(kind), label=kind.replace("_", " ")) for kind in COLOURS if kind in kinds]
    if with_grey:
        legend.append(Patch(color=GREY, label="removed"))
    axes.legend(handles=legend, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    axes.set_ylim(0, top * 1.25)
    axes.set_xlim(-1, max(len(heights), 4))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layer")
    axes.set_ylabel("channels")
    axes.spines[["top", "right"]].set_visible(False)


def fillings(architecture: Architecture) -> PolyCollection:
    """The coloured bars of a network; `refill` changes them."""
    from matplotlib.collections import PolyCollection

    colours = [colour_of(node.layer.kind) for node in architecture.nodes]
    return PolyCollection(_bars(widths(architecture)), facecolors=colours, edgecolors="#555555", linewidths=0.3, zorder=1.1)


def refill(bars: PolyCollection, colours: Any, *, removed: frozenset[int], resized: Architecture) -> None:
    """Make the bars those of an edited network.

    Args:
        bars: From `fillings`.
        colours: Theirs, shape (layers, 4).
        removed: Layers to draw in grey.
        resized: The same network after shrinking.
    """
    changed = colours.copy()
    changed[list(removed)] = GREY_RGBA
    bars.set_verts(_bars(widths(resized)))
    bars.set_facecolor(changed)


def widths(architecture: Architecture) -> list[int]:
    """Channels of each layer's output, for architectures that cannot be built, too."""
    known: list[int] = []
    for node in architecture.nodes:
        inputs = [architecture.input_shape[0] if i == IMAGE else known[i] for i in node.inputs]
        known.append(node.layer.outputs or (sum(inputs) if node.layer.kind is LayerKind.CONCAT else inputs[0]))
    return known


def _bars(heights: Sequence[float]) -> Any:  # matplotlib takes arrays, but its types do not say so
    """The corners of bars of these heights, shape (bars, 4, 2)."""
    corners = np.zeros((len(heights), 4, 2))
    corners[:, :, 0] = np.arange(len(heights))[:, None] + (-0.45, -0.45, 0.45, 0.45)
    corners[:, 1:3, 1] = np.array(heights)[:, None]
    return corners
