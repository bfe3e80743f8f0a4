"""How a data set is read, as arguments and options."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How a data set is read: what its name does not say."""

    image_size: int | None = None
    """Height and width in pixels that a folder's images are brought to, of each the largest square in its middle. Needed where
    they differ in size."""
    validation: str | None = None
    """Text file with the validation images, one a line: paths within a folder of images, or numbers of training images, from
    0. By default a share of the training images is held out, unless the data set brings its own. An imported teacher may
    have been trained on those, and then looks better than it is."""
    flip: bool = False
    """Show training images mirrored half of the time; cifar10, cifar100 and caltech256 are anyway, as in the paper."""
    crop_padding: int | None = None
    """Show training images moved by up to so many pixels, filled up with black; by default as in the paper for data sets known
    by name, not at all for your own."""

    def __post_init__(self) -> None:
        for field in fields(self):  # in Python a path may be given, its subclasses' too: settings stay plain text
            value = getattr(self, field.name)
            if isinstance(value, os.PathLike):
                object.__setattr__(self, field.name, os.fspath(value))


PLAIN = DataSettings()
"""A data set as it is."""
