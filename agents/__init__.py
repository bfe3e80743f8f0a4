"""Agents that compress networks: the paper's recurrent REINFORCE, searches, the whole of Algorithm 1, the command `n2n`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.algorithms.dyna import Dyna
    from agents.algorithms.embedding import ArchitectureCompression
    from agents.algorithms.evolution import RegularizedEvolution
    from agents.algorithms.planned import RandomSearch
    from agents.algorithms.reinforce import ActorCritic, Reinforce
    from agents.report.compress import compress
    from agents.report.page import write_report
    from agents.search.options import Search
    from agents.search.student import export, load_student

__all__ = [
    "ActorCritic",
    "ArchitectureCompression",
    "Dyna",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
    "Search",
    "compress",
    "export",
    "load_student",
    "write_report",
]

_HOMES = {
    "ActorCritic": "agents.algorithms.reinforce",
    "ArchitectureCompression": "agents.algorithms.embedding",
    "Dyna": "agents.algorithms.dyna",
    "RandomSearch": "agents.algorithms.planned",
    "RegularizedEvolution": "agents.algorithms.evolution",
    "Reinforce": "agents.algorithms.reinforce",
    "Search": "agents.search.options",
    "compress": "agents.report.compress",
    "export": "agents.search.student",
    "load_student": "agents.search.student",
    "write_report": "agents.report.page",
}


def __getattr__(name: str) -> object:
    """Import torch and Stable-Baselines3 only when something is asked for that needs them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
