"""Paint that is carried up from the size that a picture was painted at to the size of its photo."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_STRIP, _DETAIL, _NOISE = 256, 0.5, 4.0  # rows; share of the photo's detail; levels


def carry_up(picture: UInt8[np.ndarray, "h w 3"], photo: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture that was painted small at the size of its photo.

    The paint is enlarged, and where the photo has detail that is too fine for the smaller size its lightness is added, half
    as strong and without what is as weak as noise: so edges stay crisp where strokes are large. In strips: beyond copies of
    8-bit pictures memory does not grow.
    """
    height, width = photo.shape[:2]
    if picture.shape[:2] == (height, width):
        return picture
    if height * width <= picture.shape[0] * picture.shape[1]:
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
    large = np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    small = Image.fromarray(photo).convert("L").resize(picture.shape[1::-1], Image.Resampling.LANCZOS)
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    grey = np.asarray(Image.fromarray(photo).convert("L"))
    for top in range(0, height, _STRIP):
        rows = slice(top, top + _STRIP)
        detail = grey[rows].astype(np.float32) - smooth[rows]
        detail = _DETAIL * np.sign(detail) * np.maximum(np.abs(detail) - _NOISE, 0)
        large[rows] = (large[rows] + detail[..., None]).round().clip(0, 255).astype(np.uint8)
    return large
