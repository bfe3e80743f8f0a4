"""From stored pixels to what a network reads: resize, normalise, and augment whole batches (appendix 10.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2n_gym.data import DatasetSpec


class Preprocessing(nn.Module):
    """Scales pixels to [0, 1], enlarges them if the network needs larger images, subtracts the mean, divides by the deviation.

    Takes uint8 images of shape (N, C, H, W), or floating-point ones in [0, 1]; puts out float32.

    Args:
        mean: One number per channel.
        std: One number per channel.
        side: Height and width of the network's input.
        image: Height and width that the images have; `side` by default. Others are read as well.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        side: tuple[int, int],
        image: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.side = side
        self.image = image or side

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Preprocessing:
        """The preprocessing that `to_json` wrote."""
        side, image = (tuple(data.get(name, data["side"])) for name in ("side", "image"))
        return cls(tuple(data["mean"]), tuple(data["std"]), side, image)

    def to_json(self) -> dict[str, Any]:
        """The preprocessing as JSON data."""
        numbers = {"mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist(), "side": list(self.side)}
        return numbers if self.image == self.side else {**numbers, "image": list(self.image)}

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        if pixels.shape[2:] != self.side:
            pixels = F.interpolate(pixels, self.side, mode="bilinear", antialias=True)
        return (pixels - self.mean) / self.std


class Batches(Protocol):
    """Images by their indices."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """The images with these indices, shape (n, C, H, W)."""


@dataclass(frozen=True)
class View:
    """One augmented view of a training set: how each image is cropped and whether it is mirrored.

    Attributes:
        offsets: Rows and columns that each image is moved by, in pixels, shape (N, 2); None without crops.
        flips: Whether each image is mirrored, shape (N,); None without mirroring.
    """

    offsets: Tensor | None = None
    flips: Tensor | None = None

    @property
    def plain(self) -> bool:
        """Whether this view shows the images as they are."""
        return self.offsets is None and self.flips is None

    @classmethod
    def draw(cls, dataset: DatasetSpec, images: int, index: int) -> View:
        """View number `index` of a data set: always the same, so that networks see the same images."""
        generator = torch.Generator().manual_seed(index)
        offsets = flips = None
        if dataset.crop_padding:
            offsets = torch.randint(-dataset.crop_padding, dataset.crop_padding + 1, (images, 2), generator=generator)
        if dataset.flip:
            flips = torch.rand(images, generator=generator) < 0.5
        return cls(offsets, flips)

    def to(self, device: torch.device) -> View:
        """The same view with its numbers on a device."""
        return View(*(None if part is None else part.to(device) for part in (self.offsets, self.flips)))

    def apply(self, images: Batches, indices: Tensor) -> Tensor:
        """The images with these indices as this view shows them, shape (n, C, H, W); cropped edges are black.

        Args:
            images: What gives images by their indices: a tensor of shape (N, C, H, W), or images in a file.
            indices: Of those wanted, shape (n,).
        """
        batch = images[indices]
        if self.flips is not None:
            flips = self.flips[indices]
            batch = torch.where(flips[:, None, None, None], batch.flip(3), batch)
        if self.offsets is not None:
            offsets = self.offsets[indices]
            for axis, dim in ((0, 2), (1, 3)):
                size = batch.shape[dim]
                source = torch.arange(size, device=batch.device) + offsets[:, axis : axis + 1]
                inside = (source >= 0) & (source < size)
                shape = [len(batch), 1, 1, 1]
                shape[dim] = size
                index = source.clamp(0, size - 1).view(shape).expand_as(batch)
                batch = batch.gather(dim, index) * inside.view(shape)
        return batch
