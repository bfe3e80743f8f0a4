"""The stages of Algorithm 1: decisions, actions, edits."""

from __future__ import annotations

from pathlib import Path

from n2n_gym.architecture import Architecture
from n2n_gym.registry import Registry
from n2n_gym.stages.base import Stage
from n2n_gym.stages.both import BothStages
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.student import Student

__all__ = ["STAGES", "BothStages", "RemovalStage", "ShrinkStage", "Stage", "stage_by_name"]

STAGES: Registry[type[Stage]] = Registry("stage")
"""Stages by name, each made from what its episodes start from."""
STAGES.register(RemovalStage.name, RemovalStage)
STAGES.register(ShrinkStage.name, ShrinkStage)
STAGES.register(BothStages.name, BothStages)


def stage_by_name(name: str, teacher: Architecture, start: str | None = None, *, lookahead: bool = True) -> Stage:
    """The decisions of one of `STAGES`.

    Args:
        name: `removal`, `shrink` or `both`.
        teacher: The teacher.
        start: File of the student that episodes start from; by default the teacher itself.
        lookahead: As of `Stage`.

    Raises:
        InputError: If the name is unknown, the file is no student's of this teacher, or the stage cannot start from it.
    """
    kind, _ = STAGES.look_up(name)
    student = Student(teacher) if start is None else Student.load(Path(start).expanduser(), teacher)
    return kind(student, lookahead=lookahead)
