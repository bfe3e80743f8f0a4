"""The data sets by name.

`digits` ships with the package, the others are kept in `$N2N_HOME/datasets` and fetched by torchvision on first use, and a
user's own file is named by its path.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from n2n_gym.data.dataset import Dataset
from n2n_gym.data.downloads import CALTECH_SIDE, fetch
from n2n_gym.data.npz import ARRAYS
from n2n_gym.data.own import own_spec
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.errors import InputError, unknown
from n2n_gym.system.files import home

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
        return own_spec(str(path), path.stat().st_mtime_ns)
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
        fetch(name, path)
    return Dataset(spec, path)
