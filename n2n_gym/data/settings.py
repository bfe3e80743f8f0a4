"""How a data set is read, as arguments and options."""

from __future__ import annotations

from dataclasses import dataclass

from n2n_gym.settings import write_paths_as_text


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
        write_paths_as_text(self)  # its subclasses', too


PLAIN = DataSettings()
"""A data set as it is."""
