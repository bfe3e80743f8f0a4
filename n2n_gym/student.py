"""A student: a teacher and the actions that lead from it; what it is, and where each of its layers comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from n2n_gym.architecture import Architecture, Cut, apply_shrinkages, cut, removed_layers
from n2n_gym.errors import InputError
from n2n_gym.system.documents import read_document, shown
from n2n_gym.system.files import write_json

Actions = Sequence[int]
"""Of a whole episode, one per decision."""


REMEDY = "if it is a run's, remove it: it is written again"
"""What to do about a damaged student's file."""


class _File(TypedDict):
    """A student's file; it may say more."""

    teacher_fingerprint: str
    removals: tuple[Annotated[int, msgspec.Meta(ge=0, le=1)], ...] | None
    shrinkages: tuple[Annotated[int, msgspec.Meta(ge=0, le=99)], ...] | None
    architecture: dict[str, Any]


@dataclass(frozen=True)
class Student:
    """Teacher + actions; both stages' actions are tuples with one number per decision.

    Attributes:
        teacher: The teacher's architecture.
        removals: Stage 1's actions; None if no layer was to be removed.
        shrinkages: Stage 2's actions, on what stage 1 left; None if none was to be shrunk.

    A student without actions is its teacher's architecture, to be trained anew.
    """

    teacher: Architecture
    removals: tuple[int, ...] | None = None
    shrinkages: tuple[int, ...] | None = None

    @property
    def edited(self) -> bool:
        """Whether any stage has made it of the teacher."""
        return self.removals is not None or self.shrinkages is not None

    def removed(self, actions: Actions) -> Student:
        """The student that stage 1's actions make of the teacher."""
        return replace(self, removals=tuple(map(int, actions)))

    def shrunk(self, actions: Actions) -> Student:
        """The student that stage 2's actions make of this one; they take the place of those that made it."""
        return replace(self, shrinkages=tuple(map(int, actions)))

    @cached_property
    def _edited(self) -> tuple[Architecture, tuple[int, ...]]:
        architecture, origins = self.teacher, tuple(range(len(self.teacher.nodes)))
        if self.removals is not None:
            architecture, origins = _cut(architecture, self.removals)
        if self.shrinkages is not None:
            architecture = apply_shrinkages(architecture, self.shrinkages)
        return architecture, origins

    @property
    def architecture(self) -> Architecture:
        """What it is."""
        return self._edited[0]

    @property
    def origins(self) -> tuple[int, ...]:
        """For each of its layers, the index of the teacher's layer that it comes from.

        Which of that layer's channels it has follows from the teacher's weights: those that inheriting keeps.
        """
        return self._edited[1]

    @cached_property
    def lineage(self) -> str:
        """64 hexadecimal digits that are equal for equal architectures whose layers have equal origins."""
        return hashlib.sha256(f"{self.architecture.fingerprint} {self.origins}".encode()).hexdigest()

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
        data = read_document(path, _File, "student's file", remedy=REMEDY)
        if data["teacher_fingerprint"] != teacher.fingerprint:
            raise InputError(
                f"{path} is a student of another teacher (other network, width, image size or classes); "
                f"give the teacher that it was made from"
            )
        student = cls(teacher, data["removals"], data["shrinkages"])
        try:
            consistent = student.architecture == Architecture.from_json(data["architecture"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a student's file: {shown(error)}; {REMEDY}") from None
        if not consistent:
            raise InputError(f"{path} was changed: its actions do not lead to its architecture; {REMEDY}")
        return student


@lru_cache(maxsize=1024)
def _cut(teacher: Architecture, removals: tuple[int, ...]) -> Cut:
    """What stage 1's actions leave; students that are shrunk differently have it in common."""
    return cut(teacher, removed_layers(teacher, removals))


def _listed(actions: Actions | None) -> list[int] | None:
    return None if actions is None else [int(action) for action in actions]
