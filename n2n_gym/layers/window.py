"""The arithmetic of a window that steps over a feature map."""

from __future__ import annotations

from n2n_gym.layers.base import Shape
from n2n_gym.layers.verdict import Verdict


def window_output(source: Shape, channels: int, *, kernel: int, stride: int, padding: int) -> Shape | Verdict:
    """The shape that a square window makes of a feature map.

    Args:
        source: The feature map's shape.
        channels: What comes out has so many.
        kernel: Side of the window, in pixels.
        stride: Its step.
        padding: Pixels around the feature map.
    """
    height, width = source[1] + 2 * padding, source[2] + 2 * padding
    if min(height, width) < kernel:
        return Verdict.SPATIAL_COLLAPSE
    return (channels, (height - kernel) // stride + 1, (width - kernel) // stride + 1)
