"""Images and labels of a data set, and which of them are for training and which for validation (section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from n2n_gym.data.kept import kept_names
from n2n_gym.data.npz import Images, Labels, Rows, digest, labels_of, read_arrays
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.data.splits import check_classes, drawn_split, first_of_each, given_split, validation_rows
from n2n_gym.errors import InputError
from n2n_gym.system.arrays import found_once
from n2n_gym.system.progress import report

FINGERPRINT = "2-"
"""How fingerprints begin that cover all of a data set; before, they covered its training images alone."""


@dataclass(frozen=True)
class Dataset:
    """A data set whose file has been checked; the arrays are read when asked for.

    Attributes:
        spec: What is known of it without its images.
        path: Its `.npz` file, or the folder of its arrays.
    """

    spec: DatasetSpec
    path: Path

    @cached_property
    def train(self) -> tuple[Images, Labels]:
        """All training images and their labels, validation included."""
        return self._read("train")

    @cached_property
    def test(self) -> tuple[Images, Labels]:
        """The test images and their labels, which no search may see."""
        return self._read("test")

    @cached_property
    def parts(self) -> tuple[Rows, Rows]:
        """Rows of all training images that are for training, in the order in which fewer are taken, and for validation.

        Raises:
            InputError: If a class has no images for one of them, or it cannot be told which are for what.
        """
        train, validation = self._assigned()
        labels, source = self.train[1], self.spec.validation or str(self.path)
        check_classes(source, labels[train], labels[validation], self.spec.classes, self.spec.class_names)
        return train, validation

    def _assigned(self) -> tuple[Rows, Rows]:
        labels = self.train[1]
        if self.spec.validation:
            names = kept_names(self.path)
            return given_split(labels, validation_rows(Path(self.spec.validation), names, labels, self.spec.class_names))
        if self.spec.validation_given:
            rows = read_arrays(self.path, ("validation",))["validation"]
            if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows) or rows.min() < 0 or rows.max() >= len(labels):
                raise InputError(f"{self.path} is damaged; remove it to have the images converted again")
            return given_split(labels, rows.astype(np.intp))
        return drawn_split(labels, self.spec.validation_share)

    def split(self, train_size: int | None = None) -> tuple[Rows, Rows]:
        """Indices of the training and of the validation images: disjoint, stratified by class, always the same.

        Args:
            train_size: How many images to train on, of each class at least one; all but the validation images by default.
                The validation split does not depend on it.

        Raises:
            InputError: If there are not that many training images, fewer than three, or more classes than `train_size`.
        """
        train, validation = self.parts
        if len(train) < 2:
            images = len(train) + len(validation)
            raise InputError(f"{self.path} has {images} training images; at least 3 are needed, one of them for validation")
        if train_size is None:
            return train, validation
        labels = self.train[1][train]
        check_train_size(train_size, self.spec.name, len(train), len(np.unique(labels)))
        return train[first_of_each(labels, train_size)], validation

    @cached_property
    def fingerprint(self) -> str:
        """A hash of its images and labels, their shape, which are for what, and how they are shown in training."""
        content = self.spec.content or found_once(f"{self.path.absolute()} content", [self.path], self._content)
        return FINGERPRINT + sha256(f"{content} {self.spec.digest}".encode()).hexdigest()

    def _content(self) -> str:
        """A hash of all images and labels; every program that needs it would read the whole file for it."""
        report(f"checking the images of {self.spec.name}")
        (x_train, y_train), (x_test, y_test) = self.train, self.test
        return digest({"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test})

    def _read(self, split: str) -> tuple[Images, Labels]:
        arrays = read_arrays(self.path, (f"x_{split}", f"y_{split}"))
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        channels, height, width = self.spec.input_shape
        if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
            raise InputError(
                f"{self.path}: x_{split} must be uint8 of shape (N, {height}, {width}, {channels}), "
                f"not {images.dtype} of shape {images.shape}"
            )
        labels = labels_of(self.path, f"y_{split}", images, labels)
        if len(images) == 0:
            raise InputError(f"{self.path}: x_{split} holds no images")
        if labels.min() < 0 or labels.max() >= self.spec.classes:
            raise InputError(
                f"{self.path}: labels in y_{split} must lie in 0 ... {self.spec.classes - 1}, "
                f"found {labels.min()} ... {labels.max()}"
            )
        return images.astype(np.uint8, copy=False), labels


def check_train_size(train_size: int | None, name: str, available: int | None = None, classes: int = 1) -> None:
    """Refuse a number of training images that is not positive or not there, or that leaves a class without any.

    Raises:
        InputError: If so.
    """
    if train_size is None:
        return
    if train_size < (least := max(2, classes)):
        whose = f", one of each class of {name}" if classes > 2 else ""
        raise InputError(f"train-size must be at least {least} images{whose}, not {train_size}; leave it out to use all")
    if available is not None and train_size > available:
        raise InputError(f"train-size {train_size:,} is more than the {available:,} training images of {name}")
