"""Who of several students is the best, by trainings with fresh seeds: one that is worse for certain is trained no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from scipy.special import stdtrit

from agents.interval import ALIKE

LEVEL = 0.95
"""How sure it must be that a contestant is worse than the best before it leaves."""


def contenders(scores: Sequence[Sequence[float]]) -> list[int]:
    """Who may still be the best.

    How much one training's score differs from the next one's is taken to be alike for all, and estimated from all. A
    contestant leaves when its mean is so far below the best one's that at least `LEVEL` of such differences would be smaller
    by chance (Student's t, one-sided). As long as nobody was trained twice, or all
    trainings of each happen to be alike, nobody leaves.

    Args:
        scores: Of each contestant, those of its trainings, one at least; those that left before count, too.

    Returns:
        Indices, in order.
    """
    means = [fmean(each) for each in scores]
    freedom = sum(len(each) - 1 for each in scores)
    squares = sum((score - mean) ** 2 for each, mean in zip(scores, means, strict=True) for score in each)
    if not freedom or math.sqrt(squares) <= ALIKE:
        return list(range(len(scores)))
    best = max(range(len(scores)), key=means.__getitem__)
    bound = float(stdtrit(freedom, LEVEL)) * math.sqrt(squares / freedom)
    return [
        index
        for index, mean in enumerate(means)
        if means[best] - mean <= bound * math.sqrt(1 / len(scores[index]) + 1 / len(scores[best]))
    ]
