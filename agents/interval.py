"""A figure with its 95% confidence interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

ALIKE = 1e-9
"""Shares of images that differ by less are equal, but for rounding."""


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
    def of(cls, values: Sequence[float], *, together: int = 1) -> Interval:
        """The mean of independent values, with Student's t interval.

        Args:
            values: They.
            together: So many intervals shall hold all at once with 95% (Bonferroni's correction), this one among them.
        """
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan, math.nan, tuple(values))
        quantile = float(stdtrit(len(values) - 1, 1 - 0.025 / together))
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
        if math.isnan(self.low):
            return mean
        return f"{mean} ({low} to {high})" if has_width(self.to_json()) else f"{mean} (all alike)"


def has_width(found: Mapping[str, Any]) -> bool:
    """Whether an interval, as `to_json` wrote it, tells anything: values that happen to be alike leave it without a width."""
    low, high = found["low"], found["high"]
    return low is not None and high is not None and high - low > ALIKE
