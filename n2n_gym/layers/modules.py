"""Torch modules that torch does not have; imported when a layer is built, and only then.

Each keeps its constructor's arguments as attributes of the same names: exported code makes it again from them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Sum(nn.Module):
    """The sum of its inputs."""

    def forward(self, *branches: Tensor) -> Tensor:
        total = branches[0]
        for branch in branches[1:]:
            total = total + branch
        return total


class Concatenation(nn.Module):
    """Its inputs side by side, along the channels."""

    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat(branches, dim=1)


class PointwiseConv(nn.Conv2d):
    """A 1 x 1 convolution with a stride, which first picks the pixels that it reads.

    Left to skip them by itself, oneDNN writes past its workspace when it computes the weights' gradient from channels-last
    images of fewer channels than a vector has floats (github.com/uxlfoundation/oneDNN/issues/6035): on a CPU with AVX2 the
    shortcuts of narrow ResNets crashed.
    """

    def forward(self, images: Tensor) -> Tensor:
        down, across = self.stride
        return functional.conv2d(images[..., ::down, ::across], self.weight, self.bias, groups=self.groups)


class Product(nn.Module):
    """A feature map times its gate."""

    def forward(self, features: Tensor, gate: Tensor) -> Tensor:
        return features * gate


class ChannelNorm(nn.LayerNorm):
    """Normalisation of each pixel over its channels.

    Args:
        channels: How many.
        eps: What is added to a variance before its root is taken.
        scale: Whether there is a learned scale.
        shift: Whether there is a learned shift, too.
    """

    def __init__(self, channels: int, eps: float, scale: bool, shift: bool) -> None:
        super().__init__(channels, eps, elementwise_affine=scale, bias=shift)
        self.channels, self.scale, self.shift = channels, scale, shift

    def forward(self, images: Tensor) -> Tensor:
        pixels: Tensor = super().forward(images.permute(0, 2, 3, 1))
        return pixels.permute(0, 3, 1, 2)


class ChannelScale(nn.Module):
    """Each channel times a number of its own, 1 at first; one number for all if there is only one.

    Args:
        numbers: How many.
        trained: Whether they are learned.
    """

    weight: nn.Parameter | Tensor

    def __init__(self, numbers: int, trained: bool) -> None:
        super().__init__()
        self.numbers, self.trained = numbers, trained
        weight = torch.empty(numbers)
        if trained:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make all of them 1."""
        nn.init.ones_(self.weight)

    def forward(self, images: Tensor) -> Tensor:
        return images.mul(self.weight[:, None, None])


class AffineMap(nn.Module):
    """Each number times a constant, plus a constant."""

    def __init__(self, factor: float, offset: float) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, images: Tensor) -> Tensor:
        scaled = images if self.factor == 1 else images * self.factor
        return scaled if self.offset == 0 else scaled + self.offset


class ChannelRange(nn.Module):
    """So many channels from one on."""

    def __init__(self, first: int, count: int) -> None:
        super().__init__()
        self.first, self.count = first, count

    def forward(self, images: Tensor) -> Tensor:
        return images[:, self.first : self.first + self.count]


class ChannelShuffle(nn.Module):
    """Of each group of channels the first, then of each the second, and so on.

    torch's own is not differentiable on every device.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, images: Tensor) -> Tensor:
        groups: Tensor = images.unflatten(1, (self.groups, -1))
        return groups.transpose(1, 2).flatten(1, 2)


class PixelRange(nn.Module):
    """Some rows, or columns, of a feature map."""

    def __init__(self, rows: bool, start: int, stop: int | None, step: int) -> None:
        super().__init__()
        self.rows, self.start, self.stop, self.step = rows, start, stop, step

    def forward(self, images: Tensor) -> Tensor:
        picked = slice(self.start, self.stop, self.step)
        return images[:, :, picked] if self.rows else images[..., picked]


class ChannelPad(nn.Module):
    """Zeros before and behind the channels, then the first so many of all that."""

    def __init__(self, front: int, back: int, outputs: int) -> None:
        super().__init__()
        self.front, self.back, self.outputs = front, back, outputs

    def forward(self, images: Tensor) -> Tensor:
        return functional.pad(images, (0, 0, 0, 0, self.front, self.back))[:, : self.outputs]


class OwnDropout(nn.Module):
    """Dropout that draws from a generator of its own, so that nothing else that draws changes a training.

    It draws on the processor, whatever computes the rest: the same numbers everywhere.

    Args:
        share: Which share is left out.
        axes: How many of an image batch's axes, the batch the first of them, it is drawn for; the others share what is drawn.

    Attributes:
        generator: Where it draws from; torch's own generator if None.
    """

    def __init__(self, share: float, axes: int) -> None:
        super().__init__()
        self.share, self.axes = share, axes
        self.generator: torch.Generator | None = None

    def forward(self, images: Tensor) -> Tensor:
        if not self.training or not self.share:
            return images
        shape = (*images.shape[: self.axes], *(1,) * (images.dim() - self.axes))
        kept = torch.rand(shape, generator=self.generator) >= self.share
        return images * (kept / max(1 - self.share, torch.finfo(torch.float32).tiny)).to(images.device, images.dtype)
