"""The charts of a page, as Plotly's figures: plain data, drawn where the page is looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from itertools import count
from math import ceil, floor, log10
from typing import Any

import plotly.graph_objects as go

from agents.display import short
from agents.report.run import Run
from agents.search.history import Episode, front
from agents.search.report import CURVES, STAGE_NAMES, band_of

QUANTITIES = {"parameters": "parameters", "macs": "MACs", "latency_ms": "latency, ms"}
"""What accuracy is drawn against, and what a button calls it."""

COLOURS = ("#4477aa", "#ee7733", "#228833", "#aa3377", "#009988", "#ccbb44", "#66ccee", "#bb5566")
"""Of stages, and of runs that stand in one chart: told apart by those who see few colours, on light and on dark."""

MOST_STEPS = 10
"""Between the marks of an axis of updates; they have room on a telephone."""


def pareto(run: Run) -> dict[str, dict[str, Any]]:
    """Accuracy of all trained students against each quantity that is known of them; `customdata` are their numbers."""
    return {quantity: _pareto(run, quantity) for quantity in QUANTITIES if _known(run.students_tried, quantity)}


def _known(students: Sequence[Episode], quantity: str) -> bool:
    return any(getattr(student, quantity) is not None for student in students)


def _pareto(run: Run, quantity: str) -> dict[str, Any]:
    numbered = [(i, e) for i, e in enumerate(run.students_tried) if getattr(e, quantity) is not None]
    figure = go.Figure()
    for stage, colour in zip(STAGE_NAMES, COLOURS, strict=False):
        some = [(i, e) for i, e in numbered if e.stage == stage]
        if some:
            symbol = "circle" if stage == 1 else "diamond"
            figure.add_scatter(
                name=STAGE_NAMES[stage],
                x=[getattr(e, quantity) for _, e in some],
                y=[e.accuracy for _, e in some],
                customdata=[i for i, _ in some],
                text=[_hover(e) for _, e in some],
                hoverinfo="text",
                mode="markers",
                marker={
                    "color": colour,
                    "size": 8,
                    "opacity": 0.6,
                    "symbol": [f"{symbol}-open" if e.excess else symbol for _, e in some],
                },
            )
    best = front([e for _, e in numbered], quantity)
    line = {"color": "#888888", "width": 1.5, "dash": "dot", "shape": "hv"}
    places = {"x": [getattr(e, quantity) for e in best], "y": [e.accuracy for e in best]}
    figure.add_scatter(name="front", **places, mode="lines", line=line, hoverinfo="skip")
    if (chosen := _chosen(run)) is not None and getattr(chosen, quantity) is not None:
        ring = {"color": "rgba(0,0,0,0)", "size": 16, "line": {"color": "#cc3311", "width": 2.5}}
        place = {"x": [getattr(chosen, quantity)], "y": [chosen.accuracy]}
        figure.add_scatter(name="the student", **place, mode="markers", marker=ring, hoverinfo="skip")
    if run.teacher is not None and quantity != "latency_ms":
        size = getattr(run.teacher.architecture, quantity)
        figure.add_scatter(
            name="teacher",
            x=[size],
            y=[run.teacher.accuracy],
            text=[f"teacher<br>{run.teacher.accuracy:.2%}<br>{size:,} {QUANTITIES[quantity]}"],
            hoverinfo="text",
            mode="markers",
            marker={"color": "#888888", "size": 13, "symbol": "star"},
        )
    _axes(figure, quantity)
    return _plain(figure)


def _chosen(run: Run) -> Episode | None:
    """The run's student as the search saw it; None if it did not, or has not ended."""
    if run.result is None or "student" not in run.students:
        return None
    fingerprint = run.students["student"].architecture.fingerprint[:16]
    return next((episode for episode in run.students_tried if episode.fingerprint == fingerprint), None)


def _hover(student: Episode) -> str:
    lines = [
        f"accuracy {student.accuracy:.2%}, reward {student.reward:.4f}",
        f"{student.parameters:,} parameters",
        f"{student.macs:,} MACs",
        *([] if student.latency_ms is None else [f"{student.latency_ms:.3g} ms"]),
        f"{STAGE_NAMES[student.stage]}, update {student.iteration}",
    ]
    if student.excess:
        lines.append(f"exceeds a limit by {student.excess:.0%}")
    return "<br>".join(lines)


def fronts(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """The fronts of several runs in one chart for each quantity."""
    found = {}
    for quantity in QUANTITIES:
        figure = go.Figure()
        for run, colour in zip(runs, COLOURS * (1 + len(runs) // len(COLOURS)), strict=False):
            best = front([e for e in run.students_tried if getattr(e, quantity) is not None], quantity)
            if best:
                name = escape(run.name)
                figure.add_scatter(
                    name=name,
                    x=[getattr(e, quantity) for e in best],
                    y=[e.accuracy for e in best],
                    text=[f"{name}<br>{_hover(e)}" for e in best],
                    hoverinfo="text",
                    mode="lines+markers",
                    line={"color": colour, "shape": "hv", "width": 1.5},
                    marker={"color": colour, "size": 7},
                )
        if figure.data:
            _axes(figure, quantity)
            found[quantity] = _plain(figure)
    return found


def _axes(figure: go.Figure, quantity: str) -> None:
    drawn = [value for trace in figure.data for value in trace.x if value > 0]
    marks = _marks(min(drawn, default=1.0), max(drawn, default=1.0))
    figure.update_xaxes(title=QUANTITIES[quantity], type="log", tickvals=marks, ticktext=[*map(short, marks)])
    figure.update_yaxes(title="validation accuracy", tickformat=".0%")


def _marks(least: float, most: float) -> list[float]:
    """Round numbers from below one number to above another, for a logarithmic axis: three a decade, or fewer."""
    decades = range(floor(log10(least)), ceil(log10(most)) + 1)
    digits = (1, 2, 5) if len(decades) < 4 else (1,)
    return [digit * 10.0**decade for decade in decades for digit in digits]


def curves(history: Sequence[Episode]) -> dict[int, dict[str, Any]]:
    """For each stage reward, accuracy and compression against policy update.

    Lines are means over an update's students, bands run from the lowest to the highest; degenerate students count in the
    reward alone.
    """
    return {stage: _curves([e for e in history if e.stage == stage]) for stage in sorted({e.stage for e in history})}


def _curves(history: Sequence[Episode]) -> dict[str, Any]:
    figure = go.Figure()
    for name, colour in CURVES.items():
        found = band_of(history, name)
        band = {"x": found.updates, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(**band, y=found.lowest, legendgroup=name)
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        fill = f"rgba({red},{green},{blue},0.15)"
        figure.add_scatter(**band, y=found.highest, fill="tonexty", fillcolor=fill, legendgroup=name)
        figure.add_scatter(
            name=name,
            x=found.updates,
            y=found.mean,
            mode="lines+markers" if len(found.updates) < 20 else "lines",
            line={"color": colour, "width": 2},
            legendgroup=name,
            hovertemplate=f"{name} %{{y:.3f}}<extra></extra>",
        )
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title="policy update", tickvals=_updates({episode.iteration for episode in history}))
    figure.update_yaxes(title=", ".join(CURVES))
    return _plain(figure)


def _updates(seen: Collection[int]) -> list[int]:
    """Some ten of the updates, evenly spaced: Plotly's own marks fall between two of them where there are few."""
    steps = (digit * 10**zeros for zeros in count() for digit in (1, 2, 5))
    step = next(step for step in steps if max(seen) - min(seen) <= step * MOST_STEPS)
    return [update for update in range(min(seen), max(seen) + 1) if update % step == 0]


def _plain(figure: go.Figure) -> dict[str, Any]:
    """The figure as JSON data, without colours of the page's: those follow the reader's light or dark."""
    figure.update_layout(
        template="none",
        margin={"l": 60, "r": 12, "t": 12, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        height=420,
    )
    data: Mapping[str, Any] = figure.to_plotly_json()
    return {"data": list(data["data"]), "layout": data["layout"]}
