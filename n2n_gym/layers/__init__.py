"""Kinds of layer, a family a file: what a layer is, what may be done to it, how it is built; without torch at import."""

from n2n_gym.layers.activation import Relu, relu
from n2n_gym.layers.base import FLOAT_BYTES, KINDS, MOST_CODES, Channels, Layer, Shape, Variable, layer_from_json, register
from n2n_gym.layers.conv import MIN_FILTERS, Conv, conv
from n2n_gym.layers.join import Add, Concat, add, concat
from n2n_gym.layers.linear import Linear, linear
from n2n_gym.layers.norm import BatchNorm, batch_norm
from n2n_gym.layers.pool import AvgPool, MaxPool, avg_pool, max_pool
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

__all__ = [
    "FLOAT_BYTES",
    "KINDS",
    "MIN_FILTERS",
    "MOST_CODES",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Call",
    "Channels",
    "Concat",
    "Conv",
    "Layer",
    "Linear",
    "MaxPool",
    "Operand",
    "Reading",
    "Relu",
    "Shape",
    "Unreadable",
    "Variable",
    "Verdict",
    "add",
    "avg_pool",
    "batch_norm",
    "concat",
    "conv",
    "layer_from_json",
    "linear",
    "max_pool",
    "register",
    "relu",
]
