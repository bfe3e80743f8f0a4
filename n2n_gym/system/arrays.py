"""Numpy's arrays in `.npz` and `.npy` files: what a file says of itself is checked before any memory is asked for.

Nothing that is read can run code.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown
from n2n_gym.system.files import home, write_text

Array = npt.NDArray[Any]

FAULTS = (
    *(OSError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, MemoryError, OverflowError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error, struct.error, SyntaxError),
)
"""How numpy and zipfile fail at a damaged file; RuntimeError covers what is nested too deeply or encrypted."""

PLAIN = "biufUS"
"""Kinds of arrays that are read: numbers and texts."""

_UNREAD = {"O": 'objects, which could run code; .astype("int64") makes them numbers, .astype(str) texts'}
"""What is said of other kinds."""

DENSEST, LIGHT = 200, 1 << 28
"""An archive that unpacks to more than `LIGHT` bytes and to so many times its size is refused: pictures are packed a tenth as
densely, and a few megabytes could fill any memory."""

_LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a file in a zip archive: the lengths of its name and of what follows the name."""


@dataclass(frozen=True)
class _Header:
    """What an array's file says of itself."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int

    @classmethod
    def of(cls, file: IO[bytes], size: int) -> _Header:
        """The header at the beginning of a file.

        Args:
            file: It; afterwards it stands where the array's values begin.
            size: Its bytes.

        Raises:
            ValueError: If it does not fit the file's size, or is of something else than numbers or texts.
        """
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"arrays of format {version[0]}.{version[1]} are not read")
        try:
            shape, fortran, dtype = readers[version](file)
        except Exception as error:  # it is read as Python's source, which fails in many ways
            raise ValueError(f"an array's header cannot be read: {shown(error)}") from None
        found = cls(shape, fortran, dtype, file.tell())
        if dtype.kind not in PLAIN:
            raise ValueError(_UNREAD.get(dtype.kind, f"an array of {dtype} holds no numbers"))
        if any(type(side) is not int or side < 0 for side in shape):
            raise ValueError("an array's shape is no list of whole numbers")
        if found.length + math.prod(map(int, shape)) * dtype.itemsize != size:
            raise ValueError(f"an array of shape {shape} and {dtype} does not have {size:,} bytes")
        return found


def read_archive(
    path: Path, names: Sequence[str] | None = None, *, what: str, remedy: str, mapped: bool = False
) -> dict[str, Array]:
    """Some arrays of a `.npz` file.

    Args:
        path: The file.
        names: Those that are wanted, if they are there; all by default.
        what: What the file is called in messages.
        remedy: What to do if it is damaged, for the message.
        mapped: Map bytes that are stored as they are into memory instead of reading them, so that processes share them.

    Raises:
        InputError: If the file is missing, damaged, or unpacks to far more than any true one would.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = {name: info for name, info in members.items() if names is None or name in names}
            _check_density(path, list(wanted.values()))
            found = {}
            for name, info in wanted.items():
                try:
                    array = _mapped(path, archive, info) if mapped else None
                    found[name] = _unpacked(archive, info) if array is None else array
                except ValueError as error:  # which does not say where; zipfile's errors do
                    raise ValueError(f"{name}: {shown(error)}") from None
            return found
    except FAULTS as error:
        raise _damaged(path, what, error, remedy) from None


def read_array(path: Path, *, what: str, remedy: str, mapped: bool = False) -> Array:
    """The array in a `.npy` file; arguments as of `read_archive`.

    Raises:
        InputError: If the file is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            header = _Header.of(file, path.stat().st_size)
            if mapped and 0 not in header.shape:
                return _map(path, header, header.length)
            return _values(file, header)
    except FAULTS as error:
        raise _damaged(path, what, error, remedy) from None


def made_map(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """A new `.npy` file of bytes, mapped into memory to be filled; its room on the disk is taken at once.

    Without that, a disk that fills up while the map is written to would kill the process.

    Raises:
        OSError: If there is no room.
    """
    made: np.memmap[Any, np.dtype[np.uint8]] = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate") and path.stat().st_size:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return made


def check_once(name: str, files: Sequence[Path], check: Callable[[], object]) -> None:
    """Have the bytes of files checked, unless they were since one of them last changed: for large files it takes seconds.

    `$N2N_HOME` remembers it, so that other processes need not check them again.

    Args:
        name: What is checked; a later check under the same name takes the place of this one.
        files: Where its bytes are.
        check: Raises what is wrong with them.
    """

    def checked() -> str:
        check()
        return ""

    found_once(name, files, checked)


def found_once(name: str, files: Sequence[Path], find: Callable[[], str]) -> str:
    """What is found out of the bytes of files, unless it was since one of them last changed.

    Args:
        name: What is found; as for `check_once`, which remembers in the same place.
        files: Where the bytes are.
        find: Finds it, or raises what is wrong with them.
    """
    stats = [file.stat() for file in files]
    state = json.dumps([name, *((stat.st_size, stat.st_mtime_ns) for stat in stats)])
    mark = home() / "checked" / sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]
    with suppress(OSError):
        text = mark.read_bytes().decode(errors="replace")
        known = text.removeprefix(state).rpartition(" ")[0]
        if text == _remembered(state, known):
            return known
    found = find()
    with suppress(InputError):  # where nothing may be written, it is found each time
        write_text(mark, _remembered(state, found))
    return found


def _remembered(state: str, found: str) -> str:
    """What is written down of files in some state; what was found has a checksum."""
    return f"{state}{found} {sha256(f'{state}{found}'.encode()).hexdigest()}" if found else state


def _check_density(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members):
        raise ValueError("it is packed as numpy does not")
    packed, unpacked = path.stat().st_size, sum(info.file_size for info in members)
    if unpacked > max(LIGHT, DENSEST * packed):
        raise ValueError(f"its {packed:,} bytes unpack to {unpacked:,}")


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as file:
        return _values(file, _Header.of(file, info.file_size))


def _values(file: IO[bytes], header: _Header) -> Array:
    """What follows a header that fits its file."""
    flat = np.empty(math.prod(map(int, header.shape)), header.dtype)
    target = flat.view(np.uint8).data if flat.nbytes else memoryview(b"")
    done = 0
    while done < len(target):
        piece = file.read(min(len(target) - done, 1 << 22))
        if not piece:
            raise EOFError("it ends too early")
        target[done : done + len(piece)] = piece
        done += len(piece)
    if file.read(1):
        raise ValueError("it goes on too long")
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _mapped(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array | None:
    """Bytes that an archive holds as they are, mapped; None for anything else.

    Nothing looks at the checksum of what is mapped, so it is looked at before.
    """
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        file.seek(sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))), 1)
        begin = file.tell()
        if begin + info.file_size > path.stat().st_size:
            raise EOFError("it ends too early")
        member = _Within(file, begin)
        header = _Header.of(member, info.file_size)  # type: ignore[arg-type]
        if header.dtype != np.uint8 or header.fortran or 0 in header.shape:
            return None
    check_once(f"{path.absolute()} {info.filename}", [path], lambda: _read_through(archive, info))
    return _map(path, header, begin + header.length)


def _read_through(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Read all bytes of a file in an archive, at whose end zipfile compares them with their checksum."""
    with archive.open(info) as file:
        while file.read(1 << 20):
            pass


class _Within:
    """A file from some place on."""

    def __init__(self, file: IO[bytes], begin: int) -> None:
        self._file, self._begin = file, begin

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell() - self._begin


def _map(path: Path, header: _Header, offset: int) -> Array:
    return np.memmap(path, header.dtype, "c", offset, header.shape, "F" if header.fortran else "C")


def _damaged(path: Path, what: str, error: BaseException, remedy: str) -> InputError:
    return InputError(f"{path} cannot be read as a {what} ({shown(error)}); {remedy}")
