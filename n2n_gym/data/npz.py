"""A data set's arrays in a file or folder: `x_train`, `x_test` (uint8, N x H x W x C), `y_train`, `y_test` (integers, N)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.errors import InputError
from n2n_gym.system.arrays import read_archive, read_array
from n2n_gym.system.files import home

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Arrays = dict[str, npt.NDArray[np.generic]]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_arrays(path: Path, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> Arrays:
    """Some arrays of a `.npz` file, or of a folder of `.npy` files; nothing that is read can run code.

    Images are mapped into memory where they are stored as they are, so that processes share them and none holds all of them.

    Args:
        path: The file or folder.
        names: What is wanted.
        optional: What is wanted if it is there.

    Raises:
        InputError: If it cannot be read or lacks one.
    """
    wanted = (*names, *optional)
    fetched = path.parent == home() / "datasets"
    remedy = "remove it to have it fetched again" if fetched else "write it again with numpy.savez"
    known: dict[str, Any] = {"what": ".npz data set", "remedy": remedy, "mapped": True}
    if path.is_dir():
        known["remedy"] = f"remove {path} to have the images converted again"
        files = {each.stem: each for each in path.glob("*.npy")}
        found: Arrays = {name: read_array(files[name], **known) for name in wanted if name in files}
    else:
        found = dict(read_archive(path, wanted, **known))
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path} lacks {', '.join(missing)}; a data set has {', '.join(ARRAYS)}")
    return found


def labels_of(path: Path, name: str, images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Labels:
    """Labels as a whole number for each image; a column of them, shape (N, 1), is as good, and so are truth values.

    Raises:
        InputError: If they are something else; it names the file and the array.
    """
    count = len(images)
    row = labels.ravel() if labels.shape == (count, 1) else labels
    if row.shape == (count,) and row.dtype.kind in "iub":
        if count and row.max() > np.iinfo(np.int64).max:  # it would become negative
            raise InputError(f"{path}: {name} must be numbers of classes, from 0, found {row.max()}")
        return row.astype(np.int64, copy=False)
    remedy = f"; {_remedy(name, row)}" if row.ndim and len(row) == count else ""
    raise InputError(
        f"{path}: {name} must be integers of shape ({count},), not {labels.dtype} of shape {labels.shape}{remedy}"
    )


def _remedy(name: str, labels: npt.NDArray[Any]) -> str:
    """How labels, one entry for each image, become whole numbers."""
    if labels.dtype.kind in "US":
        return f"number the classes: class_names, {name} = numpy.unique({name}, return_inverse=True), alike in all splits"
    if labels.ndim == 2 and np.allclose(labels.sum(1), 1):
        return f"write {name}.argmax(1)"
    if labels.ndim == 1 and np.array_equal(labels, np.floor(labels)):
        return f'write {name}.astype("int64")'
    return "give each image the number of its one class, from 0"


def digest(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """A hash of arrays: their names, shapes, types and values."""
    found = sha256()
    for name, array in arrays.items():
        found.update(f"{name} {array.shape} {array.dtype.str};".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
