"""A user's images, kept as uint8 arrays in `$N2N_HOME/datasets`: converted once, then mapped into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt

from n2n_gym.data.npz import Arrays, Images, Labels, Rows, digest, read_arrays
from n2n_gym.data.spec import OWN, DatasetSpec
from n2n_gym.data.splits import check_classes, test_split
from n2n_gym.errors import InputError
from n2n_gym.system.arrays import check_once, made_map
from n2n_gym.system.documents import Positive, Sha256, Share, read_document
from n2n_gym.system.files import home, locked, sweep, write_folder, write_json
from n2n_gym.system.progress import report

FACTS = "dataset.json"
NAMES = "names.json"

_log = logging.getLogger("n2n_gym")

MOST_NAMES = 1 << 30
"""Bytes of a list of images: of ten millions, say."""

BLOCK = 64
"""Images that one thread converts at a time."""


class _Facts(TypedDict):
    """What is written of kept images."""

    input_shape: tuple[Positive, Positive, Positive]
    classes: Annotated[int, msgspec.Meta(ge=2)]
    class_names: tuple[str, ...]
    images: Positive
    mean: tuple[Share, ...]
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...]
    content: Sha256
    validation_given: bool
    test_held_out: bool


class Pixels(Protocol):
    """Images that are read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> Images:
        """The images of these rows, shape (n, H, W, C)."""


@dataclass(frozen=True)
class Part:
    """Images that belong together.

    Attributes:
        images: They.
        labels: A label for each.
        names: What the user calls each; empty where they have only numbers.
    """

    images: Pixels
    labels: Labels
    names: Sequence[str] = ()

    @property
    def rows(self) -> Rows:
        """All of them."""
        return np.arange(len(self.labels))


@dataclass(frozen=True)
class Parts:
    """All that a user gave.

    Attributes:
        source: Where they come from, for messages.
        shape: Height, width and channels of each image.
        class_names: A name for each label, from 0; empty where there are none.
        train: Training images.
        validation: Validation images, if the user gave some.
        test: Test images; without them a share of the training images is held out, and no network sees them.

    Raises:
        InputError: If labels do not count classes from 0, the training images lack one, or it is not each that has a name.
    """

    source: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: Part
    validation: Part | None = None
    test: Part | None = None

    def __post_init__(self) -> None:
        for split, part in {"training": self.train, "validation": self.validation, "test": self.test}.items():
            if part is not None:
                self._check_labels(split, part.labels)
        if len(self.class_names) not in (0, self.classes):
            raise InputError(
                f"{self.source}: there are {len(self.class_names)} class names for {self.classes} classes; "
                f"give one for each label"
            )
        if len(absent := np.setdiff1d(np.arange(self.classes), self.train.labels)):
            wanted = f"0 to {self.classes - 1} with images of each"
            raise InputError(f"{self.source}: training labels must be {wanted}; none has label {absent[0]}")

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.train.labels.max()) + 1

    def _check_labels(self, split: str, labels: Labels) -> None:
        """Refuse labels that are no numbers of classes, before anything is counted by them: they may be as large as IDs."""
        least, most = labels.min(), labels.max()
        if least < 0 or most >= len(self.train.labels):
            raise InputError(
                f"{self.source}: {split} labels must count classes from 0, found {least} ... {most}; number the classes"
            )
        if most >= self.classes:
            raise InputError(f"{self.source}: {split} labels must lie in 0 ... {self.classes - 1}, found {least} ... {most}")


def keep(folder: Path, made: Callable[[], Parts], check: Callable[[Parts], object] = lambda _parts: None) -> Path:
    """Convert a user's images into a folder unless it is there; of several processes that want it, one converts.

    Args:
        folder: Where they are kept.
        made: The images; called if they are needed.
        check: Raises what came to light while they were read; then nothing is kept.

    Raises:
        InputError: If a class has too few images, or `made` or `check` says so.
    """
    if not folder.exists():
        with locked(folder.parent / f".{folder.name}.lock"):
            if not folder.exists():
                sweep(folder.parent, folder.name)
                write_folder(folder, lambda part: _write(part, made(), check))
    return folder


def kept_spec(folder: Path, name: str) -> DatasetSpec:
    """What is known of kept images.

    Args:
        folder: Where they are.
        name: What the user calls them.

    Raises:
        InputError: If the folder is damaged.
    """
    remedy = f"remove {folder} to have the images converted again"
    facts = read_document(folder / FACTS, _Facts, "kept data set", remedy=remedy)
    channels, named = facts["input_shape"][0], len(facts["class_names"])
    fits = len(facts["mean"]) == len(facts["std"]) == channels and named in (0, facts["classes"])
    if not fits or facts["classes"] > facts["images"]:
        raise InputError(f"{folder / FACTS} is damaged; {remedy}")
    return DatasetSpec(
        name,
        facts["input_shape"],
        facts["classes"],
        facts["mean"],
        facts["std"],
        teacher=OWN,
        images=facts["images"],
        class_names=facts["class_names"],
        store=str(folder),
        content=facts["content"],
        digest=facts["content"],
        validation_given=facts["validation_given"],
        test_held_out=facts["test_held_out"],
    )


def check_kept(spec: DatasetSpec) -> Path:
    """The folder of kept images, which must be those that were kept.

    Raises:
        InputError: If they are not.
    """
    folder = Path(spec.store)
    files = sorted(folder.glob("*.npy"))

    def check() -> None:
        report(f"checking the images of {spec.name}")
        if digest(read_arrays(folder, tuple(file.stem for file in files))) != spec.content:
            raise InputError(f"{folder} holds other images than were kept; remove it to have the images converted again")

    check_once(spec.store, files, check)
    return folder


def kept_names(folder: Path) -> list[str]:
    """What the user calls each of the kept training images; nothing where they have only numbers.

    Raises:
        InputError: If the list is damaged.
    """
    if not (folder / NAMES).exists():
        return []
    remedy = f"remove {folder} to have the images converted again"
    return read_document(folder / NAMES, list[str], "list of images", remedy=remedy, largest=MOST_NAMES)


def text_names(names: Iterable[Any]) -> tuple[str, ...]:
    """Names of classes as texts; an array may have them as bytes.

    Raises:
        InputError: If they are bytes of no UTF-8.
    """
    try:
        return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    except UnicodeDecodeError as error:
        raise InputError(f"class_names has {error.object!r}, which is no UTF-8; give texts") from None


def kept_folder(key: str) -> Path:
    """Where images are kept that are known by a key."""
    return home() / "datasets" / "kept" / key


Chosen = list[tuple[Part, Rows]]
"""Images of some parts, one part after the other."""


def _write(folder: Path, parts: Parts, check: Callable[[Parts], object]) -> None:
    train, validation, test = _assigned(parts)
    train_labels, validation_labels = _labels(train), None if parts.validation is None else _labels(validation)
    classes = parts.classes
    check_classes(parts.source, train_labels, validation_labels, classes, parts.class_names)
    for split, chosen in (("train", train + validation), ("test", test)):
        _write_images(folder / f"x_{split}.npy", chosen, parts.shape)
        np.save(folder / f"y_{split}.npy", _labels(chosen))
    check(parts)
    if validation_labels is not None:
        np.save(folder / "validation.npy", len(train_labels) + np.arange(len(validation_labels)))
    if parts.train.names:
        write_json(folder / NAMES, [part.names[row] for part, rows in train + validation for row in rows])
    arrays: Arrays = {file.stem: np.load(file, "r") for file in sorted(folder.glob("*.npy"))}
    height, width, channels = parts.shape
    mean, std = _statistics(arrays["x_train"])
    facts: dict[str, Any] = {
        "input_shape": [channels, height, width],
        "classes": classes,
        "class_names": list(parts.class_names),
        "images": len(arrays["x_train"]),
        "mean": mean,
        "std": std,
        "content": digest(arrays),
        "validation_given": validation_labels is not None,
        "test_held_out": parts.test is None,
    }
    write_json(folder / FACTS, facts)


def _assigned(parts: Parts) -> tuple[Chosen, Chosen, Chosen]:
    """What is for training, for validation (nothing, if that is left to be drawn) and for testing."""
    validation: Chosen = [] if parts.validation is None else [(parts.validation, parts.validation.rows)]
    if parts.test is not None:
        return [(parts.train, parts.train.rows)], validation, [(parts.test, parts.test.rows)]
    _log.warning("%s has no test images: a share of the training images is held out for testing", parts.source)
    train, test = test_split(parts.train.labels)
    return [(parts.train, train)], validation, [(parts.train, test)]


def _labels(chosen: Chosen) -> Labels:
    return np.concatenate([part.labels[rows] for part, rows in chosen])


def _write_images(path: Path, chosen: Chosen, shape: tuple[int, int, int]) -> None:
    total = sum(len(rows) for _, rows in chosen)
    target = made_map(path, (total, *shape))
    with ThreadPoolExecutor() as pool:  # decoders of images let other threads run
        start = 0
        for part, rows in chosen:

            def convert(block: int, part: Part = part, rows: Rows = rows, start: int = start) -> None:
                some = rows[block : block + BLOCK]
                target[start + block : start + block + len(some)] = part.images[some]

            for block, _ in enumerate(pool.map(convert, range(0, len(rows), BLOCK))):
                report(f"converting to {path.stem}, image", start + block * BLOCK, total)
            start += len(rows)
    target.flush()


def _statistics(images: npt.NDArray[np.generic]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, of pixels scaled to [0, 1]."""
    channels = images.shape[-1]
    counts = np.zeros((channels, 256))
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK]
        counts += [np.bincount(block[..., channel].ravel(), minlength=256) for channel in range(channels)]
    shares, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = shares @ values
    std = [max(float(share @ (values - m) ** 2) ** 0.5, 1e-3) for share, m in zip(shares, mean, strict=True)]
    return mean.tolist(), std
