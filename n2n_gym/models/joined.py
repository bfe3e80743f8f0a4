"""Networks of one architecture as one network, which computes all of them in the time of a few."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor, nn

from n2n_gym.layers.modules import PointwiseConv, Sum
from n2n_gym.models.build import Network


class JoinedNetwork(Network):
    """Networks of one architecture side by side: the channels of each behind those of the one before.

    A convolution becomes one of as many times the groups, so that no network sees another's channels. A processor takes
    longer to begin a small network's layer than to compute it: five take 2.4 to 3.4 times that of one (docs/speed.md).

    Takes images of shape (N, networks x channels, height, width), or (N, channels, height, width) if all get the same;
    puts out logits of shape (networks, N, classes).

    Args:
        networks: What is joined; weights are copied.

    Raises:
        TypeError: If it is not known how to join a layer.
        ValueError: If there are none, or their architectures differ.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        if len({network.architecture for network in networks}) != 1:
            raise ValueError("networks of one architecture are joined, one or more of them")
        nn.Module.__init__(self)
        self.architecture = networks[0].architecture
        self.networks = len(networks)
        self.layers = nn.ModuleList(joined(*layers) for layers in zip(*(each.layers for each in networks), strict=True))

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == self.architecture.input_shape[0]:
            images = images.repeat(1, self.networks, 1, 1)
        logits: Tensor = super().forward(images.contiguous(memory_format=torch.channels_last))
        by_network: Tensor = logits.unflatten(1, (self.networks, -1))
        return by_network.transpose(0, 1)


class JoinedLinear(nn.Module):
    """Linear layers, each of the feature maps of its own network.

    Args:
        weights: Of each network's layer, shape (networks, outputs, inputs).
        biases: Of each, shape (networks, outputs); None without.
    """

    def __init__(self, weights: Tensor, biases: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights)
        self.bias = None if biases is None else nn.Parameter(biases)

    def forward(self, images: Tensor) -> Tensor:
        inputs = images.flatten(1).unflatten(1, (len(self.weight), -1)).transpose(0, 1)
        outputs = inputs @ self.weight.mT if self.bias is None else torch.baddbmm(self.bias[:, None], inputs, self.weight.mT)
        return outputs.transpose(0, 1).flatten(1)[..., None, None]


@singledispatch
def joined(first: nn.Module, *others: nn.Module) -> nn.Module:  # noqa: ARG001  # what is registered reads them
    """The layer that computes what each of some alike layers does, with the channels of each behind those of the one before.

    Args:
        first: The first network's.
        *others: The other networks'.

    Raises:
        TypeError: If it is not known how.
    """
    raise TypeError(f"{type(first).__name__} of several networks cannot be joined")


@joined.register(nn.Identity)
@joined.register(nn.ReLU)
@joined.register(nn.MaxPool2d)
@joined.register(nn.AvgPool2d)
@joined.register(nn.AdaptiveAvgPool2d)
@joined.register(nn.AdaptiveMaxPool2d)
@joined.register(Sum)
def _of_each_channel(first: nn.Module, *_others: nn.Module) -> nn.Module:
    return first


@joined.register
def _convolution(first: nn.Conv2d, *others: nn.Conv2d) -> nn.Module:
    count = 1 + len(others)
    made = type(first) if type(first) is PointwiseConv else nn.Conv2d
    layer = made(
        count * first.in_channels,
        count * first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]  # torch's own attributes are not as narrow as its arguments
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        dilation=first.dilation,  # type: ignore[arg-type]
        groups=count * first.groups,
        bias=first.bias is not None,
        device="meta",
    )
    return _filled(layer, first, *others)


@joined.register
def _batch_norm(first: nn.BatchNorm2d, *others: nn.BatchNorm2d) -> nn.Module:
    channels = (1 + len(others)) * first.num_features
    layer = nn.BatchNorm2d(channels, first.eps, first.momentum, first.affine, first.track_running_stats, device="meta")
    return _filled(layer, first, *others)


@joined.register
def _linear(first: nn.Sequential, *others: nn.Sequential) -> nn.Module:
    layers = [layer for each in (first, *others) for layer in each if isinstance(layer, nn.Linear)]
    if len(layers) != 1 + len(others):
        raise TypeError("a sequence is joined that has one linear layer")
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    return JoinedLinear(torch.stack([layer.weight.detach() for layer in layers]), torch.stack(biases) if biases else None)


def _filled(layer: nn.Module, *sources: nn.Module) -> nn.Module:
    """The layer with the sources' weights and statistics, one behind the other."""
    states = [source.state_dict() for source in sources]
    for name, value in states[0].items():  # what is a single number, such as a count of batches, is the same for all
        states[0][name] = torch.cat([state[name] for state in states]) if value.dim() else value.clone()
    layer.load_state_dict(states[0], assign=True)
    return layer
