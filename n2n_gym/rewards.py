"""Evaluation -> reward: pure functions (section 3.3, appendix 11)."""

from __future__ import annotations

from collections.abc import Callable

from n2n_gym.errors import by_name
from n2n_gym.evaluation import Evaluation

DEGENERATE = -1.0
"""The reward of a student that is degenerate or could not be trained (section 3.3)."""

Reward = Callable[[Evaluation], float]


def paper_reward(evaluation: Evaluation) -> float:
    """R = C (2 - C) A / A_teacher, and -1 for a degenerate student (section 3.3).

    Compression bends down towards C = 1, so accuracy counts for more than compression does. The value lies below 1
    unless the student is more accurate than its teacher.
    """
    if evaluation.reason:
        return DEGENERATE
    compression = evaluation.compression
    return compression * (2.0 - compression) * evaluation.relative_accuracy


def naive_reward(evaluation: Evaluation) -> float:
    """R = C A / A_teacher, and -1 for a degenerate student: the symmetric form that appendix 11.1 warns of."""
    if evaluation.reason:
        return DEGENERATE
    return evaluation.compression * evaluation.relative_accuracy


def accuracy_reward(evaluation: Evaluation) -> float:
    """R = A / A_teacher, and -1 for a degenerate student: for searches with limits, which say how small it must be."""
    return DEGENERATE if evaluation.reason else evaluation.relative_accuracy


def compression_reward(evaluation: Evaluation) -> float:
    """R = C, and -1 for a degenerate student: for searches with limits, which say how accurate it must be."""
    return DEGENERATE if evaluation.reason else evaluation.compression


def relaxed(reward: float, epsilon: float) -> float:
    """The reward of a student that exceeds a limit: epsilon (R + 1) - 1; -1 once the limits are hard (section 3.3.1).

    Args:
        reward: What it would get without limits.
        epsilon: epsilon_t in [0, 1].
    """
    return epsilon * (reward + 1.0) + DEGENERATE


REWARDS: dict[str, Reward] = {
    "paper": paper_reward,
    "naive": naive_reward,
    "accuracy": accuracy_reward,
    "compression": compression_reward,
}


def reward_by_name(name: str) -> Reward:
    """One of `REWARDS`.

    Raises:
        InputError: If the name is unknown.
    """
    return by_name("reward", name, REWARDS)
