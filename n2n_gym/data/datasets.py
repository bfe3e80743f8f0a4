"""Named image data sets with train, validation and test splits (section 4.1); plain numpy.

A data set is one `.npz` file with `x_train`, `x_test` (uint8, N x H x W x C) and `y_train`, `y_test` (integers, N):
`digits` ships with the package, the others are kept in `$N2N_HOME/datasets` and fetched by torchvision on first use,
and a user's own file is named by its path.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from n2n_gym.errors import InputError, unknown
from n2n_gym.layers import Shape
from n2n_gym.system.files import home, write_whole

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[np.generic]]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CALTECH_SIDE = 224


@dataclass(frozen=True)
class DatasetSpec:
    """What is known of a data set without reading its images.

    Attributes:
        name: Its name, or the path of a user's file.
        input_shape: Channels, height and width.
        classes: Number of labels; they run from 0.
        mean: Subtracted from pixels scaled to [0, 1], one number per channel.
        std: What the result is divided by, one number per channel.
        validation_share: Share of the training images that is held out for validation.
        crop_padding: Random crops after this many pixels of zero padding (0: no crops).
        flip: Whether images are mirrored horizontally with probability 0.5.
        teacher: Which of the paper's teacher recipes fits (appendix 10.2).
        batch_size: Images a step when a student is distilled in the search on all of a large data set.
        images: Training images, validation included.
        digest: Of a user's file: a hash of its training images and labels.
    """

    name: str
    input_shape: Shape
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation_share: float = 0.1
    crop_padding: int = 0
    flip: bool = False
    teacher: str = "mnist"
    batch_size: int = 64
    images: int = 60_000
    digest: str = ""

    @property
    def identity(self) -> str:
        """What it is known by wherever its file lies."""
        return self.digest or self.name


_HALF = (0.5, 0.5, 0.5)  # what the paper subtracts
_ONE = (1.0, 1.0, 1.0)


def _cifar(name: str, classes: int) -> DatasetSpec:
    shape = (3, 32, 32)
    return DatasetSpec(
        name, shape, classes, _HALF, _ONE, crop_padding=4, flip=True, teacher="cifar", batch_size=200, images=50_000
    )


DATASETS = {
    spec.name: spec
    for spec in (
        DatasetSpec("digits", (1, 8, 8), 10, (0.3055,), (0.3759,), validation_share=0.25, teacher="digits", images=1_437),
        DatasetSpec("mnist", (1, 28, 28), 10, (0.1307,), (0.3081,)),
        DatasetSpec("fashion-mnist", (1, 28, 28), 10, (0.2860,), (0.3530,)),
        _cifar("cifar10", 10),
        _cifar("cifar100", 100),
        DatasetSpec("svhn", (3, 32, 32), 10, _HALF, _ONE, teacher="cifar", batch_size=200, images=73_257),
        DatasetSpec(
            "caltech256",
            (3, CALTECH_SIDE, CALTECH_SIDE),
            257,
            _HALF,
            _ONE,
            crop_padding=CALTECH_SIDE // 8,  # the paper crops, too, and does not say how far; this is CIFAR's share
            flip=True,
            teacher="caltech",
            batch_size=200,
            images=30_607,
        ),
    )
}
"""The data sets known by name. Caltech-256 has 257 categories: the paper's 30,607 images include the clutter category."""


@dataclass(frozen=True)
class Dataset:
    """A data set whose file has been checked; the arrays are read when asked for.

    Attributes:
        spec: What is known of it without its images.
        path: Its `.npz` file.
    """

    spec: DatasetSpec
    path: Path

    @cached_property
    def train(self) -> tuple[Images, Labels]:
        """All training images and their labels, validation included."""
        return self._read("train")

    @cached_property
    def test(self) -> tuple[Images, Labels]:
        """The test images and their labels, which no search may see."""
        return self._read("test")

    def split(self, train_size: int | None = None) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Indices of the training and of the validation images: disjoint, stratified by class, always the same.

        Args:
            train_size: How many images to train on; all but the validation images by default. The validation
                split does not depend on it.

        Raises:
            InputError: If there are not that many training images, or fewer than three.
        """
        order = stratified_order(self.train[1])
        held_out = max(1, round(len(order) * self.spec.validation_share))
        available = len(order) - held_out
        if available < 2:
            raise InputError(
                f"{self.path} has {len(order)} training images; at least 3 are needed, one of them for validation"
            )
        check_train_size(train_size, self.spec.name, available)
        return order[held_out : held_out + (train_size or available)], order[:held_out]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the training images and labels."""
        return _digest(*self.train)

    def _read(self, split: str) -> tuple[Images, Labels]:
        arrays = _arrays(self.path, (f"x_{split}", f"y_{split}"))
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        channels, height, width = self.spec.input_shape
        if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
            raise InputError(
                f"{self.path}: x_{split} must be uint8 of shape (N, {height}, {width}, {channels}), "
                f"not {images.dtype} of shape {images.shape}"
            )
        _check_labels(self.path, f"y_{split}", images, labels)
        if len(images) == 0:
            raise InputError(f"{self.path}: x_{split} holds no images")
        if labels.min() < 0 or labels.max() >= self.spec.classes:
            raise InputError(
                f"{self.path}: labels in y_{split} must lie in 0 ... {self.spec.classes - 1}, "
                f"found {labels.min()} ... {labels.max()}"
            )
        return images.astype(np.uint8, copy=False), labels.astype(np.int64, copy=False)


def stratified_order(labels: Labels) -> npt.NDArray[np.intp]:
    """A fixed random order of all images such that every stretch of it holds the classes in proportion."""
    rng = np.random.default_rng(0)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        rank[of_class] = (np.arange(len(of_class)) + rng.random()) / len(of_class)
    return np.argsort(rank, kind="stable")


def check_train_size(train_size: int | None, name: str, available: int | None = None) -> None:
    """Refuse a number of training images that is not positive or not there.

    Raises:
        InputError: If so.
    """
    if train_size is None:
        return
    if train_size < 2:
        raise InputError(f"train-size must be at least 2 images, not {train_size}; leave it out to use all")
    if available is not None and train_size > available:
        raise InputError(f"train-size {train_size:,} is more than the {available:,} training images of {name}")


def dataset_spec(name: str) -> DatasetSpec:
    """What is known of a data set by name or path; nothing is downloaded.

    Raises:
        InputError: If the name is unknown, or the user's file is missing or malformed.
    """
    if name in DATASETS:
        return DATASETS[name]
    if name.endswith(".npz"):
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise InputError(f"no data set at {path}; expected a .npz file with {', '.join(ARRAYS)}")
        return _user_spec(str(path), path.stat().st_mtime_ns)
    raise unknown("data set", name, [*DATASETS, "or the path of your own .npz file"])


def load_dataset(name: str) -> Dataset:
    """The data set of that name or path; one known by name is fetched first if it is not there.

    Raises:
        InputError: If there is no such data set, it cannot be had, or its file is malformed.
    """
    spec = dataset_spec(name)
    if name == "digits":
        return Dataset(spec, Path(str(files("n2n_gym") / "data" / "digits.npz")))
    if name not in DATASETS:
        return Dataset(spec, Path(spec.name))
    path = home() / "datasets" / f"{name}.npz"
    if not path.exists():
        _fetch(name, path)
    return Dataset(spec, path)


def _arrays(path: Path, names: tuple[str, ...]) -> Arrays:
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


def _check_labels(path: Path, name: str, images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> None:
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        shape = f"integers of shape ({len(images)},)"
        raise InputError(f"{path}: {name} must be {shape}, not {labels.dtype} of shape {labels.shape}")


def _digest(images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> str:
    digest = sha256(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


@cache
def _user_spec(path: str, _modified: int) -> DatasetSpec:
    arrays = _arrays(Path(path), ARRAYS)
    images, labels = arrays["x_train"], arrays["y_train"]
    if 0 in images.shape:
        raise InputError(f"{path}: x_train holds no images: its shape is {images.shape}")
    if images.ndim != 4 or images.dtype != np.uint8:
        raise InputError(f"{path}: x_train must be uint8 of shape (N, H, W, C), not {images.dtype} of shape {images.shape}")
    _check_labels(Path(path), "y_train", images, labels)
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
        digest=_digest(images, labels.astype(np.int64)),
    )
    dataset = Dataset(spec, Path(path))
    _ = dataset.train, dataset.test  # every fault is said before anything is trained
    return spec


def _fetch(name: str, path: Path) -> None:
    """Have torchvision download a data set and keep it as a `.npz`."""
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            arrays = _LOADERS[name](folder)
    except ImportError as error:
        raise InputError(f"data set {name} needs {error.name}: pip install {error.name}") from None
    except Exception as error:  # torchvision, urllib, tarfile and PIL each fail in their own way
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(": ")
        raise InputError(
            f"data set {name} is not at {path} and could not be downloaded ({reason}); put a .npz file with "
            f"{', '.join(ARRAYS)} there (images uint8 N x H x W x C, labels int64 N)"
        ) from None
    write_whole(path, lambda part: np.savez(part, **arrays))  # type: ignore[arg-type]


def _torchvision_mnist(kind: str) -> Callable[[str], Arrays]:
    def load(folder: str) -> Arrays:
        from torchvision import datasets

        arrays: Arrays = {}
        for split in ("train", "test"):
            data = getattr(datasets, kind)(folder, train=split == "train", download=True)
            arrays |= {f"x_{split}": data.data.numpy()[..., None], f"y_{split}": data.targets.numpy()}
        return arrays

    return load


def _torchvision_cifar(kind: str) -> Callable[[str], Arrays]:
    def load(folder: str) -> Arrays:
        from torchvision import datasets

        arrays: Arrays = {}
        for split in ("train", "test"):
            data = getattr(datasets, kind)(folder, train=split == "train", download=True)
            arrays |= {f"x_{split}": data.data, f"y_{split}": np.asarray(data.targets, np.int64)}
        return arrays

    return load


def _torchvision_svhn(folder: str) -> Arrays:
    from torchvision import datasets

    arrays: Arrays = {}
    for split in ("train", "test"):
        data = datasets.SVHN(folder, split=split, download=True)
        arrays |= {f"x_{split}": data.data.transpose(0, 2, 3, 1), f"y_{split}": data.labels.astype(np.int64)}
    return arrays


def _torchvision_caltech256(folder: str) -> Arrays:
    from torchvision import datasets

    data = datasets.Caltech256(folder, download=True)
    labels = np.asarray(data.y, np.int64)
    images = np.empty((len(labels), CALTECH_SIDE, CALTECH_SIDE, 3), np.uint8)
    for i in range(len(labels)):
        images[i] = np.asarray(data[i][0].convert("RGB").resize((CALTECH_SIDE, CALTECH_SIDE)))
    order = stratified_order(labels)  # the set has no test split of its own: a fifth of each category
    test, train = np.split(order, [round(len(order) * 0.2)])
    return {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test]}


_LOADERS: dict[str, Callable[[str], Arrays]] = {
    "mnist": _torchvision_mnist("MNIST"),
    "fashion-mnist": _torchvision_mnist("FashionMNIST"),
    "cifar10": _torchvision_cifar("CIFAR10"),
    "cifar100": _torchvision_cifar("CIFAR100"),
    "svhn": _torchvision_svhn,
    "caltech256": _torchvision_caltech256,
}
