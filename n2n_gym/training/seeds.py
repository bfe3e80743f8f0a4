"""Seeds of the trainings of one run."""

from __future__ import annotations

APART = 1_000
"""Trainings of a run whose seeds are its own."""


def training_seed(run: int, number: int) -> int:
    """The seed of one of a run's trainings, from its number: runs with different seeds have none in common.

    Neighbouring runs would else train equal networks alike, and an interval over them would be too narrow.
    """
    return (APART * run + number) % 2**63
