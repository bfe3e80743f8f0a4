"""Which of a search's students are trained to convergence, and which of those is the student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.search.history import Episode, front, furthest
from agents.search.options import Search
from n2n_gym.architecture import FACTORS, shrink_decisions
from n2n_gym.evaluation import Evaluation
from n2n_gym.layers import Variable
from n2n_gym.student import Student


def finalists(history: Sequence[Episode], count: int) -> list[Episode]:
    """The students that are worth their final training: the most rewarded among those that none beats on both counts.

    The search's rewards are noisy. Students on the front of accuracy and parameters differ in size, so that one of them is
    better than the others once all are trained to convergence.

    Args:
        history: Every student that was tried.
        count: How many, at most.
    """
    best = front([episode for episode in furthest(history).values() if not episode.reason], "parameters")
    return sorted(best, key=lambda episode: (-episode.reward, episode.fingerprint))[:count]


def by_final_limits(history: Sequence[Episode], search: Search, start: Student | None = None) -> list[Episode]:
    """The history with every student held to the limits that the end result must keep.

    Stage 1 leaves `headroom` to stage 2, so what kept its limits may still exceed these.

    Args:
        history: Students that were tried.
        search: Who tried them.
        start: What it started from, where that is known without the files that the search names.
    """
    if search.stages_alike:
        return list(history)
    first = search.start if start is None else start

    def excess(episode: Episode) -> float:
        return max(episode.excess, _oversize(episode.candidate(first), search))

    return [replace(e, excess=excess(e)) if e.stage == 1 and not e.reason else e for e in history]


def unsearched(search: Search, parameters: int) -> Student | None:
    """What nobody has to search for: the teacher with the filters of all its layers shrunk alike, as little as may be.

    Args:
        search: Whose limits it keeps, as far as sizes tell.
        parameters: It has at most so many.

    Returns:
        It; None where stage 2 is not run, or no such student is feasible.
    """
    if "2" not in search.stages.split("+"):
        return None
    decisions = shrink_decisions(search.start.architecture)
    largest = len(FACTORS) - 1
    for factor in reversed(range(largest)):
        student = search.start.shrunk([factor if d.variable is Variable.OUTPUTS else largest for d in decisions])
        kept = student.architecture.parameters <= parameters and not _oversize(student, search)
        if kept and student.architecture.verdict(student.teacher).feasible:
            return student
    return None


def _oversize(student: Student, search: Search) -> float:
    """The largest share by which a student exceeds a limit on sizes, whatever its accuracy; 0 if it keeps all."""
    size = Evaluation.of(student.architecture, student.teacher, accuracy=0.0, teacher_accuracy=1.0)
    return search.limits.of_sizes.excess(size)


TIE = 1e-3
"""Final rewards that differ by less are equal: the accuracy on 6,000 validation images has a standard error twice as large."""


def winner(rewards: Sequence[float], parameters: Sequence[int]) -> int:
    """Which finalist is the student: the smallest of those whose rewards equal the highest, but for `TIE`."""
    least = max(rewards) - TIE
    tied = [index for index, reward in enumerate(rewards) if reward > least]
    return min(tied, key=lambda index: (parameters[index], -rewards[index]))
