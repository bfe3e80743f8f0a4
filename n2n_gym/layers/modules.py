"""Torch modules that torch does not have; imported when a layer is built, and only then."""

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
        return functional.conv2d(images[..., ::down, ::across], self.weight, self.bias)
