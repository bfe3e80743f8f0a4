"""Data sets by what the user calls them.

`digits` ships with the package, others known by name are kept in `$N2N_HOME/datasets` and fetched by torchvision on first use;
a user's own are a folder of images or a file, named by its path, or added under a name.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from n2n_gym.data.added import added_names, added_spec
from n2n_gym.data.dataset import Dataset
from n2n_gym.data.downloads import fetch
from n2n_gym.data.folder import folder_spec
from n2n_gym.data.kept import check_kept
from n2n_gym.data.known import DATASETS
from n2n_gym.data.own import npz_spec
from n2n_gym.data.settings import PLAIN, DataSettings
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.data.splits import read_validation
from n2n_gym.errors import InputError, unknown
from n2n_gym.system.files import absolute, home

_log = logging.getLogger("n2n_gym")


def dataset_spec(name: str | os.PathLike[str], settings: DataSettings = PLAIN) -> DatasetSpec:
    """What is known of a data set by name or path; nothing is downloaded, a user's own images are converted once.

    Args:
        name: One of `DATASETS`, the name of an added one, or the path of a folder of images or a `.npz` file.
        settings: How it is read.

    Raises:
        InputError: If the name is unknown, the user's images are missing or malformed, or a setting does not fit.
    """
    return _read_so(_found(os.fspath(name), settings.image_size), settings)


def load_dataset(which: str | os.PathLike[str] | DatasetSpec) -> Dataset:
    """A data set; one known by name is fetched first if it is not there.

    Args:
        which: What is known of it, or its name or path.

    Raises:
        InputError: If there is no such data set, it cannot be had, or its file is malformed.
    """
    spec = which if isinstance(which, DatasetSpec) else dataset_spec(which)
    if spec.store:
        return Dataset(spec, check_kept(spec))
    if spec.name == "digits":
        return Dataset(spec, Path(str(files("n2n_gym") / "data" / "digits.npz")))
    path = home() / "datasets" / f"{spec.name}.npz"
    if not path.exists():
        fetch(spec.name, path)
    return Dataset(spec, path)


def is_named(name: str) -> bool:
    """Whether a data set is called by a name, and not by its path."""
    return name in DATASETS or name in added_names()


def is_folder(name: str | os.PathLike[str]) -> bool:
    """Whether a data set is a folder of images."""
    name = os.fspath(name)
    return not is_named(name) and not name.endswith(".npz") and Path(name).expanduser().is_dir()


def lasting_name(name: str | os.PathLike[str]) -> str:
    """What a data set is called in every working folder: its name, or its absolute path."""
    name = os.fspath(name)
    return name if is_named(name) else absolute(name)


def _found(name: str, image_size: int | None) -> DatasetSpec:
    if is_folder(name):
        return folder_spec(Path(name).expanduser().resolve(), image_size)
    spec = _no_folder(name)
    if image_size is not None:
        raise InputError(f"image-size is for a folder of images, which {name} is not; leave it out")
    return spec


def _no_folder(name: str) -> DatasetSpec:
    path = Path(name).expanduser().resolve()
    if name in DATASETS:
        if path.is_dir():
            _say_which(name, path)
        return DATASETS[name]
    if is_named(name):
        return added_spec(name)
    if name.endswith(".npz"):
        return npz_spec(path)
    if set(name) & {"/", "\\", "."} or name.startswith("~"):  # no name looks like this: it is the path of a folder
        what = "a file, and no .npz" if path.is_file() else "not there"
        raise InputError(f"{path} is {what}; give a folder of images with a folder for each class, or a .npz file")
    known = [*DATASETS, *added_names(), "or the path of your own folder of images or .npz file"]
    raise unknown("data set", name, known, likeness=0.7)


@cache  # said once
def _say_which(name: str, folder: Path) -> None:
    _log.warning("the data set called %s is used; write ./%s for the folder %s", name, name, folder)


def _read_so(spec: DatasetSpec, settings: DataSettings) -> DatasetSpec:
    """A data set that is read as settings say."""
    choices: dict[str, Any] = {}
    if settings.validation is not None:
        file = Path(settings.validation).expanduser()
        choices["validation"] = sha256(read_validation(file)).hexdigest()
        if spec.validation_given:
            raise InputError(f"{spec.name} brings validation images of its own; leave validation out")
        if spec.test_held_out:
            raise InputError(
                f"{spec.name} has no test images; give some with validation, or those held out may be known to the teacher"
            )
        spec = replace(spec, validation=str(file.resolve()), validation_given=True)
    if settings.flip and not spec.flip:
        choices["flip"] = True
        spec = replace(spec, flip=True)
    if (padding := settings.crop_padding) not in (None, spec.crop_padding):
        if not 0 <= padding < min(spec.input_shape[1:]):
            raise InputError(f"crop-padding must be 0 or more pixels and less than an image's side, not {padding}")
        choices["crop_padding"] = padding
        spec = replace(spec, crop_padding=padding)
    if not choices:
        return spec
    return replace(spec, digest=sha256(json.dumps([spec.identity, choices]).encode()).hexdigest())
