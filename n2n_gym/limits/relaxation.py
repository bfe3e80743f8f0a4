"""How limits tighten while an agent learns (section 3.3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from n2n_gym.errors import InputError, unknown


@dataclass(frozen=True)
class Relaxation:
    """epsilon_t: a student that exceeds a limit gets epsilon_t (R + 1) - 1 instead of its reward R (section 3.3.1).

    At policy update t, epsilon_t = (1 - t / updates) ** power, and 0 from then on. The default is the authors' code's.

    Attributes:
        updates: From this policy update on, limits are hard; 0 makes them hard from the start.
        power: How fast they tighten.
    """

    updates: int = 15
    power: float = 4.0

    def __post_init__(self) -> None:
        if self.updates < 0 or not 0 < self.power < math.inf:
            raise InputError(f"a relaxation takes at least 0 updates and a power above 0, not {self.updates}, {self.power:g}")

    def __str__(self) -> str:
        return f"relaxed:{self.updates}:{self.power!r}" if self.updates else "hard"

    def __call__(self, update: int) -> float:
        """epsilon_t in [0, 1] for t = `update`, from 0."""
        return (1.0 - update / self.updates) ** self.power if update < self.updates else 0.0


Schedule = Callable[[int], float]
"""epsilon_t as a function of the policy updates done; falls from 1 to 0."""

RELAXATIONS = ("hard", "relaxed", "relaxed:UPDATES", "relaxed:UPDATES:POWER")


def relaxation(text: str) -> Relaxation:
    """A schedule from text: `hard`, `relaxed` (the default of `Relaxation`), `relaxed:30` or `relaxed:30:2`.

    Raises:
        InputError: If it is none of these.
    """
    word, *numbers = text.split(":")
    try:
        if word == "hard" and not numbers:
            return Relaxation(updates=0)
        if word == "relaxed" and len(numbers) <= 2:
            return Relaxation(*(convert(number) for convert, number in zip((int, float), numbers, strict=False)))
    except InputError:
        raise
    except ValueError:
        pass
    raise unknown("relaxation", text, RELAXATIONS)
