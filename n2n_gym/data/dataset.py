"""Images and labels of a data set, and which of them are for training and which for validation (section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from n2n_gym.data.npz import Images, Labels, check_labels, digest, read_arrays
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """A data set whose file has been checked; the arrays are read when asked for.

    Attributes:
        spec: What is known of it without its images.
        path: Its `.npz` file.
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

    def split(self, train_size: int | None = None) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Indices of the training and of the validation images: disjoint, stratified by class, always the same.

        Args:
            train_size: How many images to train on; all but the validation images by default. The validation
                split does not depend on it.

        Raises:
            InputError: If there are not that many training images, or fewer than three.
        """
        order = stratified_order(self.train[1])
        held_out = max(1, round(len(order) * self.spec.validation_share))
        available = len(order) - held_out
        if available < 2:
            raise InputError(
                f"{self.path} has {len(order)} training images; at least 3 are needed, one of them for validation"
            )
        check_train_size(train_size, self.spec.name, available)
        return order[held_out : held_out + (train_size or available)], order[:held_out]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the training images and labels."""
        return digest(*self.train)

    def _read(self, split: str) -> tuple[Images, Labels]:
        arrays = read_arrays(self.path, (f"x_{split}", f"y_{split}"))
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        channels, height, width = self.spec.input_shape
        if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
            raise InputError(
                f"{self.path}: x_{split} must be uint8 of shape (N, {height}, {width}, {channels}), "
                f"not {images.dtype} of shape {images.shape}"
            )
        check_labels(self.path, f"y_{split}", images, labels)
        if len(images) == 0:
            raise InputError(f"{self.path}: x_{split} holds no images")
        if labels.min() < 0 or labels.max() >= self.spec.classes:
            raise InputError(
                f"{self.path}: labels in y_{split} must lie in 0 ... {self.spec.classes - 1}, "
                f"found {labels.min()} ... {labels.max()}"
            )
        return images.astype(np.uint8, copy=False), labels.astype(np.int64, copy=False)


def stratified_order(labels: Labels) -> npt.NDArray[np.intp]:
    """A fixed random order of all images such that every stretch of it holds the classes in proportion."""
    rng = np.random.default_rng(0)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        rank[of_class] = (np.arange(len(of_class)) + rng.random()) / len(of_class)
    return np.argsort(rank, kind="stable")


def check_train_size(train_size: int | None, name: str, available: int | None = None) -> None:
    """Refuse a number of training images that is not positive or not there.

    Raises:
        InputError: If so.
    """
    if train_size is None:
        return
    if train_size < 2:
        raise InputError(f"train-size must be at least 2 images, not {train_size}; leave it out to use all")
    if available is not None and train_size > available:
        raise InputError(f"train-size {train_size:,} is more than the {available:,} training images of {name}")
