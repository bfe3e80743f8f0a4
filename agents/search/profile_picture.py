"""A picture of what each layer of a teacher is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.pictures import new_figure, open_frame, save_figure

CHANGES = {"removed": "#ee7733", "halved": "#4477aa"}
"""What is done to a layer alone, and its bars' colour."""


def layer_name(row: dict[str, Any]) -> str:
    """What a layer is called: as in its owner's code where that is known, else its index and kind."""
    place = row["place"]
    return place["module"] if place and place["module"] else f"{row['layer']} {row['kind']}"


def kept(change: dict[str, Any]) -> str:
    """How many outputs are left where that is not half of them, as a layer keeps `MIN_FILTERS`: `10 of 16`; else nothing."""
    outputs, before = change.get("outputs"), change.get("of")
    halved = outputs is None or before is None or abs(2 * outputs - before) <= 1
    return "" if halved else f"{outputs} of {before}"


def draw_profile(path: Path, found: dict[str, Any]) -> None:
    """Accuracy lost and parameters saved by each change, a layer a row, from the image down.

    Args:
        path: The picture's file.
        found: What `profile` returned.
    """
    rows = [row for row in found["layers"] if any(_known(row, name) for name in CHANGES)]
    figure = new_figure(10, 1.6 + 0.24 * max(len(rows), 3))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for offset, (name, colour) in zip((-0.2, 0.2), CHANGES.items(), strict=True):
        for new, opacity in ((False, 1.0), (True, 0.4)):
            known = [(y, row[name]) for y, row in enumerate(rows) if _known(row, name) and (row[name]["inherited"] < 1) == new]
            look = {"height": 0.38, "color": colour, "alpha": opacity, "label": f"{name}, some weights new" if new else name}
            heights = [y + offset for y, _ in known]
            left.barh(heights, [100 * change["lost"] for _, change in known], **look)
            bars = right.barh(heights, [100 * change["parameters"] / found["parameters"] for _, change in known], **look)
            right.bar_label(bars, [kept(change) for _, change in known], padding=2, fontsize=6)
    left.set_yticks(range(len(rows)), [layer_name(row) for row in rows], fontsize=7)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel(f"points of accuracy lost, {found['images']:,} validation images")
    right.set_xlabel("parameters saved, % of the teacher's")
    for axes in (left, right):
        axes.axvline(0, color="black", linewidth=0.6)
        open_frame(axes)
    right.legend(loc="lower right", fontsize=8)
    statistics = f"batch statistics {found['statistics']}"
    figure.suptitle(f"{found['name']}: one layer changed at a time, no training, {statistics}", fontsize=10)
    save_figure(figure, path)


def _known(row: dict[str, Any], change: str) -> bool:
    return row[change] is not None and "lost" in row[change]
