"""A data set's arrays in a file or folder: `x_train`, `x_test` (uint8, N x H x W x C), `y_train`, `y_test` (integers, N)."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from n2n_gym.errors import InputError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Arrays = dict[str, npt.NDArray[np.generic]]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

FAULTS = (OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error)
"""How numpy fails at a damaged file."""


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
    try:
        if path.is_dir():
            files = {each.stem: each for each in path.glob("*.npy")}
            found = {name: np.load(files[name], "c", allow_pickle=False) for name in (*names, *optional) if name in files}
        else:
            with np.load(path, allow_pickle=False) as file:
                present = [name for name in (*names, *optional) if name in file.files]
                maps = {name: _mapped(path, file.zip.getinfo(f"{name}.npy")) for name in present}
                found = {name: file[name] if maps[name] is None else maps[name] for name in present}
    except FAULTS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as a .npz data set ({reason}); write it again with numpy.savez") from None
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path} lacks {', '.join(missing)}; a data set has {', '.join(ARRAYS)}")
    return found


_LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a file in a zip archive: the lengths of its name and of what follows the name."""


def _mapped(path: Path, member: zipfile.ZipInfo) -> npt.NDArray[np.generic] | None:
    """An array of bytes that a `.npz` file holds uncompressed, mapped; None for any other."""
    if member.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(member.header_offset)
        file.seek(sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))), 1)
        if np.lib.format.read_magic(file) != (1, 0):
            return None
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype != np.uint8 or fortran or 0 in shape:
            return None
        return np.memmap(path, dtype, "c", file.tell(), shape)


def check_labels(path: Path, name: str, images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> None:
    """Refuse labels that are not a whole number for each image.

    Raises:
        InputError: If so; it names the file and the array.
    """
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        remedy = f"; write {name}.argmax(1)" if labels.ndim == 2 and len(labels) == len(images) else ""
        shape = f"integers of shape ({len(images)},)"
        raise InputError(f"{path}: {name} must be {shape}, not {labels.dtype} of shape {labels.shape}{remedy}")


def digest(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """A hash of arrays: their names, shapes, types and values."""
    found = sha256()
    for name, array in arrays.items():
        found.update(f"{name} {array.shape} {array.dtype.str};".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
