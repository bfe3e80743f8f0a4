"""Data sets that a program adds under a name: any map-style torch `Dataset`."""

from __future__ import annotations

import operator
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from n2n_gym.data.kept import FACTS, Part, Parts, keep, kept_spec, text_names
from n2n_gym.data.known import DATASETS
from n2n_gym.data.npz import Images
from n2n_gym.data.pixels import UnfitImageError, pixels_of
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.errors import InputError, unknown
from n2n_gym.system.arrays import made_map
from n2n_gym.system.documents import shown
from n2n_gym.system.files import home, locked, part_of, sweep, writing
from n2n_gym.system.progress import report


def add(
    train: Any, test: Any = None, *, name: str, validation: Any = None, class_names: Sequence[str] | None = None
) -> DatasetSpec:
    """Keep a data set under a name, by which it is found from then on: `dataset="mine"`, `--dataset mine`.

    Each data set is map-style, as torch's and torchvision's: it has a length, and pairs of an image and a label by number.
    Images are PIL images, or tensors or arrays of shape (C, H, W) or (H, W, C), uint8 or floating-point in [0, 1], all of one
    size: resize in the data set's transform, and leave random changes and normalisation out of it. Labels are integers
    from 0. Adding the same images again does nothing.

    Args:
        train: Training images.
        test: Test images; by default a share of the training images is held out for testing.
        name: Letters, digits, and `.`, `-`, `_`.
        validation: Validation images; by default they are drawn from the training images.
        class_names: A name for each label; by default the training data set's `classes`, if it has them.

    Raises:
        InputError: If the name is taken or malformed, an image or label cannot be used, or a class has too few images.
    """
    if not re.fullmatch(r"\w[\w.-]*", name) or name.endswith(".npz") or name in DATASETS:
        raise InputError(
            f"{name!r} cannot be a data set's name: use letters, digits and . - _, and none of {', '.join(DATASETS)}"
        )
    names = _names(train, class_names)
    folder = _folder(name)
    given = {"train": train, "validation": validation, "test": test}
    with _scratch(folder) as scratch:
        parts = {split: _part(data, split, scratch) for split, data in given.items() if data is not None}
        made = _parts(name, parts, names)
        if not folder.exists():
            return kept_spec(keep(folder, lambda: made), name)
        there, again = kept_spec(folder, name), kept_spec(keep(scratch / "again", lambda: made), name)
        if (there.content, there.class_names) != (again.content, again.class_names):
            raise InputError(f"there is another data set {name}; choose another name, or n2n_gym.data.remove({name!r}) first")
        return there


def remove(name: str) -> None:
    """Forget an added data set, and delete its images.

    Raises:
        InputError: If none was added under that name.
    """
    if name not in added_names():
        raise unknown("added data set", name, added_names() or ["none yet"])
    shutil.rmtree(_folder(name))


def added_names() -> list[str]:
    """Names of the data sets that were added, in alphabetical order."""
    return sorted(path.parent.name for path in _folder("").glob(f"*/{FACTS}") if not path.parent.name.startswith("."))


def added_spec(name: str) -> DatasetSpec:
    """What is known of an added data set, one of `added_names()`."""
    return kept_spec(_folder(name), name)


def _folder(name: str) -> Path:
    return home() / "datasets" / "added" / name


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for what is read off a data set in Python, where there is room for it; nothing of it stays."""
    place = folder.with_name(f"{folder.name}.reading")
    with locked(folder.parent / f".{place.name}.lock"):
        sweep(folder.parent, place.name)
        scratch = part_of(place)
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch)


def _part(data: Any, split: str, scratch: Path) -> Part:
    """Read a data set once, image after image, into a file."""
    try:
        count = len(data)
    except TypeError:
        raise InputError(f"{split} has no length; give a map-style data set, not an iterable one") from None
    if not hasattr(data, "__getitem__"):
        raise InputError(f"{split} gives no item by its number; give a map-style data set")
    if count == 0:
        raise InputError(f"{split} holds no images")
    images: Images | None = None
    labels = np.empty(count, np.int64)
    for i in range(count):
        report(f"reading {split}, image", i, count)
        pixels, labels[i] = _item(data, split, i)
        if images is None:
            with writing(scratch):
                images = made_map(scratch / f"{split}.npy", (count, *pixels.shape))
        if pixels.shape != images.shape[1:]:
            raise InputError(
                f"image {i} of {split} has height, width and channels {pixels.shape}, image 0 {images.shape[1:]}; "
                f"bring them to one size in the transform"
            )
        images[i] = pixels
    assert images is not None
    return Part(images, labels)


def _item(data: Any, split: str, index: int) -> tuple[Images, int]:
    item = data[index]
    try:
        if isinstance(item, Mapping):  # it would unpack to its keys
            raise TypeError
        image, label = item
    except (TypeError, ValueError):
        what = f"no pair of an image and a label, but {type(item).__name__}"
        raise InputError(f"item {index} of {split} is {what}; give a data set whose items are (image, label)") from None
    try:
        number = operator.index(label.item() if hasattr(label, "item") else label)
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors of several numbers fail in their own ways
        remedy = "; give its argmax, if just one of its numbers is 1" if getattr(label, "ndim", 0) else ""
        raise InputError(f"the label of image {index} of {split} is no integer, but {shown(repr(label))}{remedy}") from None
    if not 0 <= number <= np.iinfo(np.int64).max:
        raise InputError(f"labels count from 0; image {index} of {split} has {number}")
    try:
        return pixels_of(image), number
    except UnfitImageError as error:
        raise InputError(f"image {index} of {split} cannot be used: {error}") from None


def _names(train: Any, given: Any) -> tuple[str, ...]:
    """A name for each label, from a list, an array, or whatever else has them one by one; nothing where there are none."""
    names = getattr(train, "classes", None) if given is None else given
    if isinstance(names, Iterable) and not isinstance(names, str):
        return text_names(names)
    if given is not None:
        raise InputError(f"class_names must be a name for each label, from 0, not {shown(repr(given))}")
    return ()


def _parts(name: str, parts: dict[str, Part], names: tuple[str, ...]) -> Parts:
    shapes = {split: part.images[np.arange(1)].shape[1:] for split, part in parts.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{shape} in {split}" for split, shape in shapes.items())
        raise InputError(f"images differ in height, width and channels ({listed}); bring them to one size in the transform")
    height, width, channels = shapes["train"]
    shape = (height, width, channels)
    return Parts(name, shape, names, parts["train"], parts.get("validation"), parts.get("test"))
