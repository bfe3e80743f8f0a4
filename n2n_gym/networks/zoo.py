"""Teacher networks for small images as architectures, at any width: those of section 4.3, and small ones whose spaces can be
trained whole (`n2n_gym.tables`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.errors import InputError, by_name
from n2n_gym.layers import Layer, Shape, add, avg_pool, batch_norm, conv, depthwise, linear, max_pool, relu
from n2n_gym.networks.writer import NetworkWriter

Scaling = Callable[[int], int]
"""From a published number of filters to a network's own."""


@dataclass(frozen=True)
class ZooEntry:
    """A network family's member.

    Attributes:
        build: Takes input shape, classes and a function from filters to scaled filters.
        smallest_side: Smallest height and width, in pixels, that its pools and strides leave something of.
    """

    build: Callable[[Shape, int, Scaling], Architecture]
    smallest_side: int


def scaling(width: float) -> Scaling:
    """Multiplies numbers of filters by a width factor; at least one filter stays."""
    return lambda filters: max(1, round(filters * width))


def _conv_block(filters: int) -> list[Layer]:
    return [conv(filters, bias=True), batch_norm(), relu()]


def _conv4(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    first, second, third, fourth = (_conv_block(scaled(n)) for n in (32, 64, 64, 128))
    layers = [*first, max_pool(), *second, max_pool(), *third, *fourth, max_pool(), linear(classes)]
    return Architecture.chain(layers, input_shape, classes)


def _conv3(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    first = [conv(scaled(32), stride=2, bias=True), batch_norm(), relu(), max_pool()]
    second, third = ([*_conv_block(scaled(n)), max_pool()] for n in (64, 128))
    return Architecture.chain([*first, *second, *third, linear(classes)], input_shape, classes)


def _conv2(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    first = [conv(scaled(32), 5, stride=2, bias=True), relu(), max_pool()]
    second = [conv(scaled(128), bias=True), relu(), max_pool()]
    return Architecture.chain([*first, *second, linear(classes)], input_shape, classes)


def _dscnn(*filters: int) -> ZooEntry:
    """Depthwise-separable convolutions, one normalisation each, behind a convolution of stride 2."""

    def build(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
        layers: list[Layer] = [conv(scaled(64), stride=2), batch_norm(), relu(), max_pool()]
        for outputs in filters:
            layers += [depthwise(3), conv(scaled(outputs), 1), batch_norm(), relu()]
        return Architecture.chain([*layers, max_pool(), linear(classes)], input_shape, classes)

    return ZooEntry(build, smallest_side=8)


def _vgg(stages: tuple[int, ...]) -> ZooEntry:
    def build(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
        layers: list[Layer] = []
        for convolutions, filters in zip(stages, (64, 128, 256, 512, 512), strict=True):
            layers += _conv_block(scaled(filters)) * convolutions
            layers.append(max_pool())
        return Architecture.chain([*layers, linear(classes)], input_shape, classes)

    return ZooEntry(build, smallest_side=32)


def _resnet(stages: tuple[int, ...], *, bottleneck: bool = False, early: bool = False) -> ZooEntry:
    """Residual blocks; `early` makes images four times smaller before the first one, and ends without the mean of each map."""

    def build(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
        network = NetworkWriter()

        def normalised(layer: Layer, source: int) -> int:
            return network.after(source, layer, batch_norm())

        def activated(layer: Layer, source: int) -> int:
            return network.after(normalised(layer, source), relu())

        head = activated(conv(scaled(64), stride=2 if early else 1), IMAGE)
        head = network.after(head, max_pool()) if early else head
        channels = scaled(64)
        for stage, (blocks, filters) in enumerate(zip(stages, (64, 128, 256, 512), strict=False)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                outputs = scaled(filters * 4) if bottleneck else scaled(filters)
                if bottleneck:
                    inner = activated(conv(scaled(filters), 1), head)
                    inner = activated(conv(scaled(filters), stride=stride), inner)
                    branch = normalised(conv(outputs, 1), inner)
                else:
                    inner = activated(conv(scaled(filters), stride=stride), head)
                    branch = normalised(conv(outputs), inner)
                projected = stride > 1 or channels != outputs
                shortcut = normalised(conv(outputs, 1, stride=stride), head) if projected else head
                head = network.after(network.join(add(), branch, shortcut), relu())
                channels = outputs
        network.after(head, max_pool() if early else avg_pool(), linear(classes))
        return network.written(input_shape, classes)

    return ZooEntry(build, smallest_side=4 * 2 ** len(stages) if early else 8)


ZOO = {
    "conv4": ZooEntry(_conv4, smallest_side=8),
    "vgg11": _vgg((1, 1, 2, 2, 2)),
    "vgg13": _vgg((2, 2, 2, 2, 2)),
    "vgg16": _vgg((2, 2, 3, 3, 3)),
    "vgg19": _vgg((2, 2, 4, 4, 4)),
    "resnet18": _resnet((2, 2, 2, 2)),
    "resnet34": _resnet((3, 4, 6, 3)),
    "resnet50": _resnet((3, 4, 6, 3), bottleneck=True),
    "resnet101": _resnet((3, 4, 23, 3), bottleneck=True),
    "resnet152": _resnet((3, 8, 36, 3), bottleneck=True),
    "conv2": ZooEntry(_conv2, smallest_side=8),
    "conv3": ZooEntry(_conv3, smallest_side=16),
    "dscnn2": _dscnn(64, 128),
    "resnet4": _resnet((1,), early=True),
    "resnet6": _resnet((1, 1), early=True),
}


def network(name: str, input_shape: Shape = (3, 32, 32), classes: int = 10, *, width: float = 1.0) -> Architecture:
    """A network of the zoo; images smaller than it can take are thought of as enlarged.

    Args:
        name: One of `ZOO`.
        input_shape: Channels, height and width of the images.
        classes: Outputs of the last layer.
        width: Factor on the number of filters of every convolution; each keeps at least one.

    Returns:
        The architecture. Its input shape is the given one, or larger where the network needs larger images.

    Raises:
        InputError: If the name is unknown or the width is not positive.
    """
    entry = by_name("teacher", name, ZOO)
    if not 0 < width < math.inf:
        raise InputError(f"width must be greater than 0, not {width:g}; 1 is the network as published")
    channels, height, breadth = input_shape
    enlarge = max(1.0, entry.smallest_side / min(height, breadth))
    shape = (channels, round(height * enlarge), round(breadth * enlarge))
    return entry.build(shape, classes, scaling(width))
