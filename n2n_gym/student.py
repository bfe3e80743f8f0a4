"""A found student as a file: which teacher it comes from and the actions that lead there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from n2n_gym.architecture import Architecture, apply_removals, apply_shrinkages
from n2n_gym.errors import InputError
from n2n_gym.system.files import read_json, write_json


@dataclass(frozen=True)
class Student:
    """Teacher + actions; both stages' actions are lists with one number per decision.

    Attributes:
        teacher: The teacher's architecture.
        removals: Stage 1's actions; None if no layer-removal stage was run.
        shrinkages: Stage 2's actions, on what stage 1 left; None if no shrinkage stage was run.
    """

    teacher: Architecture
    removals: tuple[int, ...] | None = None
    shrinkages: tuple[int, ...] | None = None

    @cached_property
    def architecture(self) -> Architecture:
        """The student."""
        student = self.teacher
        if self.removals is not None:
            student = apply_removals(student, self.removals)
        if self.shrinkages is not None:
            student = apply_shrinkages(student, self.shrinkages)
        return student

    def save(self, path: Path, **facts: Any) -> None:
        """Write the student, its actions and any further facts."""
        data = {
            "teacher_fingerprint": self.teacher.fingerprint,
            "removals": _listed(self.removals),
            "shrinkages": _listed(self.shrinkages),
            "architecture": self.architecture.to_json(),
            **facts,
        }
        write_json(path, data)

    @classmethod
    def load(cls, path: Path, teacher: Architecture) -> Student:
        """Read a student of this teacher.

        Raises:
            InputError: If the file is missing, malformed, or of another teacher.
        """
        data = read_json(path, "student's file")
        try:
            removals, shrinkages = (_tuple(data[key]) for key in ("removals", "shrinkages"))
            if data["teacher_fingerprint"] != teacher.fingerprint:
                raise InputError(
                    f"{path} is a student of another teacher (other network, width, image size or classes); "
                    f"give the teacher that it was made from"
                )
            candidate = cls(teacher, removals, shrinkages)
            consistent = candidate.architecture == Architecture.from_json(data["architecture"])
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{path} is not a student's file: {type(error).__name__}: {error}") from None
        if not consistent:
            raise InputError(f"{path} was changed: its actions do not lead to its architecture")
        return candidate


def _listed(actions: Sequence[int] | None) -> list[int] | None:
    return None if actions is None else [int(action) for action in actions]


def _tuple(actions: list[int] | None) -> tuple[int, ...] | None:
    return None if actions is None else tuple(actions)
