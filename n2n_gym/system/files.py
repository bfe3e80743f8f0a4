"""Where files live, and writing them so that a reader never sees half of one."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown


def home() -> Path:
    """The folder of data sets and teachers: `$N2N_HOME`, or the platform's cache folder for `n2n_gym`."""
    return Path(os.environ.get("N2N_HOME") or platformdirs.user_cache_dir("n2n_gym", appauthor=False)).expanduser()


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that means the same in every working folder."""
    return str(Path(path).expanduser().absolute())


DESCRIPTION = "model.json"
"""In a saved network's folder: all that there is to say besides the weights."""


def teachers_folder() -> Path:
    """Where teachers are kept, a folder each."""
    return home() / "teachers"


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def remedy_of(error: OSError) -> str:
    """What a user does about an error of the system."""
    if error.errno in NO_ROOM:
        return "make room there; what was finished is kept, and the same command goes on"
    if error.errno in FORBIDDEN:
        return "allow writing there, or choose another place; what was finished is kept, and the same command goes on"
    return "what was finished is kept, and the same command goes on when this is mended"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While something is written: an error of the system becomes one line with the remedy.

    Raises:
        InputError: If there is no room, or nothing may be written there.
    """
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) and PART not in error.filename else path
        raise InputError(f"{where} cannot be written: {error.strerror or error}; {remedy_of(error)}") from error


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """While no other process has this lock file's lock; missing folders are made.

    Args:
        path: The lock file.
        wait: Whether to wait for it.

    Yields:
        Whether the lock is ours: without waiting, another process may have it.

    Raises:
        InputError: If nothing may be written there.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        with suppress(Timeout):
            lock.acquire(blocking=wait)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def state_of(path: Path) -> tuple[int, ...]:
    """What differs between a file and whatever it is replaced by, also where that has the same size or a time that was set.

    Raises:
        OSError: If there is none.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


class OwnFolder:
    """A new folder that goes with whoever holds it, and when the process ends that made it.

    Args:
        purpose: Part of its name.

    Attributes:
        path: Where it is.
        remove: Removes it, once.

    Raises:
        InputError: If there is no room, or nothing may be written where the system has such folders.
    """

    def __init__(self, purpose: str) -> None:
        with writing(Path(os.environ.get("TMPDIR", os.sep))):
            self.path = Path(tempfile.mkdtemp(prefix=f"n2n-{purpose}-"))
        self.remove = weakref.finalize(self, _remove_own, self.path, os.getpid())


def _remove_own(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a process that was forked has the folder of its parent
        shutil.rmtree(folder, ignore_errors=True)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file beside `path`, then move it there in one step; missing folders are made.

    Raises:
        InputError: If there is no room, or nothing may be written there.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = part_of(path)
        try:
            write(part)
            _keep(part)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def write_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a new folder beside `path`, then move it there in one step; there must be none yet.

    Raises:
        InputError: If there is no room, or nothing may be written there.
    """
    with writing(path):
        part = part_of(path)
        part.mkdir(parents=True)
        try:
            write(part)
            for each in part.iterdir():
                _keep(each)
            part.rename(path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _keep(file: Path) -> None:
    """Have the system put a file on the disk now: else one that was moved may be empty after a power loss."""
    if file.is_file():
        with file.open("rb") as there:
            os.fsync(there.fileno())


PART = ".n2n-part-"
"""Names of half-written files and folders begin like this."""


def part_of(path: Path) -> Path:
    """A new name beside `path` for what is still being written."""
    return path.with_name(f"{PART}{uuid.uuid4().hex}-{path.name}")


def unfinished_training(folder: Path) -> Path:
    """Where a training is written down that will fill a folder."""
    return folder.with_name(f".{folder.name}.training.safetensors")


def sweep(folder: Path, name: str = "") -> None:
    """Remove what a killed process was just writing in a folder: all of it, or the parts of one file or folder."""
    for part in folder.glob(f"{PART}*-{glob.escape(name)}" if name else f"{PART}*"):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, data: object) -> None:
    """Write JSON, indented, in one step.

    Raises:
        ValueError: If a number in it is infinite or NaN, which JSON has not.
        InputError: If a text in it is no Unicode, such as a file's name in another encoding: it could not be read back.
    """
    text = json.dumps(data, indent=2, allow_nan=False)
    if r"\ud" in text:  # half of a character, perhaps without the other half
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            odd = shown(repr(error.object[max(error.start - 20, 0) : error.end + 20]))
            raise InputError(f"{path} cannot be written: {odd} is no UTF-8; rename what is called so") from None
    write_text(path, text + "\n")
