"""The file of a data set: a `.npz` of `x_train`, `x_test` (uint8, N x H x W x C), `y_train`, `y_test` (integers, N)."""

from __future__ import annotations

import zipfile
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from n2n_gym.errors import InputError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[np.generic]]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_arrays(path: Path, names: tuple[str, ...]) -> Arrays:
    """Some arrays of a `.npz` file; nothing that is read can run code.

    Raises:
        InputError: If it cannot be read or lacks one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise InputError(f"{path} lacks {', '.join(missing)}; a data set has {', '.join(ARRAYS)}")
            return {name: file[name] for name in names}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as a .npz data set ({reason}); write it again with numpy.savez") from None


def check_labels(path: Path, name: str, images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> None:
    """Refuse labels that are not a whole number for each image.

    Raises:
        InputError: If so; it names the file and the array.
    """
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        shape = f"integers of shape ({len(images)},)"
        raise InputError(f"{path}: {name} must be {shape}, not {labels.dtype} of shape {labels.shape}")


def digest(images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> str:
    """A hash of images and labels."""
    found = sha256(np.ascontiguousarray(images).data)
    found.update(np.ascontiguousarray(labels).data)
    return found.hexdigest()
