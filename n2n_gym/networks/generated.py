"""Small networks of five families, drawn at random: for policies that are to know more than one network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.errors import by_name
from n2n_gym.layers import Shape, add, avg_pool, batch_norm, concat, conv, depthwise, linear, max_pool, relu
from n2n_gym.networks.writer import NetworkWriter

WIDTHS = (8, 12, 16, 24)
BLOCKS = (2, 3, 4)


Block = Callable[[NetworkWriter, int, int, int], int]
"""Appends a block to a network: (network, source, filters, stride) -> where its output is."""


def _chain(network: NetworkWriter, source: int, filters: int, stride: int) -> int:
    return network.after(source, conv(filters, stride=stride), batch_norm(), relu())


def _residual(network: NetworkWriter, source: int, filters: int, stride: int) -> int:
    branch = network.after(source, conv(filters, stride=stride), batch_norm(), relu(), conv(filters), batch_norm())
    return network.after(network.join(add(), branch, _shortcut(network, source, filters, stride)), relu())


def _bottleneck(network: NetworkWriter, source: int, filters: int, stride: int) -> int:
    inner = max(4, filters // 2)
    branch = network.after(source, conv(inner, 1), batch_norm(), relu(), conv(inner, stride=stride), batch_norm(), relu())
    branch = network.after(branch, conv(filters, 1), batch_norm())
    return network.after(network.join(add(), branch, _shortcut(network, source, filters, stride)), relu())


def _depthwise(network: NetworkWriter, source: int, filters: int, stride: int) -> int:
    between = network.after(source, depthwise(3, stride=stride), batch_norm(), relu())
    return network.after(between, conv(filters, 1), batch_norm(), relu())


def _dense(network: NetworkWriter, source: int, filters: int, stride: int) -> int:
    source = network.after(source, max_pool()) if stride > 1 else source
    grown = network.after(source, conv(max(4, filters // 2)), batch_norm(), relu())
    return network.after(network.join(concat(), source, grown), conv(filters, 1), batch_norm(), relu())


def _shortcut(network: NetworkWriter, source: int, filters: int, stride: int) -> int:
    """The source itself, or, where the branch has another shape, a projection: filters change where the side does."""
    return source if stride == 1 else network.after(source, conv(filters, 1, stride=stride), batch_norm())


FAMILIES: dict[str, Block] = {
    "chain": _chain,
    "residual": _residual,
    "bottleneck": _bottleneck,
    "depthwise": _depthwise,
    "dense": _dense,
}


def generated(family: str, rng: np.random.Generator, input_shape: Shape, classes: int) -> Architecture:
    """A network of a family.

    Two to four blocks of 8 to 24 filters behind a convolution; every second block halves the side, where it is 8 pixels or
    more, and has half as many filters again.

    Args:
        family: One of `FAMILIES`.
        rng: Draws its width and depth.
        input_shape: Channels, height and width of the images.
        classes: Outputs of its last layer.

    Raises:
        InputError: If there is no such family.
    """
    block = by_name("family", family, FAMILIES)
    width, depth = int(rng.choice(WIDTHS)), int(rng.choice(BLOCKS))
    network = NetworkWriter()
    side = min(input_shape[1:])
    stem = 2 if side >= 16 else 1
    source = network.after(IMAGE, conv(width, stride=stem), batch_norm(), relu())
    side, filters = side // stem, width
    for index in range(depth):
        stride = 2 if index % 2 and side >= 8 else 1
        filters = round(filters * 1.5) if stride > 1 else filters
        source = block(network, source, filters, stride)
        side //= stride
    network.after(source, max_pool() if side >= 4 else avg_pool(), linear(classes))
    return network.written(input_shape, classes)
