"""Architecture -> torch module."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from n2n_gym.architecture.graph import IMAGE, Architecture
from n2n_gym.layers import Layer, LayerKind, Shape


class Network(nn.Module):
    """The network that an architecture describes, with freshly initialised weights (as torch does by default).

    Takes images of shape (N, channels, height, width), normalised; puts out logits of shape (N, classes).

    Args:
        architecture: What to build.
        generator: Where the weights are drawn from; torch's own, which all threads share, by default. Seeded alike, both give
            the same weights.

    Raises:
        ValueError: If the architecture is degenerate.
    """

    def __init__(self, architecture: Architecture, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not (verdict := architecture.verdict()).feasible:
            raise ValueError(f"cannot build a degenerate architecture: {verdict}")
        self.architecture = architecture
        with contextlib.nullcontext() if generator is None else torch.device("meta"):  # nothing is drawn there
            self.layers = nn.ModuleList(
                _module(node.layer, architecture.input_shapes(i)) for i, node in enumerate(architecture.nodes)
            )
        if generator is not None:
            initialise(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        values = {IMAGE: images}
        for index, (node, layer) in enumerate(zip(self.architecture.nodes, self.layers, strict=True)):
            values[index] = layer(*(values[i] for i in node.inputs))
            for i in self.architecture.last_uses[index]:  # a feature map is let go as soon as nothing reads it any more
                del values[i]
        return values[len(self.layers) - 1].flatten(1)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Give all layers the weights that torch gives new ones, drawn from a generator in the order in which torch draws.

    Whatever weights and statistics the layers had, be it on the device `meta`, are replaced by new ones on the generator's.

    Args:
        network: Convolutions, linear layers, batch normalisation, and what has no weights, in any nesting.
        generator: Where weights are drawn from.

    Raises:
        TypeError: If a layer has weights that it is not known how to draw.
    """
    for layer in network.modules():
        for name, old in list(layer.named_parameters(recurse=False)):
            setattr(layer, name, nn.Parameter(torch.empty(old.shape, dtype=old.dtype, device=generator.device)))
        for name, buffer in list(layer.named_buffers(recurse=False)):
            setattr(layer, name, torch.empty(buffer.shape, dtype=buffer.dtype, device=generator.device))
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()  # draws nothing
        elif layer._parameters or layer._buffers:
            raise TypeError(f"no initial weights are known for {type(layer).__name__}")


class _Add(nn.Module):
    def forward(self, *branches: Tensor) -> Tensor:
        total = branches[0]
        for branch in branches[1:]:
            total = total + branch
        return total


class _PointwiseConv(nn.Conv2d):
    """A 1 x 1 convolution with a stride, which first picks the pixels that it reads.

    Left to skip them by itself, oneDNN writes past its workspace when it computes the weights' gradient from channels-last
    images of fewer channels than a vector has floats (github.com/uxlfoundation/oneDNN/issues/6035): on a CPU with AVX2 the
    shortcuts of narrow ResNets crashed.
    """

    def forward(self, images: Tensor) -> Tensor:
        down, across = self.stride
        return functional.conv2d(images[..., ::down, ::across], self.weight, self.bias)


class _Concat(nn.Module):
    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat(branches, dim=1)


def _module(layer: Layer, inputs: list[Shape]) -> nn.Module:
    channels, height, width = inputs[0]
    match layer.kind:
        case LayerKind.CONV:
            pointwise = layer.kernel == 1 and layer.stride > 1 and not layer.padding
            kind = _PointwiseConv if pointwise else nn.Conv2d
            return kind(channels, layer.outputs, layer.kernel, layer.stride, layer.padding, bias=layer.bias)
        case LayerKind.BATCH_NORM:
            return nn.BatchNorm2d(channels)
        case LayerKind.RELU:
            return nn.ReLU()
        case LayerKind.MAX_POOL:
            return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding)
        case LayerKind.AVG_POOL:
            return nn.AdaptiveAvgPool2d(1)
        case LayerKind.LINEAR:
            dense = nn.Linear(channels * height * width, layer.outputs, bias=layer.bias)
            return nn.Sequential(nn.Flatten(), dense, nn.Unflatten(1, (layer.outputs, 1, 1)))
        case LayerKind.ADD:
            return _Add()
        case LayerKind.CONCAT:
            return _Concat()
