"""What is known of a data set without reading its images."""

from __future__ import annotations

from dataclasses import dataclass

from n2n_gym.layers import Shape


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
