"""Searches that use what costs no training: sizes, limits, and which student an episode ends with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from agents.algorithms.known import KnownStudents
from agents.algorithms.planned import PlannedSearch
from agents.algorithms.plans import Plan, Plans, start_plan


class InformedSearch(PlannedSearch):
    """Never trains a student twice, nor one that is degenerate or exceeds the limits on sizes, as long as it finds others.

    Args:
        env: A compression environment, single or vectorised.
        **settings: Arguments of `PlannedSearch`.
    """

    known: KnownStudents

    def _setup_model(self) -> None:
        super()._setup_model()
        assert self.env is not None
        self.known = KnownStudents(self.stage, self.env.get_attr("judge")[0])
        self._proposed: set[str] = set()

    def fresh(self, draw: Callable[[], Plan]) -> Plan:
        """A drawn episode whose student is new and may be trained, from now on proposed; see `KnownStudents.fresh`."""
        plan = self.known.fresh(draw, self._proposed, self.rng)
        self._proposed.add(self.known.look(plan).fingerprint)
        return plan

    def start(self) -> Plan:
        """An episode to begin with; see `start_plan`."""
        return start_plan(self.stage, self.rng)

    def observe(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        super().observe(plans, returns, infos)
        self.known.add(plans, returns, infos)
        self._proposed.clear()

    def memory(self) -> dict[str, Tensor]:
        return super().memory() | self.known.memory()

    def remember(self, tensors: dict[str, Tensor]) -> None:
        super().remember(tensors)
        self.known.remember(tensors)
