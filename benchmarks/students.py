"""The students that benchmarks train: those of random stage-1 episodes, as a policy draws them before it has learned."""

from __future__ import annotations

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.envs.layer_removal import RemovalStage


def random_students(teacher: Architecture, count: int, seed: int = 0) -> list[Architecture]:
    """Distinct students that are not degenerate, from uniformly random removals.

    Args:
        teacher: Whose layers are removed.
        count: How many.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    stage = RemovalStage(teacher)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        actions = np.where(stage.masks, rng.random(stage.masks.shape), -1.0).argmax(1)
        student = stage.student(actions.tolist())
        if student.verdict(teacher).feasible:
            found[student.fingerprint] = student
    return list(found.values())
