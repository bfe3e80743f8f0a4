"""Where teachers come from: each source knows its own by how they are named."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from n2n_gym.architecture import Architecture, Variable
from n2n_gym.architecture.features import decision_rows
from n2n_gym.errors import InputError, unknown
from n2n_gym.layers import Shape
from n2n_gym.networks.imported import (
    Normalisation,
    OwnData,
    description,
    imported_architecture,
    imported_data,
    imported_names,
    imported_normalisation,
    is_damaged,
    is_imported,
)
from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.registry import Registry
from n2n_gym.system.documents import read_document


class TeacherSource(ABC):
    """A kind of teacher."""

    @property
    @abstractmethod
    def spellings(self) -> tuple[str, ...]:
        """How its teachers are named, for messages."""

    @abstractmethod
    def knows(self, teacher: str) -> bool:
        """Whether a teacher is named as this source names its own."""

    @abstractmethod
    def architecture(self, teacher: str, input_shape: Shape, classes: int, width: float) -> Architecture:
        """The teacher's architecture.

        Args:
            teacher: What it is called.
            input_shape: Channels, height and width of the images.
            classes: Outputs of its last layer.
            width: Factor on its filters.

        Raises:
            InputError: If there is no such teacher, or it does not fit.
        """

    def label(self, teacher: str, architecture: Architecture) -> str:
        """What the teacher is called in the names of files."""
        return teacher

    def weights(self, teacher: str) -> str:
        """A hash of the weights that it has already; empty for one that is trained here."""
        return ""

    def normalisation(self, teacher: str) -> Normalisation | None:
        """What its images go through; None if that is the data set's."""
        return None

    def own_data(self, teacher: str) -> OwnData:
        """The data that it is for, if no other is asked for."""
        return OwnData("digits")

    @property
    def trained_here(self) -> bool:
        """Whether its teachers are trained by this package.

        Others are in the folder of saved teachers, under their names, as `n2n teacher import` keeps them.
        """
        return True


class ZooSource(TeacherSource):
    """Networks of the zoo."""

    @property
    def spellings(self) -> tuple[str, ...]:
        return tuple(ZOO)

    def knows(self, teacher: str) -> bool:
        return teacher in ZOO

    def architecture(self, teacher: str, input_shape: Shape, classes: int, width: float) -> Architecture:
        return network(teacher, input_shape, classes, width=width)


class ArchitectureFile(TeacherSource):
    """Architectures of the user's own, in `.json` files."""

    @property
    def spellings(self) -> tuple[str, ...]:
        return ("an architecture's .json file",)

    def knows(self, teacher: str) -> bool:
        return teacher.endswith(".json")

    def architecture(self, teacher: str, input_shape: Shape, classes: int, width: float) -> Architecture:
        path = Path(teacher).expanduser()
        if width != 1:
            raise InputError(f"width is for networks of the zoo; {path} says its own filters, so leave width at 1")
        data: dict[str, Any] = read_document(path, dict[str, Any], "architecture")
        try:
            found = Architecture.from_json(data.get("architecture", data))  # a sample of students holds its teacher's
            if not found.verdict().feasible:
                raise InputError(f"the network cannot be built: {found.verdict()}")
            _ = decision_rows(found, range(len(found.nodes)), [Variable.LAYER] * len(found.nodes))
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
        if (found.input_shape[0], found.classes) != (input_shape[0], classes):
            raise InputError(
                f"{path} takes {found.input_shape[0]} channel(s) and tells {found.classes} classes apart; "
                f"the data set has {input_shape[0]} and {classes}"
            )
        return found

    def label(self, teacher: str, architecture: Architecture) -> str:
        return f"{Path(teacher).stem}-{architecture.fingerprint[:8]}"


class ImportedSource(TeacherSource):
    """Networks that were trained elsewhere, with their weights, by the names that they were given."""

    @property
    def spellings(self) -> tuple[str, ...]:
        return (*imported_names(), "an imported teacher (n2n teacher import)")

    def knows(self, teacher: str) -> bool:
        return is_imported(teacher) or is_damaged(teacher)  # then what is wrong with it is said

    def architecture(self, teacher: str, input_shape: Shape, classes: int, width: float) -> Architecture:
        return imported_architecture(teacher, input_shape, classes, width)

    def label(self, teacher: str, architecture: Architecture) -> str:
        return f"{teacher}-{self.weights(teacher)[:8]}"

    def weights(self, teacher: str) -> str:
        return str(description(teacher)["weights_sha256"])

    def normalisation(self, teacher: str) -> Normalisation | None:
        return imported_normalisation(teacher)

    def own_data(self, teacher: str) -> OwnData:
        return imported_data(teacher)

    @property
    def trained_here(self) -> bool:
        return False


SOURCES: Registry[TeacherSource] = Registry("teacher source")
SOURCES.register("zoo", ZooSource())
SOURCES.register("file", ArchitectureFile())
SOURCES.register("imported", ImportedSource())


def source_of(teacher: str) -> TeacherSource:
    """The source that a teacher comes from.

    Raises:
        InputError: If none knows it.
    """
    for _ in range(2):
        for source in SOURCES.values():
            if source.knows(teacher):
                return source
        SOURCES.load_offered()  # only then: it reads what is installed
    raise unknown("teacher", teacher, itertools.chain.from_iterable(source.spellings for source in SOURCES.values()))
