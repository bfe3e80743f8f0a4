"""A whole architecture in a few numbers of the same kind for all, from which its accuracy can be told."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture.graph import Architecture
from n2n_gym.layers import MOST_CODES

RESOLUTIONS = 8
"""Times that feature maps may be halved and be told apart: 128 pixels to one."""

PER_RESOLUTION = 5

LENGTH = 5 + MOST_CODES + RESOLUTIONS * PER_RESOLUTION


def summary(architecture: Architecture) -> npt.NDArray[np.float64]:
    """What an architecture is as a whole, whichever teacher it comes from.

    Args:
        architecture: One that can be built.

    Returns:
        Shape (`LENGTH`,): logarithms of its parameters, multiply-accumulates, inputs of the largest linear layer, channels of
        the narrowest layer that computes, and pixels of the last feature map that has several; how many layers it has of each
        kind, by code; and for each resolution of feature maps, from the whole image down, how many layers there compute,
        normalise and do neither, the mean logarithm of their channels, and the logarithm of their multiply-accumulates.
    """
    kinds = np.zeros(MOST_CODES)
    scales = np.zeros((RESOLUTIONS, PER_RESOLUTION))
    narrowest = math.inf
    last = len(architecture.nodes) - 1
    pixels = 1
    for index, (node, shape) in enumerate(zip(architecture.nodes, architecture.shapes, strict=True)):
        inputs = architecture.input_shapes(index)
        macs = node.layer.macs(inputs, shape)
        kinds[node.layer.code - 1] += 1
        halved = math.log2(architecture.input_shape[1] / shape[1])
        scale = scales[min(max(round(halved), 0), RESOLUTIONS - 1)]
        if macs:
            scale[0] += 1
            scale[3] += math.log(shape[0])
            scale[4] += macs
            narrowest = min(narrowest, shape[0]) if index < last else narrowest
        else:
            scale[1 if node.layer.parameters(inputs) else 2] += 1
        pixels = shape[1] * shape[2] if shape[1] > 1 else pixels
    scales[:, 3] /= np.maximum(scales[:, 0], 1)
    scales[:, 4] = np.log1p(scales[:, 4])
    narrowest = 1 if math.isinf(narrowest) else narrowest
    totals = (architecture.parameters, architecture.macs, max(architecture.fc_inputs, 1), narrowest, pixels)
    return np.concatenate([[math.log(max(total, 1)) for total in totals], kinds, scales.ravel()])
