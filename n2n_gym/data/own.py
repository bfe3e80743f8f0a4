"""A user's own `.npz` file: what is wrong with it is said, what it leaves out is made up for."""

from __future__ import annotations

import logging
import math
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.data.kept import Part, Parts, keep, kept_folder, kept_spec, text_names
from n2n_gym.data.npz import ARRAYS, labels_of, read_arrays
from n2n_gym.data.pixels import channels_last
from n2n_gym.data.spec import DatasetSpec
from n2n_gym.errors import InputError
from n2n_gym.system.progress import report

_log = logging.getLogger("n2n_gym")


def npz_spec(path: Path) -> DatasetSpec:
    """What is known of a file; it is converted first unless it was and has not been modified.

    Raises:
        InputError: If it is malformed.
    """
    if not path.is_file():
        raise InputError(f"no data set at {path}; expected a .npz file with {', '.join(ARRAYS)}")
    stat = path.stat()
    folder = kept_folder(sha256(f"{path} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:32])
    return kept_spec(keep(folder, partial(_parts, path)), str(path))


def _parts(path: Path) -> Parts:
    optional = ("x_test", "y_test", "x_val", "y_val", "class_names")
    report(f"reading {path.name}")
    arrays = read_arrays(path, ("x_train", "y_train"), optional)
    for images, labels in (("x_test", "y_test"), ("x_val", "y_val")):
        if (images in arrays) != (labels in arrays):
            there, missing = (images, labels) if images in arrays else (labels, images)
            raise InputError(f"{path} has {there} but lacks {missing}; a data set has {', '.join(ARRAYS)}")
    parts = {split: _part(path, arrays, split) for split in ("train", "val", "test") if f"x_{split}" in arrays}
    shape = arrays["x_train"].shape[1:]
    for split in parts:
        if (other := arrays[f"x_{split}"].shape[1:]) != shape:
            wanted = ", ".join(map(str, ("N", *shape)))
            raise InputError(f"{path}: x_{split} must be uint8 of shape ({wanted}) like x_train, not {other}")
    height, width, channels = shape
    names = text_names(arrays["class_names"].ravel()) if "class_names" in arrays else ()
    return Parts(str(path), (height, width, channels), names, parts["train"], parts.get("val"), parts.get("test"))


def _part(path: Path, arrays: dict[str, npt.NDArray[Any]], split: str) -> Part:
    images = arrays[f"x_{split}"]
    _check_images(path, f"x_{split}", images)
    return Part(images, labels_of(path, f"y_{split}", images, arrays[f"y_{split}"]))


def _check_images(path: Path, name: str, images: npt.NDArray[Any]) -> None:
    if 0 in images.shape:
        raise InputError(f"{path}: {name} holds no images: its shape is {images.shape}")
    remedies = []
    if images.ndim == 3:
        remedies.append(f"{name} = {name}[..., None]")
    elif images.ndim == 4 and channels_last(*images.shape[1:]) is False:
        remedies.append(f"{name} = {name}.transpose(0, 2, 3, 1)")
    if images.dtype != np.uint8 and images.dtype.kind in "biuf":
        remedies.append(_to_pixels(name, images))
    if remedies or images.ndim != 4 or images.dtype != np.uint8:
        remedy = f"; write {', then '.join(remedies)}" if remedies else ""
        raise InputError(
            f"{path}: {name} must be uint8 of shape (N, H, W, C), not {images.dtype} of shape {images.shape}{remedy}"
        )
    if channels_last(*images.shape[1:]) is None:
        _log.warning("%s: %s of shape %s is taken as (N, H, W, C); its sizes do not tell", path, name, images.shape)


def _to_pixels(name: str, images: npt.NDArray[Any]) -> str:
    """How images of numbers become uint8."""
    least, most = float(images.min()), float(images.max())
    whole = images.dtype.kind != "f"
    if images.dtype.kind == "b":
        return f'{name} = 255 * {name}.astype("uint8")'
    if not math.isfinite(most - least):
        return f"{name} without NaN and infinite values"
    if least >= 0 and most <= 1 and not whole:
        return f'{name} = (255 * {name}).round().astype("uint8")'
    if least >= 0 and most <= 255:
        return f'{name} = {name}.astype("uint8")' if whole else f'{name} = {name}.round().astype("uint8")'
    how = "scaled to 0 ... 255" if least >= 0 else "without its normalisation, which is done in training"
    return f"{name} {how}: its values lie in {least:,.6g} ... {most:,.6g}, pixels in 0 ... 255"
