"""A user's own file: what can be known of it is read off its training images."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from n2n_gym.data.dataset import Dataset
from n2n_gym.data.npz import ARRAYS, check_labels, digest, read_arrays
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.errors import InputError


@cache
def own_spec(path: str, _modified: int) -> DatasetSpec:
    """The specification of a file; one that was read before is not read again until it is modified.

    Raises:
        InputError: If it is malformed.
    """
    arrays = read_arrays(Path(path), ARRAYS)
    images, labels = arrays["x_train"], arrays["y_train"]
    if 0 in images.shape:
        raise InputError(f"{path}: x_train holds no images: its shape is {images.shape}")
    if images.ndim != 4 or images.dtype != np.uint8:
        raise InputError(f"{path}: x_train must be uint8 of shape (N, H, W, C), not {images.dtype} of shape {images.shape}")
    check_labels(Path(path), "y_train", images, labels)
    if labels.min() < 0 or labels.max() >= len(labels):
        raise InputError(f"{path}: labels in y_train must count from 0, found {labels.min()} ... {labels.max()}")
    absent = np.setdiff1d(np.arange(int(labels.max()) + 1), labels)
    if len(absent):
        raise InputError(
            f"{path}: labels in y_train must be 0 to {labels.max()} with images of each; none has label {absent[0]}"
        )
    _, height, width, channels = images.shape
    counts = [
        np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size for channel in range(channels)
    ]
    values = np.arange(256) / 255
    mean = [float(share @ values) for share in counts]
    std = [max(float(share @ (values - m) ** 2) ** 0.5, 1e-3) for share, m in zip(counts, mean, strict=True)]
    spec = DatasetSpec(
        path,
        (channels, height, width),
        int(labels.max()) + 1,
        tuple(mean),
        tuple(std),
        images=len(images),
        digest=digest(images, labels.astype(np.int64)),
    )
    dataset = Dataset(spec, Path(path))
    _ = dataset.train, dataset.test  # every fault is said before anything is trained
    return spec
