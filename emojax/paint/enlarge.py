"""Enlarging a painted picture to the size of its photo, with the photo's fine detail."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_STRIP, _DETAIL, _NOISE = 256, 0.5, 4.0  # rows; share of the photo's detail; levels


def enlarge_with_detail(
    picture: UInt8[np.ndarray, "h w 3"], photo: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Enlarges a picture that was painted at a smaller size to the size of its photo.

    The paint is enlarged, and the lightness of the photo's detail that is too fine for the smaller size is added at half
    strength, without what is as weak as noise. So edges stay crisp even though the strokes are large. The work is done in
    strips, so that memory holds only 8-bit copies of the whole pictures.
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
