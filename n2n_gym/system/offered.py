"""What other packages that are installed offer to this one, as entry points."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown

PLUGINS = "n2n_gym.plugins"
"""The group of modules that register by themselves what they have when they are imported."""

_log = logging.getLogger("n2n_gym")


def offered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by their names; none of them is loaded. The first of a name counts."""
    return {point.name: point for point in reversed(list(entry_points(group=group)))}


def resolved(point: EntryPoint, what: str) -> Any:
    """What an entry point stands for; its package's code is run for it.

    Args:
        point: It.
        what: What it is, for messages: `evaluator`.

    Raises:
        InputError: If it cannot be loaded, whatever the reason.
    """
    try:
        return point.load()
    except Exception as error:  # the code is somebody else's
        package = point.dist.name if point.dist else point.module
        remedy = "mend or uninstall that package, or choose another"
        raise InputError(f"{what} {point.name}, which {package} offers, cannot be loaded: {_said(error)}; {remedy}") from error


def load_plugins() -> None:
    """Import the modules of the group `PLUGINS`; what one of them fails with is logged, and stops nothing else."""
    for point in offered(PLUGINS).values():
        try:
            resolved(point, "plug-in")
        except InputError as error:
            _log.warning("%s", error)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(error)}"
