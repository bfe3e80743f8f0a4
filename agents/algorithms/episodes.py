"""Whole episodes as tensors, and the best of them for a policy to imitate."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Episodes(NamedTuple):
    """Episodes of equal length, one per row.

    Attributes:
        rows: What was observed of each decision, shape (B, D, F).
        actions: What was done, shape (B, T); T is less than D where episodes were truncated.
        masks: Which actions were of use, shape (B, T, A).
        returns: Undiscounted, shape (B).
        keeps: Whose student is not degenerate and keeps all limits, shape (B), bool.
    """

    rows: Tensor
    actions: Tensor
    masks: Tensor
    returns: Tensor
    keeps: Tensor

    def best(self, count: int) -> Episodes:
        """At most so many, from the best on: each sequence of actions once, and only of students that keep the limits."""
        known: set[tuple[int, ...]] = set()
        chosen: list[int] = []
        for index in torch.argsort(self.returns, descending=True, stable=True).tolist():
            actions = tuple(self.actions[index].tolist())
            if len(chosen) < count and self.keeps[index] and actions not in known:
                known.add(actions)
                chosen.append(index)
        indices = torch.tensor(chosen, dtype=torch.int64)
        return Episodes(*(part[indices] for part in self))

    def together(self, others: Episodes) -> Episodes:
        """These and others; only the others where these are of another network, or were truncated elsewhere."""
        if self.actions.shape[1] != others.actions.shape[1] or (
            len(self.rows) and not torch.equal(self.rows[0], others.rows[0])
        ):
            return others
        return Episodes(*(torch.cat(parts) for parts in zip(self, others, strict=True)))
