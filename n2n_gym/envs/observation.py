"""What an agent observes."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from n2n_gym.architecture.features import HIGH
from n2n_gym.stages.base import Stage

Observation = dict[str, Any]


def observation_space(decisions: int, *, previous_of: int | None) -> spaces.Dict:
    """The space of the observations of an environment.

    Args:
        decisions: Length of an episode.
        previous_of: How many actions there are, if the previous action is observed.
    """
    rows = np.tile(HIGH, decisions)  # one row after the other: SB3's checker frowns on two dimensions
    space: dict[str, spaces.Space[Any]] = {
        "architecture": spaces.Box(np.zeros_like(rows), rows, dtype=np.float32),
        "layer": spaces.Box(np.zeros_like(HIGH), HIGH, dtype=np.float32),
        "position": spaces.Discrete(decisions + 1),
    }
    if previous_of is not None:
        space["previous_action"] = spaces.Discrete(previous_of + 1)
    return spaces.Dict(space)


def space_of(stage: Stage) -> spaces.Dict:
    """The space of the observations in a stage."""
    return observation_space(stage.decisions, previous_of=stage.actions if stage.shows_previous_action else None)
