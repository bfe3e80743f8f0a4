"""Agents that compress networks: the paper's recurrent REINFORCE, the whole of Algorithm 1, the command `n2n`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.embedding import ArchitectureCompression
    from agents.options import Search
    from agents.planned import RandomSearch, RegularizedEvolution
    from agents.reinforce import ActorCritic, Reinforce
    from agents.search import compress
    from agents.student import load_student

__all__ = [
    "ActorCritic",
    "ArchitectureCompression",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
    "Search",
    "compress",
    "load_student",
]

_HOMES = {
    "ActorCritic": "agents.reinforce",
    "ArchitectureCompression": "agents.embedding",
    "RandomSearch": "agents.planned",
    "RegularizedEvolution": "agents.planned",
    "Reinforce": "agents.reinforce",
    "Search": "agents.options",
    "compress": "agents.search",
    "load_student": "agents.student",
}


def __getattr__(name: str) -> object:
    """Import torch and Stable-Baselines3 only when something is asked for that needs them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
