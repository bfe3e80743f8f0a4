"""Pictures: how each is made, kept plain and written in one step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from n2n_gym.system.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that needs no display."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def open_frame(axes: Axes, *, grid: Literal["major", "both"] = "major", counts: bool = False) -> None:
    """Give axes a faint grid and take away the lines above and at the right; with `counts`, x has whole numbers only."""
    if counts:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25, which=grid)
    axes.spines[["top", "right"]].set_visible(False)


def legend_beside(axes: Axes) -> None:
    """Put the legend at the right of the axes, where it covers no data."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False, fontsize=8)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as the file's ending says, in one step; an SVG tells no date, so that equal ones are equal files."""
    metadata = {"Date": None} if path.suffix == ".svg" else None
    write_whole(path, lambda part: figure.savefig(part, metadata=metadata))
