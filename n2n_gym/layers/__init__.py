"""Kinds of layer, a family a file: what a layer is, what may be done to it, how it is built; without torch at import."""

from n2n_gym.layers.activation import (
    Activation,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    PRelu,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Tanh,
    relu,
)
from n2n_gym.layers.base import (
    FLOAT_BYTES,
    KINDS,
    MIN_FILTERS,
    MOST_CODES,
    Channels,
    Layer,
    Shape,
    Variable,
    layer_from_json,
    register,
)
from n2n_gym.layers.constant import Affine
from n2n_gym.layers.conv import Conv, Depthwise, conv, depthwise
from n2n_gym.layers.dropout import Dropout
from n2n_gym.layers.join import Add, Concat, Multiply, add, concat, multiply
from n2n_gym.layers.linear import Linear, linear
from n2n_gym.layers.margin import Crop, Pad, Widen
from n2n_gym.layers.norm import BatchNorm, LayerNorm, Scale, batch_norm
from n2n_gym.layers.order import Part, Shuffle
from n2n_gym.layers.pool import AdaptiveMaxPool, AvgPool, MaxPool, WindowMean, avg_pool, max_pool
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

__all__ = [
    "FLOAT_BYTES",
    "KINDS",
    "MIN_FILTERS",
    "MOST_CODES",
    "Activation",
    "AdaptiveMaxPool",
    "Add",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "Call",
    "Channels",
    "Concat",
    "Conv",
    "Crop",
    "Depthwise",
    "Dropout",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "Linear",
    "MaxPool",
    "Multiply",
    "Operand",
    "PRelu",
    "Pad",
    "Part",
    "Reading",
    "Relu",
    "Relu6",
    "Scale",
    "Shape",
    "Shuffle",
    "Sigmoid",
    "Silu",
    "Tanh",
    "Unreadable",
    "Variable",
    "Verdict",
    "Widen",
    "WindowMean",
    "add",
    "avg_pool",
    "batch_norm",
    "concat",
    "conv",
    "depthwise",
    "layer_from_json",
    "linear",
    "max_pool",
    "multiply",
    "register",
    "relu",
]
