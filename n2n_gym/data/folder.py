"""A folder of images, a class a folder, as torchvision's `ImageFolder` reads it: classes and images by name, in order."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from n2n_gym.data.kept import Part, Parts, keep, kept_folder, kept_spec
from n2n_gym.data.npz import Images, Rows
from n2n_gym.data.pixels import GREY, UnfitImageError, check_depth, picture
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.data.splits import TEST, TRAIN, VALIDATION, first
from n2n_gym.errors import InputError
from n2n_gym.system.progress import report

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of files that are images; others are passed over."""

SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
"""Folders that may stand above those of the classes, by what they hold."""

READING = 1
"""Raised when images are read differently, so that those kept before are not found."""

_log = logging.getLogger("n2n_gym")


class SizesDifferError(InputError):
    """The pictures of a folder differ in size, and it was not said what to bring them to."""


def folder_spec(path: Path, image_size: int | None) -> DatasetSpec:
    """What is known of a folder of images; they are converted first unless they were and nothing has changed.

    Args:
        path: The folder: one for each class in it, or `train`, `val` and `test` (the last two may be missing) with those.
        image_size: Height and width that the images are brought to; None if they all have one size.

    Raises:
        InputError: If there are no classes, one is empty, an image cannot be read or used, or sizes differ and none is given.
    """
    if image_size is not None and image_size < 1:
        raise InputError(f"image-size must be at least 1 pixel, not {image_size}")
    listing = _Listing.of(path)
    folder = kept_folder(listing.key(image_size))
    keep(folder, partial(_parts, listing, image_size), partial(_check, listing))
    return kept_spec(folder, str(path))


@dataclass(frozen=True)
class _Listing:
    """The images of a folder, by split and class.

    Attributes:
        root: The folder.
        files: For each split ("" where there is none), for each class: its images as paths within the folder, in order.
        stamps: Size in bytes and time of each image's last change.
    """

    root: Path
    files: dict[str, dict[str, list[str]]]
    stamps: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, root: Path) -> _Listing:
        """The images that are there now."""
        stamps: dict[str, tuple[int, int]] = {}
        files = {split: _classes(root, root / split, stamps) for split in _splits(root)}
        _check_names(root, [*(name for classes in files.values() for name in classes), *stamps])
        for split, classes in files.items():
            if not classes:
                raise InputError(f"{root / split} holds no folders; give each class a folder with its images")
            if empty := [name for name, names in classes.items() if not names]:
                raise InputError(
                    f"{root / split}: {len(empty)} class folders hold no images ({first(empty)}); "
                    f"images end in {', '.join(SUFFIXES)}; add some, or remove the folders"
                )
        known = next(iter(files.values()))
        for split, classes in files.items():
            if foreign := [name for name in classes if name not in known]:
                raise InputError(
                    f"{root / split} holds classes that {next(iter(files))} does not: {first(foreign)}; name them alike"
                )
        return cls(root, files, stamps)

    def key(self, image_size: int | None) -> str:
        """What these images are known by until they change."""
        text = json.dumps([READING, str(self.root), image_size, self.files, self.stamps])
        return sha256(text.encode()).hexdigest()[:32]

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of labels."""
        return tuple(next(iter(self.files.values())))

    def part(self, split: str, shape: tuple[int, int, int], size: int | None) -> Part:
        """The images of a split, brought to a shape (height, width, channels)."""
        label = {name: i for i, name in enumerate(self.class_names)}
        names = [file for files in self.files[split].values() for file in files]
        labels = [label[name] for name, files in self.files[split].items() for _ in files]
        return Part(_Pictures(self, names, shape, size), np.array(labels, np.int64), names)


def _splits(root: Path) -> list[str]:
    """The folders that stand above those of the classes: train first; [""] if there are none."""
    inside = sorted(each.name for each in _subfolders(root))
    given = {what: [name for name in inside if name.lower() in names] for what, names in SPLITS.items()}
    splits = [name for names in given.values() for name in names]
    full = [name for name in splits if _subfolders(root / name)]
    if not full:
        if splits and len(splits) == len(inside):
            raise InputError(f"{root} holds {first(splits)} with no folders in them; give each class a folder with its images")
        return [""]  # classes, of which one may be called train
    if not set(full) & set(given["train"]):
        raise InputError(
            f"{root} holds {first(full)} with folders in it, but no train/ with class folders; put the training images there, "
            f"or, if {full[0]} is a class, its images straight into it"
        )
    if others := sorted(set(inside) - set(splits)):
        raise InputError(f"{root} holds {full[0]}/ with classes in it, and beside it {first(others)}; move those elsewhere")
    for what, names in given.items():
        if len(names) > 1:
            raise InputError(f"{root} holds {what} images twice: {first(names)}; keep one")
    return splits


def _held(split: str) -> str:
    """What a split's folder holds: one of `SPLITS`."""
    return next((what for what, names in SPLITS.items() if split.lower() in names), "train")


def _subfolders(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")]


def _check_names(root: Path, names: Iterable[str]) -> None:
    """Refuse folders and files whose names could not be written down."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{root}: rename {name!r}: its name is no UTF-8") from None


def _walked(folder: Path) -> list[tuple[str, list[str]]]:
    """A folder and all in it with their files, in order; what begins with a dot is passed over.

    Raises:
        InputError: If a link leads back to a folder that it lies in, so that its images would count several times.
    """
    found = []
    above = {str(folder.parent): frozenset(map(_identity, folder.parents))}  # of each folder: those on the way to it, and it
    for place, folders, names in os.walk(folder, followlinks=True):
        way, this = above[os.path.dirname(place)], _identity(place)  # noqa: PTH120
        if this in way:
            link = next((each for each in (Path(place), *Path(place).parents) if each.is_symlink()), Path(place))
            raise InputError(f"{link} leads back to a folder that it lies in ({link.resolve()}); remove the link")
        above[place] = way | {this}
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.append((place, sorted(name for name in names if not name.startswith("."))))
    return sorted(found)


def _identity(folder: str | Path) -> tuple[int, int]:
    """What a folder is known by, whichever way leads to it."""
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _classes(root: Path, split: Path, stamps: dict[str, tuple[int, int]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder in sorted(_subfolders(split), key=lambda each: each.name):
        report(f"listing the images of {folder.name}")
        files = found[folder.name] = []
        for place, names in _walked(folder):
            for name in names:
                if name.lower().endswith(SUFFIXES):
                    file = os.path.join(place, name)  # noqa: PTH118  a Path for each of a million images takes long
                    try:
                        status = os.stat(file)  # noqa: PTH116
                    except OSError as error:
                        raise InputError(f"{file} cannot be read: {error.strerror}; mend or remove it") from None
                    if not stat.S_ISREG(status.st_mode):  # a pipe, say, that would be waited for
                        raise InputError(f"{file} cannot be read: it is no file; remove it")
                    files.append(file[len(str(root)) + 1 :].replace(os.sep, "/"))
                    stamps[files[-1]] = (status.st_size, status.st_mtime_ns)
    return found


@dataclass
class _Pictures:
    """Image files that are decoded when they are asked for.

    Attributes:
        listing: Where they come from.
        names: Their paths within the folder.
        shape: Height, width and channels that they are brought to.
        size: Height and width that they are brought to; None if they all have them.
        faults: What is wrong with those that could not be read.
    """

    listing: _Listing
    names: list[str]
    shape: tuple[int, int, int]
    size: int | None
    faults: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Rows) -> Images:
        images = np.zeros((len(rows), *self.shape), np.uint8)
        for i, row in enumerate(rows):
            try:
                with _opened(self.listing.root / self.names[row]) as image:
                    images[i] = picture(image, self.size, channels=self.shape[2])
            except Exception as error:  # each format's decoder fails in its own way
                with self._lock:
                    self.faults[self.names[row]] = _reason(error)
        return images


def _parts(listing: _Listing, size: int | None) -> Parts:
    names = list(listing.stamps)
    _log.warning("converting the %d images in %s, once", len(names), listing.root)
    modes: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    faults: dict[str, str] = {}
    for count, name in enumerate(names):
        report("looking at image", count, len(names))
        try:
            with _opened(listing.root / name) as image:  # only its header is read
                check_depth(image)
                modes[name], sizes[name] = image.mode, image.size
        except Exception as error:  # each format's decoder fails in its own way
            faults[name] = _reason(error)
    _refuse(listing, faults)
    height, width = (size, size) if size is not None else _one_size(listing, sizes)
    grey = sum(mode in GREY for mode in modes.values())
    if 0 < grey < len(names):
        _log.warning(
            "%d of the %d images in %s are grey: they are kept as RGB, like the others", grey, len(names), listing.root
        )
    shape = (height, width, 1 if grey == len(names) else 3)
    parts = {_held(split): listing.part(split, shape, size) for split in listing.files}
    return Parts(str(listing.root), shape, listing.class_names, parts["train"], parts.get("validation"), parts.get("test"))


def _one_size(listing: _Listing, sizes: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Height and width of all images."""
    examples: dict[tuple[int, int], str] = {}
    for name, each in sizes.items():
        examples.setdefault(each, name)
    if len(examples) > 1:
        shown = " and ".join(f"{width} x {height} ({name})" for (width, height), name in list(examples.items())[:2])
        raise SizesDifferError(
            f"the images in {listing.root} have {len(examples)} sizes, such as {shown}; bring them to a square: "
            "say its side in pixels with image-size"
        )
    [(width, height)] = examples
    return height, width


def _check(listing: _Listing, parts: Parts) -> None:
    """Refuse images that turned out to be unfit when they were read, and a folder that changed meanwhile."""
    given = [part.images for part in (parts.train, parts.validation, parts.test) if part is not None]
    _refuse(listing, {name: why for images in given if isinstance(images, _Pictures) for name, why in images.faults.items()})
    if _Listing.of(listing.root) != listing:
        raise InputError(f"the images in {listing.root} changed while they were read; start again when they do not")


def _refuse(listing: _Listing, faults: dict[str, str]) -> None:
    if faults:
        named = [f"{name} ({faults[name]})" for name in listing.stamps if name in faults]
        raise InputError(f"{len(faults)} of the {len(listing.stamps)} images in {listing.root} cannot be used: {first(named)}")


def _reason(error: Exception) -> str:
    if isinstance(error, UnfitImageError):
        return str(error)
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "no readable image; mend or remove it" if said.startswith("cannot identify") else f"{said}; mend or remove it"


def _opened(path: Path) -> Image:
    from PIL import Image as Pictures

    return Pictures.open(path)
