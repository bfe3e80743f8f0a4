"""Data sets that torchvision fetches, each kept as a `.npz` file."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from n2n_gym.data.known import CALTECH_SIDE
from n2n_gym.data.npz import ARRAYS, Arrays
from n2n_gym.data.splits import stratified_order
from n2n_gym.errors import InputError
from n2n_gym.system.files import write_whole
from n2n_gym.system.progress import report


def fetch(name: str, path: Path) -> None:
    """Have torchvision download a data set and keep it as a `.npz`.

    Raises:
        InputError: If it cannot be had; it says where the file may be put by hand.
    """
    report(f"downloading {name}")
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
