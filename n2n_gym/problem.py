"""What is to be compressed: a teacher network and a data set, named. Nothing here trains or downloads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from n2n_gym.architecture import Architecture
from n2n_gym.data import DatasetSpec, DataSettings, check_train_size, dataset_spec, is_folder, is_named
from n2n_gym.errors import InputError
from n2n_gym.networks.imported import Normalisation
from n2n_gym.networks.sources import source_of
from n2n_gym.settings import values_of


@dataclass(frozen=True)
class TeacherSettings:
    """Which teacher on which images, as arguments and options."""

    teacher: str = "conv4"
    """Network of the zoo (conv4, vgg11, vgg13, vgg16, vgg19, resnet18, resnet34, resnet50, resnet101, resnet152, conv2,
    conv3, dscnn2, resnet4, resnet6), an architecture's .json file, or the name of an imported teacher; in Python, a trained
    torch module, too."""
    dataset: str | None = None
    """digits, mnist, fashion-mnist, cifar10, cifar100, svhn, caltech256, or your own: a folder of images with one for each
    class, a .npz file, or what was added under a name (n2n_gym.data.add). By default what an imported teacher was imported
    with, for others digits."""
    width: float = 1.0
    """Factor on the filters of a network of the zoo."""
    train_size: int | None = None
    """Number of images that teacher and students are trained on; all by default."""


@dataclass(frozen=True)
class ProblemSettings(DataSettings, TeacherSettings):
    """What is compressed, as arguments and options; the teacher's come first."""

    @cached_property
    def problem(self) -> Problem:
        """Teacher and data, found.

        Raises:
            InputError: If a name is unknown, a file malformed or a number out of range.
        """
        own = source_of(self.teacher).own_data(self.teacher)
        dataset = own.dataset if self.dataset is None else self.dataset
        if dataset is None:
            raise InputError(f"{self.teacher} was imported without a data set; say which its students are trained on: dataset")
        if self.dataset is None and not is_named(dataset) and not Path(dataset).exists():
            raise InputError(f"{self.teacher} was imported with {dataset}, which is not there; say where it is: dataset")
        size = own.image_size if self.image_size is None and is_folder(dataset) else self.image_size
        return Problem(**values_of(self, ProblemSettings) | {"dataset": dataset, "image_size": size})


@dataclass(frozen=True)
class Problem(ProblemSettings):
    """A teacher and its data.

    Raises:
        InputError: If a name is unknown, a file malformed or a number out of range.
    """

    dataset: str = "digits"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_train_size(self.train_size, self.dataset, classes=self.data.classes)
        _ = self.architecture, self.normalisation  # kept: another machine may lack the files

    @cached_property
    def data(self) -> DatasetSpec:
        """What is known of the data set."""
        return dataset_spec(self.dataset, self)

    @cached_property
    def architecture(self) -> Architecture:
        """The teacher's architecture, for this data set's images and classes."""
        return source_of(self.teacher).architecture(self.teacher, self.data.input_shape, self.data.classes, self.width)

    @cached_property
    def normalisation(self) -> Normalisation:
        """Mean and deviation that the images of the teacher and of its students go through."""
        return source_of(self.teacher).normalisation(self.teacher) or (self.data.mean, self.data.std)

    @property
    def trained_here(self) -> bool:
        """Whether the teacher is trained by this package; one that was imported brings its weights along."""
        return source_of(self.teacher).trained_here

    @cached_property
    def own_normalisation(self) -> str:
        """A hash of the mean and deviation that the teacher brings along; empty where they are the data set's own.

        Images are normalised in float32, so numbers that are equal there are equal. What else becomes of them follows from
        the architecture and the data set: to what size they are brought.
        """
        both = self.normalisation, (self.data.mean, self.data.std)
        own, data = (np.array(numbers, np.float32).tolist() for numbers in both)
        return "" if own == data else sha256(json.dumps(own).encode()).hexdigest()

    @cached_property
    def identity(self) -> str:
        """What the teacher is: its architecture, and the weights and the normalisation that it brings along."""
        weights = source_of(self.teacher).weights(self.teacher)
        return " ".join(filter(None, (self.architecture.fingerprint, weights, self.own_normalisation)))

    def check_teacher(self, identity: str, what: object) -> None:
        """Refuse what is of another imported teacher than this one.

        Args:
            identity: The `identity` that was written down; empty in files that do not say it, which may be of any teacher.
            what: Whose it is, for the message.

        Raises:
            InputError: Then.
        """
        if identity and not self.trained_here and identity != self.identity:
            raise InputError(f"{what} is of a teacher of other weights, or with another mean and std, than {self.teacher}")

    @cached_property
    def name(self) -> str:
        """The teacher's name among the saved ones: network, width, data set and number of images."""
        teacher, dataset = source_of(self.teacher).label(self.teacher, self.architecture), self.data.label
        width = "" if self.width == 1 else f"-w{self.width:g}"
        size = "" if self.train_size is None else f"-n{self.train_size}"
        return re.sub(r"^\.|[^\w.-]", "_", f"{teacher}{width}-{dataset}{size}")
