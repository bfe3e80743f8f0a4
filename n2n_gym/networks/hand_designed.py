"""Small networks that people designed, as students for knowledge distillation (section 4.4.2, table 3)."""

from __future__ import annotations

from collections.abc import Callable

from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.errors import by_name
from n2n_gym.layers import (
    Crop,
    Layer,
    Relu6,
    Shape,
    Widen,
    add,
    avg_pool,
    batch_norm,
    concat,
    conv,
    depthwise,
    linear,
    max_pool,
    relu,
)
from n2n_gym.networks.writer import NetworkWriter
from n2n_gym.networks.zoo import Scaling, scaling


def _plain(stages: tuple[tuple[int, ...], ...], input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    """Stages of 3x3 convolutions with a max pool between them and a global average pool at the end."""
    layers: list[Layer] = []
    for stage in stages:
        if layers:
            layers.append(max_pool())
        for filters in stage:
            layers += [conv(scaled(filters)), batch_norm(), relu()]
    return Architecture.chain([*layers, avg_pool(), linear(classes)], input_shape, classes)


def _fitnet4(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    """17 convolutions, as in table 3 of Mishkin & Matas (2015), with batch normalisation and a global average pool instead of
    maxout: 1.2 million parameters.
    """
    return _plain(((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6), input_shape, classes, scaled)


def _vgg_small(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    """Ten layers and 1.06 million parameters; the paper says no more of it, so the widths are ours."""
    return _plain(((32, 32), (64, 64), (128, 128, 128), (207, 207)), input_shape, classes, scaled)


def _squeezenet(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    """SqueezeNet 1.1 (Iandola et al., 2016) with a stem of stride 1, for small images: 727 thousand parameters."""
    network = NetworkWriter()

    def convolve(layer: Layer, source: int) -> int:
        return network.after(source, layer, relu())

    def fire(source: int, squeezed: int, expanded: int) -> int:
        narrow = convolve(conv(scaled(squeezed), 1, bias=True), source)
        branches = convolve(conv(scaled(expanded), 1, bias=True), narrow), convolve(conv(scaled(expanded), bias=True), narrow)
        return network.join(concat(), *branches)

    head = network.after(convolve(conv(scaled(64), bias=True), IMAGE), max_pool())
    head = network.after(fire(fire(head, 16, 64), 16, 64), max_pool())
    head = network.after(fire(fire(head, 32, 128), 32, 128), max_pool())
    for squeezed, expanded in ((48, 192), (48, 192), (64, 256), (64, 256)):
        head = fire(head, squeezed, expanded)
    network.after(convolve(conv(classes, 1, bias=True), head), avg_pool())
    return network.written(input_shape, classes)


def _cifar_resnet(blocks: int) -> Callable[[Shape, int, Scaling], Architecture]:
    """A residual network for small images as of He et al. (2016), section 4.2: three stages of so many blocks, 16 to 64
    filters, shortcuts without weights (option A: every second pixel, and channels of zeros). 0.27 million parameters for 3
    blocks.
    """

    def build(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
        network = NetworkWriter()
        channels = scaled(16)
        head = network.after(IMAGE, conv(channels), batch_norm(), relu())
        for stage, filters in enumerate(map(scaled, (16, 32, 64))):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                branch = network.after(head, conv(filters, stride=stride), batch_norm(), relu(), conv(filters), batch_norm())
                shortcut = head
                if stride > 1:
                    shortcut = network.after(shortcut, Crop("height", step=2), Crop("width", step=2))
                if filters > channels:
                    shortcut = network.after(shortcut, Widen(filters, (filters - channels) // 2))
                head = network.after(network.join(add(), branch, shortcut), relu())
                channels = filters
        network.after(head, avg_pool(), linear(classes))
        return network.written(input_shape, classes)

    return build


INVERTED = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""MobileNetV2's groups of blocks for small images: by how much a block is wider inside, its filters, how many blocks there
are, the stride of the first.
"""


def _mobilenet_half(input_shape: Shape, classes: int, scaled: Scaling) -> Architecture:
    """MobileNetV2 x 0.5 (Sandler et al., 2018) with strides for small images: 0.70 million parameters. As published, filters
    are halved to multiples of 8, but for the last convolution's 1,280.
    """
    network = NetworkWriter()

    def halved(filters: int) -> int:
        return scaled(max(8, int(filters / 2 + 4) // 8 * 8))

    channels = halved(32)
    head = network.after(IMAGE, conv(channels), batch_norm(), Relu6())
    for wider, published, blocks, first_stride in INVERTED:
        filters = halved(published)
        for stride in (first_stride, *(1,) * (blocks - 1)):
            inner = head
            if wider > 1:
                inner = network.after(inner, conv(wider * channels, 1), batch_norm(), Relu6())
            inner = network.after(inner, depthwise(stride=stride), batch_norm(), Relu6(), conv(filters, 1), batch_norm())
            if stride == 1 and filters == channels:
                inner = network.join(add(), inner, head)
            head, channels = inner, filters
    network.after(head, conv(scaled(1280), 1), batch_norm(), Relu6(), avg_pool(), linear(classes))
    return network.written(input_shape, classes)


HAND_DESIGNED = {
    "fitnet4": _fitnet4,
    "mobilenetv2x0.5": _mobilenet_half,
    "resnet20": _cifar_resnet(3),
    "resnet32": _cifar_resnet(5),
    "resnet56": _cifar_resnet(9),
    "squeezenet1.1": _squeezenet,
    "vgg-small": _vgg_small,
}
"""By name; each takes input shape, classes and what scales filters."""


def hand_designed(name: str, input_shape: Shape = (3, 32, 32), classes: int = 10, *, width: float = 1.0) -> Architecture:
    """One of `HAND_DESIGNED`.

    Args:
        name: Its name.
        input_shape: Channels, height and width of the images.
        classes: Outputs of the last layer.
        width: Factor on all filters.

    Raises:
        InputError: If the name is unknown.
    """
    return by_name("hand-designed network", name, HAND_DESIGNED)(input_shape, classes, scaling(width))
