"""What is to be compressed: a teacher network and a data set, named. Nothing here trains or downloads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from n2n_gym.architecture import Architecture, Variable
from n2n_gym.architecture.features import decision_rows
from n2n_gym.data import DATASETS, DatasetSpec, check_train_size, dataset_spec
from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import network
from n2n_gym.system.files import read_json


@dataclass(frozen=True)
class Problem:
    """A teacher and its data.

    Attributes:
        teacher: A network of the zoo by name, or the path of an architecture's `.json` file.
        dataset: A data set by name, or the path of a `.npz` file.
        width: Factor on the zoo network's filters.
        train_size: How many images teacher and students are trained on; all by default.

    Raises:
        InputError: If a name is unknown, a file malformed or a number out of range.
    """

    teacher: str = "conv4"
    dataset: str = "digits"
    width: float = 1.0
    train_size: int | None = None

    def __post_init__(self) -> None:
        check_train_size(self.train_size, self.dataset)
        _ = self.architecture

    @cached_property
    def data(self) -> DatasetSpec:
        """What is known of the data set."""
        return dataset_spec(self.dataset)

    @cached_property
    def architecture(self) -> Architecture:
        """The teacher's architecture, for this data set's images and classes."""
        if self.teacher.endswith(".json"):
            return self._own_architecture(Path(self.teacher).expanduser())
        return network(self.teacher, self.data.input_shape, self.data.classes, width=self.width)

    @cached_property
    def name(self) -> str:
        """The teacher's name among the saved ones: network, width, data set and number of images."""
        teacher, dataset = self.teacher, self.dataset
        if teacher.endswith(".json"):
            teacher = f"{Path(teacher).stem}-{self.architecture.fingerprint[:8]}"
        if dataset not in DATASETS:
            dataset = f"{Path(dataset).stem}-{self.data.digest[:8]}"
        width = "" if self.width == 1 else f"-w{self.width:g}"
        size = "" if self.train_size is None else f"-n{self.train_size}"
        return re.sub(r"^\.|[^\w.-]", "_", f"{teacher}{width}-{dataset}{size}")

    def _own_architecture(self, path: Path) -> Architecture:
        if self.width != 1:
            raise InputError(f"width is for networks of the zoo; {path} says its own filters, so leave width at 1")
        data = read_json(path, "architecture")
        try:
            architecture = Architecture.from_json(data)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
        if not architecture.verdict().feasible:
            raise InputError(f"{path}: the network cannot be built: {architecture.verdict()}")
        try:
            _ = decision_rows(architecture, range(len(architecture.nodes)), [Variable.LAYER] * len(architecture.nodes))
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
        if (architecture.input_shape[0], architecture.classes) != (self.data.input_shape[0], self.data.classes):
            raise InputError(
                f"{path} takes {architecture.input_shape[0]} channel(s) and tells {architecture.classes} classes apart; "
                f"{self.dataset} has {self.data.input_shape[0]} and {self.data.classes}"
            )
        return architecture
