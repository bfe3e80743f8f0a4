"""What a kind of layer is: plain data and arithmetic, without torch and without gymnasium."""

from n2n_gym.layers.kinds import (
    FLOAT_BYTES,
    JOINS,
    MAX_FC_INPUTS,
    POOLS,
    Layer,
    LayerKind,
    Shape,
    Verdict,
    add,
    avg_pool,
    batch_norm,
    concat,
    conv,
    linear,
    max_pool,
    relu,
)

__all__ = [
    "FLOAT_BYTES",
    "JOINS",
    "MAX_FC_INPUTS",
    "POOLS",
    "Layer",
    "LayerKind",
    "Shape",
    "Verdict",
    "add",
    "avg_pool",
    "batch_norm",
    "concat",
    "conv",
    "linear",
    "max_pool",
    "relu",
]
