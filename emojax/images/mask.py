"""Masks: grey pictures that say how much of every pixel is painted, from black (the photo stays) to white (fully painted)."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from emojax.errors import InputError
from emojax.images.read import read_photo
from emojax.images.units import to_grey, to_unit

MaskLike: TypeAlias = np.ndarray | str | os.PathLike
"""an array [H, W], floats of 0 to 1 or uint8 of 0 to 255, or the file of a grey picture"""


def read_mask(mask: MaskLike, size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """Reads a mask as float32 [height, width], 0 to 1; a file is resized to this size.

    Raises:
        InputError: a file that cannot be read, an array of another size or with other values, or a mask that is black
            everywhere.
    """
    if isinstance(mask, np.ndarray):
        if mask.shape != size:
            raise InputError(f"the mask is {list(mask.shape)}, the photo {list(size)}: make them alike", "mask")
        if mask.dtype.kind not in "buif":
            raise InputError(f"the mask has values of {mask.dtype}: give numbers from 0 to 1", "mask")
        weights = mask.astype(np.float32) / (255 if mask.dtype == np.uint8 else 1)
        if not ((weights >= 0) & (weights <= 1)).all():  # false for NaN
            raise InputError(f"the mask has values of {mask.min():g} to {mask.max():g}: give 0 to 1", "mask")
    else:
        grey = to_grey(to_unit(read_photo(mask, name=f"the mask {mask}").pixels))[..., 0]
        weights = np.asarray(Image.fromarray(grey).resize(size[::-1], Image.Resampling.BILINEAR)).clip(0, 1)
    if not weights.any():
        raise InputError("the mask is black everywhere: white says where to paint", "mask")
    return weights


def resize_mask(mask: UInt8[np.ndarray, "H W"], size: tuple[int, int]) -> UInt8[np.ndarray, "H2 W2"]:
    """A mask resized to a (height, width)."""
    if mask.shape == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.BILINEAR))
