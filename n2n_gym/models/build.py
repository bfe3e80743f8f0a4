"""Architecture -> torch module."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn

from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.layers.modules import ChannelScale, OwnDropout


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
                node.layer.module(architecture.input_shapes(i)) for i, node in enumerate(architecture.nodes)
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

    Dropout gets a generator of its own, seeded from this one after all weights are drawn.

    Whatever weights and statistics the layers had, be it on the device `meta`, are replaced by new ones on the generator's.

    Args:
        network: Layers as the kinds of layer make them, in any nesting.
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
        elif isinstance(layer, nn.BatchNorm2d | nn.LayerNorm | nn.PReLU | ChannelScale):
            layer.reset_parameters()  # draws nothing
        elif layer._parameters or layer._buffers:
            raise TypeError(f"no initial weights are known for {type(layer).__name__}")
    for layer in network.modules():
        if isinstance(layer, OwnDropout):
            seed = torch.randint(2**62, (), generator=generator, device=generator.device)
            layer.generator = torch.Generator().manual_seed(int(seed))
