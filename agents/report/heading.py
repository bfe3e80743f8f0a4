"""What tells one run from another, in few words: for headings and lists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.search.run_folder import in_use

_UNFINISHED = {True: "running", False: "stopped", None: "not finished"}
"""States of runs that have no result, by whether a process holds their folder."""


def teacher_of(configuration: Mapping[str, Any]) -> str:
    """A run's teacher, and the factor on its filters where there is one: `resnet18 x 0.05`."""
    name, width = configuration.get("teacher", ""), configuration.get("width", 1)
    return f"{name} x {width}" if width != 1 else f"{name}"


def dataset_of(configuration: Mapping[str, Any]) -> str:
    """What a run's networks are trained on, and on how many images: `digits, 60 images`."""
    name, size = configuration.get("dataset", ""), configuration.get("train_size")
    return f"{name}, {size:,} images" if isinstance(size, int) else f"{name}, all images" if name else ""


def state_of(run: Path, result: Mapping[str, Any] | None) -> str:
    """`finished`, `running`, `stopped`, or `not finished` where nobody may look which of both."""
    return "finished" if result is not None else _UNFINISHED[in_use(run)]


def moment(stamp: str) -> str:
    """A time that was written down, as people read it, its time zone kept: `2026-11-28 05:58:52 UTC+01:00`.

    What is no time is left as it is.
    """
    try:
        time = datetime.fromisoformat(stamp)
    except (ValueError, TypeError):
        return stamp
    return f"{time:%Y-%m-%d %H:%M:%S %Z}".strip()
