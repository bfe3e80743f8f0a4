"""Small networks of the families that engineers use, as architectures, written by hand."""

from n2n_gym.architecture import IMAGE, Architecture, Node
from n2n_gym.layers import (
    Crop,
    Dropout,
    Gelu,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    Part,
    Relu6,
    Scale,
    Shuffle,
    Sigmoid,
    Silu,
    Widen,
    WindowMean,
    add,
    avg_pool,
    batch_norm,
    concat,
    conv,
    depthwise,
    linear,
    max_pool,
    multiply,
    relu,
)


class Builder:
    """Writes nodes one after the other; each method returns where its output is."""

    def __init__(self):
        self.nodes = []

    def __call__(self, source, *layers):
        for layer in layers:
            self.nodes.append(Node(layer, source if isinstance(source, tuple) else (source,)))
            source = len(self.nodes) - 1
        return source

    def gate(self, source, channels, squeezed, act, end):
        gate = self(source, avg_pool(), conv(squeezed, 1, bias=True), act, conv(channels, 1, bias=True), end)
        return self((source, gate), multiply())

    def done(self, source, *, size=16, classes=5):
        self(source, avg_pool(), linear(classes))
        return Architecture(tuple(self.nodes), (3, size, size), classes)


def mobilenet_v2():
    b = Builder()
    x = b(IMAGE, conv(16, stride=2), batch_norm(), Relu6())
    reads = 16
    for outputs, stride, expands in ((12, 1, 1), (24, 2, 4), (24, 1, 4), (32, 2, 4), (32, 1, 4), (32, 1, 4)):
        way = x
        if expands > 1:
            way = b(way, conv(reads * expands, 1), batch_norm(), Relu6())
        way = b(way, depthwise(3, stride=stride), batch_norm(), Relu6(), conv(outputs, 1), batch_norm())
        x = b((x, way), add()) if stride == 1 and reads == outputs else way
        reads = outputs
    x = b(x, conv(64, 1), batch_norm(), Relu6(), avg_pool(), Dropout(0.2))
    b(x, linear(5))
    return Architecture(tuple(b.nodes), (3, 16, 16), 5)


def efficientnet():
    b = Builder()
    x = b(IMAGE, conv(16, stride=2), batch_norm(), Silu())
    reads = 16
    for outputs, kernel, stride, expands in ((12, 3, 1, 1), (24, 3, 2, 4), (24, 3, 1, 4), (32, 5, 2, 4), (32, 5, 1, 4)):
        hidden = reads * expands
        way = x
        if expands > 1:
            way = b(way, conv(hidden, 1), batch_norm(), Silu())
        way = b(way, depthwise(kernel, stride=stride), batch_norm(1e-3), Silu())
        way = b.gate(way, hidden, max(reads // 4, 3), Silu(), Sigmoid())
        way = b(way, conv(outputs, 1), batch_norm())
        x = b((way, x), add()) if stride == 1 and reads == outputs else way
        reads = outputs
    return b.done(b(x, conv(64, 1), batch_norm(), Silu()))


def mobilenet_v3():
    """Squeeze-and-excitation of straight pieces, hard swish, one block without a gate."""
    b = Builder()
    x = b(IMAGE, conv(16, stride=2), batch_norm(1e-3, 0.01), HardSwish())
    way = b(x, depthwise(3), batch_norm(), relu())
    way = b.gate(way, 16, 8, relu(), HardSigmoid())
    x = b((b(way, conv(16, 1), batch_norm()), x), add())
    x = b(x, conv(48, 1), batch_norm(), relu(), depthwise(3, stride=2), batch_norm(), relu(), conv(24, 1), batch_norm())
    way = b(x, conv(72, 1), batch_norm(), HardSwish(), depthwise(5), batch_norm(), HardSwish())
    way = b.gate(way, 72, 18, relu(), HardSigmoid())
    x = b((x, b(way, conv(24, 1), batch_norm())), add())
    return b.done(b(x, conv(96, 1), batch_norm(), HardSwish()))


def regnet_y():
    """Widths that are no multiples of the next stage's groups."""
    b = Builder()
    x = b(IMAGE, conv(16, stride=2), batch_norm(), relu())
    reads = 16
    for outputs, groups, stride in ((24, 3, 2), (24, 3, 1), (52, 13, 2), (52, 13, 1)):
        way = b(x, conv(outputs, 1), batch_norm(), relu(), conv(outputs, stride=stride, groups=groups), batch_norm(), relu())
        way = b.gate(way, outputs, reads // 4, relu(), Sigmoid())
        way = b(way, conv(outputs, 1), batch_norm())
        short = x if stride == 1 else b(x, conv(outputs, 1, stride=stride, padding=0), batch_norm())
        x = b((short, way), add(), relu())
        reads = outputs
    return b.done(x)


def resnext():
    b = Builder()
    x = b(IMAGE, conv(16), batch_norm(), relu())
    reads = 16
    for outputs, stride in ((48, 1), (48, 1), (64, 2), (64, 1)):
        inner = outputs // 2
        way = b(x, conv(inner, 1), batch_norm(), relu(), conv(inner, stride=stride, groups=8), batch_norm(), relu())
        way = b(way, conv(outputs, 1), batch_norm())
        short = x if reads == outputs else b(x, conv(outputs, 1, stride=stride, padding=0), batch_norm())
        x = b((way, short), add(), relu())
        reads = outputs
    return b.done(x)


def densenet():
    """Every layer reads all before it; a transition with a windowed mean between two blocks."""
    b = Builder()
    x = b(IMAGE, conv(16), batch_norm(), relu(), max_pool(3, 2, 1))
    for block in range(2):
        features = [x]
        for _ in range(4):
            source = b(tuple(features), concat()) if len(features) > 1 else x
            features.append(b(source, batch_norm(), relu(), conv(24, 1), batch_norm(), relu(), conv(12)))
        x = b(tuple(features), concat())
        x = b(x, batch_norm(), relu())
        if block == 0:
            x = b(x, conv(32, 1), WindowMean(2, 2))
    return b.done(x)


def shufflenet_v2():
    b = Builder()
    x = b(IMAGE, conv(12, stride=2), batch_norm(), relu())
    reads = 12
    for outputs, units in ((48, 4), (64, 2)):
        half = outputs // 2
        left = b(x, depthwise(3, stride=2), batch_norm(), conv(half, 1), batch_norm(), relu())
        right = b(x, conv(half, 1), batch_norm(), relu(), depthwise(3, stride=2), batch_norm())
        right = b(right, conv(half, 1), batch_norm(), relu())
        x = b((left, right), concat(), Shuffle(2))
        for _ in range(units - 1):
            left, right = b(x, Part(2, 0)), b(x, Part(2, 1))
            right = b(
                right, conv(half, 1), batch_norm(), relu(), depthwise(3), batch_norm(), conv(half, 1), batch_norm(), relu()
            )
            x = b((left, right), concat(), Shuffle(2))
        reads = outputs
    return b.done(b(x, conv(reads, 1), batch_norm(), relu()))


def shufflenet_v1():
    """Grouped convolutions with shuffles between them, in sums and, where the map gets smaller, in a concatenation."""
    b = Builder()
    x = b(IMAGE, conv(12, stride=2), batch_norm(), relu())
    way = b(x, conv(18, 1), batch_norm(), relu(), Shuffle(3), depthwise(3, stride=2), batch_norm())
    way = b(way, conv(24, 1, groups=3), batch_norm())
    x = b((b(x, WindowMean(3, 2, 1)), way), concat(), relu())
    for _ in range(2):
        way = b(x, conv(18, 1, groups=3), batch_norm(), relu(), Shuffle(3), depthwise(3), batch_norm())
        way = b(way, conv(36, 1, groups=3), batch_norm())
        x = b((x, way), add(), relu())
    return b.done(x)


def convnext():
    b = Builder()
    x = b(IMAGE, conv(16, 2, stride=2, padding=0, bias=True), LayerNorm(1e-6))
    width = 16
    for stage in range(2):
        if stage:
            x = b(x, LayerNorm(1e-6), conv(28, 2, stride=2, padding=0, bias=True))
            width = 28
        for _ in range(2):
            way = b(x, depthwise(7, bias=True), LayerNorm(1e-6), conv(4 * width, 1, bias=True), Gelu())
            way = b(way, conv(width, 1, bias=True), Scale(), Dropout(0.1, "images"))
            x = b((way, x), add())
    x = b(x, avg_pool(), LayerNorm(1e-6))
    b(x, linear(5))
    return Architecture(tuple(b.nodes), (3, 16, 16), 5)


def resnet_a():
    """A CIFAR ResNet whose shortcuts pick pixels and add channels of zeros."""
    b = Builder()
    x = b(IMAGE, conv(12), batch_norm(), relu())
    reads = 12
    for outputs, stride in ((12, 1), (24, 2), (24, 1), (48, 2), (48, 1)):
        way = b(x, conv(outputs, stride=stride), batch_norm(), relu(), conv(outputs), batch_norm())
        if stride > 1:
            x = b(x, Crop("height", step=2), Crop("width", step=2), Widen(outputs, (outputs - reads) // 2))
        x = b((way, x), add(), relu())
        reads = outputs
    return b.done(x)


def gated_linear():
    """Halves of a convolution's output gate each other."""
    b = Builder()
    x = b(IMAGE, conv(24), batch_norm())
    for _ in range(2):
        way = b(x, conv(32), batch_norm())
        way = b((b(way, Part(2, 0)), b(way, Part(2, 1), Sigmoid())), multiply())
        x = b((x, b(way, conv(24, 1))), add())
    return b.done(b(x, max_pool()))


FAMILIES = {
    made.__name__: made
    for made in (
        mobilenet_v2,
        efficientnet,
        mobilenet_v3,
        regnet_y,
        resnext,
        densenet,
        shufflenet_v2,
        shufflenet_v1,
        convnext,
        resnet_a,
        gated_linear,
    )
}
