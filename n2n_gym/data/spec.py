"""What is known of a data set without reading its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2n_gym.layers import Shape

OWN = "own"
"""The teacher recipe of data of which nothing is known."""


@dataclass(frozen=True)
class DatasetSpec:
    """What is known of a data set without reading its images.

    Attributes:
        name: Its name, or the path of a user's file or folder.
        input_shape: Channels, height and width.
        classes: Number of labels; they run from 0.
        mean: Subtracted from pixels scaled to [0, 1], one number per channel.
        std: What the result is divided by, one number per channel.
        validation_share: Share of the training images that is held out for validation.
        crop_padding: Random crops after this many pixels of zero padding (0: no crops).
        flip: Whether images are mirrored horizontally with probability 0.5.
        teacher: Which of the teacher recipes fits; `OWN` for one by the number of images.
        batch_size: Images a step when a student is distilled in the search on all of a large data set.
        images: Training images, validation included.
        class_names: What each label stands for; empty where it is not known.
        store: Of a user's data: the folder with its arrays.
        content: Of a user's data: a hash of all its images and labels.
        validation: File that names the validation images, or empty.
        validation_given: Whether the user said which images are for validation; else they are drawn from the training images,
            and nobody knows whether an imported teacher was trained on them.
        test_held_out: Whether the user gave no test images, so that a share of the images was held out for them.
        digest: Of a user's data, or where a data set is read otherwise than its name says: a hash of all that matters.
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
    class_names: tuple[str, ...] = ()
    store: str = ""
    content: str = ""
    validation: str = ""
    validation_given: bool = False
    test_held_out: bool = False
    digest: str = ""

    @property
    def identity(self) -> str:
        """What it is known by wherever its files lie."""
        return self.digest or self.name

    @property
    def facts(self) -> dict[str, Any]:
        """What a saved network says of the images that it was measured on."""
        return {
            "class_names": list(self.class_names),
            "validation_given": self.validation_given,
            "test_held_out": self.test_held_out,
        }

    @property
    def label(self) -> str:
        """What it is called in the names of files."""
        return f"{Path(self.name).name.removesuffix('.npz')}-{self.digest[:8]}" if self.digest else self.name
