"""One image in whatever form it comes, as uint8 pixels of shape (H, W, C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from n2n_gym.data.npz import Images
from n2n_gym.system.documents import shown

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = ("L", "1", "LA")
"""PIL's modes of grey pictures."""
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
"""PIL's modes of pictures with more than 8 bits a channel."""

BITS_PER_SAMPLE = 258
"""TIFF's tag; where each channel lies by itself, nothing else says so."""

MOST_CHANNELS = 4
"""More than these are rather rows or columns."""

MOST_PIXELS = 1 << 26
"""Of a picture; a small file can say that it has far more, and would fill the memory with them."""


class UnfitImageError(ValueError):
    """An image that cannot be kept as it is; the message says why and what to do."""


def channels_last(first: int, second: int, third: int) -> bool | None:
    """Whether sizes are those of rows, columns and channels; False if of channels, rows and columns, None if they do not tell.

    Channels are few; where both ends are few, or neither, images are square.
    """
    few_first, few_last = first <= MOST_CHANNELS, third <= MOST_CHANNELS
    if few_first != few_last:
        return few_last
    return None if (first == second) == (second == third) else first == second


def check_depth(image: Image) -> None:
    """Refuse a picture with more than 8 bits a channel, for PIL would cut its values off, and one of very many pixels.

    Raises:
        UnfitImageError: If it is one.
    """
    if image.width * image.height > MOST_PIXELS:
        raise UnfitImageError(f"{image.width} x {image.height} pixels are more than {MOST_PIXELS:,}; make it smaller")
    if image.mode in DEEP or _is_cut_off(image):
        raise UnfitImageError("more than 8 bits a channel; scale the values to 0 ... 255 and save them with 8 bits")


def _is_cut_off(image: Image) -> bool:
    """Whether PIL reads a picture's values into fewer bits than its file has: its mode does not tell."""
    for decoder, _, _, args in getattr(image, "tile", []):  # what is still to be decoded
        raw, *more = args if isinstance(args, tuple) else (args,)
        if isinstance(raw, str) and ";16" in raw and not raw.startswith("BGR;"):  # BGR;16 are 16 bits in all
            return True
        if decoder.startswith("ppm") and any(isinstance(most, int) and most > 255 for most in more):
            return True
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, ())
    return any(each > 8 for each in bits)


def picture(image: Image, size: int | None = None, *, channels: int | None = None) -> Images:
    """A picture's pixels.

    Args:
        image: The picture.
        size: Height and width that the largest square in its middle is brought to; None leaves the picture as it is.
        channels: 1 or 3; by default 1 if the picture is grey.

    Raises:
        UnfitImageError: If it has more than 8 bits a channel, or can be seen through.
    """
    from PIL import Image as Pictures

    check_depth(image)
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise UnfitImageError("transparent in places; put a background behind it and save it without transparency")
    grey = image.mode in GREY if channels is None else channels == 1
    image = image.convert("L" if grey else "RGB")
    if size is not None and image.size != (size, size):
        side = min(image.size)
        left, top = ((each - side) // 2 for each in image.size)
        image = image.crop((left, top, left + side, top + side)).resize((size, size), Pictures.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    return pixels[..., None] if grey else pixels


def _numbers(tensor: Any) -> npt.NDArray[Any]:
    """A tensor as an array; numpy lacks some of torch's floating-point types."""
    try:
        return np.asarray(tensor.numpy())
    except TypeError:
        pass
    try:
        return np.asarray(tensor.float().numpy())
    except (TypeError, RuntimeError) as error:
        raise UnfitImageError(f"a tensor that cannot be read as an array: {shown(error)}") from None


def pixels_of(image: Any) -> Images:
    """The pixels of an image from a data set in Python.

    Args:
        image: A PIL image, or truth values, uint8 or floating-point numbers in [0, 1] of shape (H, W), (H, W, C) or (C, H, W),
            whichever their sizes tell; where they do not, a tensor has (C, H, W) and an array (H, W, C).

    Raises:
        UnfitImageError: If it is anything else.
    """
    if hasattr(image, "convert"):
        return picture(image)
    tensor = hasattr(image, "detach")
    values = _numbers(image.detach().cpu()) if tensor else np.asarray(image)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise UnfitImageError(
            f"not a PIL image, nor a tensor or array of shape (H, W), (H, W, C) or (C, H, W), but of shape {values.shape}"
        )
    if values.ndim == 2:
        values = values[..., None]
    else:
        last = channels_last(*values.shape)
        if last is False or (last is None and tensor):
            values = values.transpose(1, 2, 0)
    if values.dtype.kind == "b":
        return np.asarray(values, np.uint8) * 255
    if values.dtype.kind == "f":
        least, most = values.min(), values.max()
        if not (least >= 0 and most <= 1):
            remedy = "divide them by 255" if least >= 0 and most <= 255 else "leave Normalize out of its transform"
            raise UnfitImageError(f"floats from {least:.3g} to {most:.3g}, not in [0, 1]; {remedy}")
        return np.asarray((values * 255).round(), np.uint8)
    if values.dtype != np.uint8:
        raise UnfitImageError(f"{values.dtype}, neither uint8 nor floats in [0, 1]; bring it to 0 ... 255, then to uint8")
    return values
