"""Which images are for training, which for validation, which for testing (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from n2n_gym.data.npz import Labels, Rows
from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown

TRAIN, VALIDATION, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
"""What a folder may be called that stands above those of the classes, in small or capital letters."""

TEST_SHARE = 0.2
"""Share of a user's images that is held out for testing where the user gave no test images."""


def stratified_order(labels: Labels) -> Rows:
    """A fixed random order of all images such that every stretch of it holds the classes in proportion."""
    rng = np.random.default_rng(0)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        rank[of_class] = (np.arange(len(of_class)) + rng.random()) / len(of_class)
    return np.argsort(rank, kind="stable")


def test_split(labels: Labels) -> tuple[Rows, Rows]:
    """Images that stay for training and those that are held out for testing, in ascending order: stratified, always the same.

    Classes of fewer than three images have none for testing.

    Raises:
        InputError: If all classes are so small.
    """
    order = stratified_order(labels)
    large = order[np.bincount(labels)[labels[order]] >= 3]
    test = np.sort(large[: max(1, round(len(order) * TEST_SHARE))])
    if len(test) == 0:
        raise InputError(
            f"there are {len(labels)} images, too few to hold some out for testing; give 3 of each class, or test images"
        )
    return np.setdiff1d(np.arange(len(labels)), test), test


def drawn_split(labels: Labels, share: float) -> tuple[Rows, Rows]:
    """Training and validation images: disjoint, stratified, always the same.

    Every class of at least two images has one for validation, even if the share alone would leave it none.

    Args:
        labels: Of all of them.
        share: How many are for validation.
    """
    order = stratified_order(labels)
    held_out = max(1, round(len(order) * share))
    chosen, left = order[:held_out], order[held_out:]
    classes, first = np.unique(labels[left], return_index=True)
    missing = ~np.isin(classes, labels[chosen]) & (np.bincount(labels)[classes] > 1)
    moved = np.sort(first[missing])
    return np.delete(left, moved), np.concatenate([chosen, left[moved]])


def given_split(labels: Labels, validation: Rows) -> tuple[Rows, Rows]:
    """The same, with validation images that the user chose; training images in the order of `stratified_order`."""
    order = stratified_order(labels)
    return order[~np.isin(order, validation)], validation


def first_of_each(labels: Labels, count: int) -> Rows:
    """The first so many images, in order; of a class that would come later, its first takes the place of another's last.

    Args:
        labels: Of all of them.
        count: How many; at least one for each class.
    """
    classes_first = np.unique(labels, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(labels)), classes_first)
    return np.sort(np.concatenate([classes_first, others[: count - len(classes_first)]]))


def validation_rows(file: Path, names: Sequence[str], labels: Labels, class_names: Sequence[str]) -> Rows:
    """The training images that a text file names for validation, one a line.

    Args:
        file: It; empty lines do not count.
        names: What the user calls each training image; empty if they have only numbers.
        labels: Of all training images.
        class_names: What each label stands for; empty where it is not known.

    Raises:
        InputError: If it names none, all, all of a class, one twice, or one that there is not.
    """
    images = len(labels)
    lines = list(filter(None, map(str.strip, _text(file).splitlines())))
    where = {name: row for row, name in enumerate(names)}
    where |= {name.partition("/")[2]: row for row, name in enumerate(names) if name.partition("/")[0].lower() in TRAIN}
    found = [where.get(line, _number(line, images)) for line in lines]  # no path is a number: it has the folder of a class
    if unknown := [shown(line) for line, row in zip(lines, found, strict=True) if row is None]:
        kinds = f"such as {names[0]}, or numbers" if names else "numbers"
        raise InputError(
            f"{file} names {len(unknown)} images that are not among the training images: {first(unknown)}; "
            f"known are {kinds} from 0 to {images - 1}"
        )
    rows = np.array(found, np.intp)
    if len(np.unique(rows)) < len(rows):
        raise InputError(f"{file} names {len(rows) - len(np.unique(rows))} images twice; name each once")
    if not 0 < len(rows) <= images - 2:
        raise InputError(f"{file} names {len(rows)} of {images} training images for validation; leave at least 2 for training")
    if used := np.setdiff1d(labels, np.delete(labels, rows)).tolist():
        classes = f"{len(used)} classes ({_called(used, class_names)})"
        raise InputError(f"{file} names all images of {classes} for validation; leave one of each for training")
    return np.sort(rows)


def _number(line: str, images: int) -> int | None:
    """The number that a line says; None if there is no image of that number."""
    if not line.isdecimal() or len(digits := line.lstrip("0")) > len(str(images)):
        return None
    return row if (row := int(digits or "0")) < images else None


def _text(file: Path) -> str:
    try:
        text = read_validation(file).decode("utf-8-sig")  # Windows begins a text with a mark
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # as in UTF-16
        raise InputError(f"{file} is no UTF-8 text; save it as UTF-8")
    return text


def read_validation(file: Path) -> bytes:
    """The bytes of such a file.

    Raises:
        InputError: If it cannot be read, or not twice.
    """
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{file} is no file; validation images are read several times, so write them to one")
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"no validation images at {file}: {error.strerror}") from None


def check_classes(source: str, train: Labels, validation: Labels | None, classes: int, names: Sequence[str]) -> None:
    """Refuse classes that nothing could be learned or said about.

    Args:
        source: Where the images come from, for messages.
        train: Labels of the training images; without `validation`, the validation images are drawn from them.
        validation: Labels of the validation images.
        classes: How many there are.
        names: What they are called; by numbers if empty.

    Raises:
        InputError: If there is one class only, or one has no image for training or none for validation.
    """
    if classes < 2:
        raise InputError(f"{source} has only one class, so there is nothing to tell apart; give at least two")
    least = 2 if validation is None else 1
    needs = [(train, least, f"too few training images; each needs {least}" + ", one of them for validation" * (least - 1))]
    if validation is not None:
        needs.append((validation, 1, "no validation image; add one of each"))
    for labels, number, what in needs:
        which = np.flatnonzero(np.bincount(labels, minlength=classes) < number).tolist()
        if which:
            raise InputError(f"{source}: {len(which)} of {classes} classes ({_called(which, names)}) have {what}")


def _called(labels: Sequence[int], names: Sequence[str]) -> str:
    """The first of some classes, for messages."""
    return first([names[label] if names else f"label {label}" for label in labels])


def first(names: Sequence[str]) -> str:
    """The first five of some names, for messages."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
