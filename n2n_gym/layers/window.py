"""The arithmetic of a window that steps over a feature map.

Each of its numbers is one for both sides, or a pair: height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Pair = int | tuple[int, int]
"""A number for height and width alike, or one for each."""


def sides(number: Pair) -> tuple[int, int]:
    """Height's and width's."""
    return (number, number) if isinstance(number, int) else number


def as_pair(number: Any) -> Any:
    """A pair in one form only: of two equal numbers that one; a list, as in JSON, as a tuple; anything else as it is."""
    if isinstance(number, Sequence) and not isinstance(number, str) and len(number) == 2:
        return number[0] if number[0] == number[1] else tuple(number)
    return number


def steps(side: int, *, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool = False) -> int:
    """How many places a window finds along one side of a feature map; 0 if it does not fit the map.

    Args:
        side: The map's, in pixels.
        kernel: The window's.
        stride: Its step.
        padding: Pixels at either end.
        dilation: Distance between the pixels that it reads.
        ceil_mode: Whether a last window may stick out, if it begins before the padding behind the map does.
    """
    room = side + 2 * padding - (dilation * (kernel - 1) + 1)
    found = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (found - 1) * stride >= side + padding:
        found -= 1
    return max(found, 0)


def window_output(
    pixels: tuple[int, int], *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = 1, ceil_mode: bool = False
) -> tuple[int, int] | None:
    """Height and width of what a window makes of a feature map; None if the map is smaller than the window.

    Args:
        pixels: The map's height and width.
        kernel: The window's.
        stride: Its steps.
        padding: Pixels at either end.
        dilation: Distances between the pixels that it reads.
        ceil_mode: Whether a last window may stick out.
    """
    down, across = (
        steps(side, kernel=k, stride=s, padding=p, dilation=d, ceil_mode=ceil_mode)
        for side, k, s, p, d in zip(pixels, sides(kernel), sides(stride), sides(padding), sides(dilation), strict=True)
    )
    return (down, across) if min(down, across) > 0 else None
