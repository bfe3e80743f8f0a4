"""The stages of Algorithm 1: decisions, actions, edits."""

from __future__ import annotations

from collections.abc import Callable

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.registry import Registry
from n2n_gym.stages.base import Stage
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage

__all__ = ["STAGES", "RemovalStage", "ShrinkStage", "Stage", "stage_by_name"]

STAGES: Registry[Callable[[Architecture], Stage]] = Registry("stage")
"""Stages by name, each made from the network that its episodes start from."""
STAGES.register(RemovalStage.name, RemovalStage)
STAGES.register(ShrinkStage.name, ShrinkStage)


def stage_by_name(name: str, teacher: Architecture, architecture: str | None = None) -> Stage:
    """The decisions of one of `STAGES`.

    Args:
        name: `removal` or `shrink`.
        teacher: The teacher.
        architecture: With `shrink`, file of the student that episodes start from; by default the teacher itself.

    Raises:
        InputError: If the name is unknown, or there is an architecture without a use for it.
    """
    kind, _ = STAGES.look_up(name)
    if architecture is None:
        return kind(teacher)
    if kind is not ShrinkStage:
        raise InputError("an architecture to start from is for stage shrink; removals start from the teacher")
    return ShrinkStage.of_file(teacher, architecture)
