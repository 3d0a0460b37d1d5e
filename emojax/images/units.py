"""Conversions between the value ranges of a picture.

    pixels   uint8   [..., 3]   0..255, sRGB, channels last
    unit     float32 [..., 3]   0..1, for the style networks
    signed   float32 [..., 3]   -1..1, for the classifier

Every function except `to_picture` and the curves of sRGB takes NumPy and JAX arrays and can be jitted. JAX is
not imported here: the conversions are methods of the array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image


def to_unit(pixels: UInt8[Any, "*shape"]) -> Float[Any, "*shape"]:
    """Converts uint8 0..255 to float32 0..1."""
    return pixels.astype(np.float32) / np.float32(255)


def to_255(unit: Float[Any, "*shape"]) -> Float[Any, "*shape"]:
    """Converts float 0..1 to float 0..255 without rounding, the range that VGG16 takes."""
    return unit * 255


def to_signed(pixels: UInt8[Any, "*shape"]) -> Float[Any, "*shape"]:
    """Converts uint8 0..255 to float32 -1..1."""
    return pixels.astype(np.float32) / np.float32(127.5) - 1


def to_grey(colour: Float[Any, "*shape 3"]) -> Float[Any, "*shape 1"]:
    """Converts float RGB to luma (ITU-R BT.601, as Pillow's mode L) in the same range."""
    red, green, blue = (colour[..., channel : channel + 1] for channel in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def to_uint8(unit: Float[Any, "*shape"]) -> UInt8[Any, "*shape"]:
    """Converts float 0..1 to uint8 0..255: clips, then rounds."""
    return (unit.clip(0, 1) * 255).round().astype(np.uint8)


def to_picture(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Image.Image:
    """Converts uint8 [H, W, 3], and alpha uint8 [H, W] if given, to a PIL image in mode RGB or RGBA."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None:
        picture.putalpha(Image.fromarray(alpha))
    return picture


def srgb_to_light(unit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Converts sRGB, 0..1, to linear light (IEC 61966-2-1)."""
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Converts linear light, 0..1, to sRGB (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
