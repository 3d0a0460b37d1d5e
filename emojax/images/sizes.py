"""Sizes of photos: the size limit, the scale of the strokes, and resizing.

Photos are uint8 [H, W, 3], 0..255, sRGB. Sizes are (height, width).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from emojax.errors import InputError
from emojax.util.numbers import is_number

MAX_MEGAPIXELS = 100.0
"""the default limit of a photo's size, in 10^6 pixels"""
STYLE_SCALES = (0.25, 4.0)
"""the smallest and the largest scale of the strokes"""


def check_megapixels(max_megapixels: float) -> None:
    """Raises InputError unless a limit is a number above 0."""
    if not (is_number(max_megapixels) or max_megapixels == math.inf) or max_megapixels <= 0:
        raise InputError(f"`max_megapixels` {max_megapixels}: give a number above 0", "max_megapixels")


def check_size(pixels: float, max_megapixels: float, name: str) -> None:
    """Raises InputError if a photo has no pixels, or more than the limit."""
    if not pixels:
        raise InputError(f"cannot read {name}: it has no pixels")
    if pixels > max_megapixels * 1e6:
        raise InputError(
            f"{name} has {pixels / 1e6:.4g} megapixels, more than {max_megapixels:g}: allow it with `max_megapixels`"
        )


def check_style_scale(scale: float) -> None:
    """Raises InputError unless a style scale is within `STYLE_SCALES`."""
    least, greatest = STYLE_SCALES
    if not is_number(scale) or not least <= scale <= greatest:
        raise InputError(f"`style_scale` {scale!r}: it is {least:g} to {greatest:g}", "style_scale")


def scaled_size(height: int, width: int, factor: float) -> tuple[int, int]:
    """Returns the (height, width) of the result of `rescale`."""
    return max(1, round(height * factor)), max(1, round(width * factor))


def rescale(photo: UInt8[np.ndarray, "H W 3"], factor: float) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Multiplies the sides of a photo by a factor; each side keeps at least 1 pixel. Factor 1 returns the photo itself."""
    height, width = photo.shape[:2]
    return resize(photo, scaled_size(height, width, factor))


def resize_like(picture: UInt8[np.ndarray, "H2 W2 3"], photo: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Resizes a picture to the size of a photo."""
    height, width = photo.shape[:2]
    return resize(picture, (height, width))


def resize(picture: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Resizes a picture to (height, width); a picture of that size is returned itself."""
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))
