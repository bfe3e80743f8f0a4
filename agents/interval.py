"""A figure with its 95% confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Student's t: the 97.5% quantile for 1, 2, ... degrees of freedom; for more than 15, 2.131 is on the safe side."""


@dataclass(frozen=True)
class Interval:
    """A mean, or what else runs are summed up by, with its 95% confidence interval.

    Attributes:
        mean: It.
        low: Lower end; NaN for a single value.
        high: Upper end.
        values: What it sums up.
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """The mean of independent values, with Student's t interval."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan, math.nan, tuple(values))
        quantile = _T_975[min(len(values) - 2, len(_T_975) - 1)]
        half = quantile * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(mean, mean - half, mean + half, tuple(values))

    def to_json(self) -> dict[str, Any]:
        """The interval as JSON data; ends that do not exist are null."""
        ends = [None if math.isnan(end) else end for end in (self.low, self.high)]
        return {"mean": self.mean, "low": ends[0], "high": ends[1], "values": list(self.values)}

    def __str__(self) -> str:
        return format(self)

    def __format__(self, numbers: str) -> str:
        mean, low, high = (format(number, numbers or ".3f") for number in (self.mean, self.low, self.high))
        return mean if math.isnan(self.low) else f"{mean} ({low} to {high})"
