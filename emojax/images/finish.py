"""Final steps for a stylized photo: the photo's own colours, and the cross-fade for less than full strength.

Pictures are uint8 [H, W, 3], sRGB. All functions work in strips of rows, so that temporary memory does not grow with the
picture.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from emojax.errors import InputError
from emojax.images.units import light_to_srgb, srgb_to_light
from emojax.util.numbers import is_number

Colors = Literal["painting", "photo"]

_STRIP = 256  # rows
_GUIDE_SIDE = 512  # the guided filter's coefficients are computed at this long side
_RADIUS = 6  # radius of the guided filter's window, in pixels at that size
_SMOOTH = 1e-3  # the guided filter's regularization: variances of lightness below this count as flat

# Oklab (Ottosson 2020): linear sRGB -> cone responses -> their cube roots -> lightness 0 to 1, and two axes of chroma.
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_FROM_LAB, _FROM_CONES = np.linalg.inv(_TO_LAB).astype(np.float32), np.linalg.inv(_TO_CONES).astype(np.float32)


def check_share(strength: object, field: str) -> None:
    """Raises InputError for a strength outside 0 to 1."""
    if not is_number(strength) or not 0 <= strength <= 1:  # type: ignore[operator]
        raise InputError(f"`{field}` {strength!r}: it is 0 (the photo) to 1 (the full style)", field)


def check_finish(strength: object, colors: object) -> None:
    """Raises InputError for a strength outside 0 to 1, or unknown colours."""
    check_share(strength, "strength")
    if not isinstance(colors, str) or colors not in get_args(Colors):
        raise InputError(f"`colors` {colors!r}: choose from {', '.join(get_args(Colors))}", "colors")


def finish(
    photo: UInt8[np.ndarray, "H W 3"],
    stylized: UInt8[np.ndarray, "H W 3"],
    amount: float = 1.0,
    colors: str = "painting",
    mask: UInt8[np.ndarray, "H W"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Gives a stylized photo the photo's colours if `colors` is "photo", and cross-fades it with the photo.

    Args:
        amount: at least 0; 0 returns the photo unchanged, 1 and more the picture unchanged.
        mask: factor of the amount in every pixel, 0 to 255 for 0 to 1.
    """
    if colors == "photo" and amount > 0:
        stylized = with_photo_colors(photo, stylized)
    return cross_fade(photo, stylized, amount, mask)


def cross_fade(
    photo: UInt8[np.ndarray, "H W 3"],
    picture: UInt8[np.ndarray, "H W 3"],
    amount: float = 1.0,
    mask: UInt8[np.ndarray, "H W"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Mixes a picture with a photo; see `finish`."""
    if amount >= 1 and mask is None:
        return picture
    if amount <= 0:
        return photo
    mixed = np.empty_like(photo)
    for rows in _strips(photo.shape[0]):
        share = np.float32(amount) if mask is None else (mask[rows, :, None] * np.float32(amount / 255)).clip(0, 1)
        mixed[rows] = (photo[rows] * (1 - share) + picture[rows] * share).round()
    return mixed


def with_photo_colors(
    photo: UInt8[np.ndarray, "H W 3"], stylized: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The lightness of a stylized photo with the chroma of the photo, in Oklab.

    The chroma follows the painted edges: a guided filter (He, Sun, Tang 2013) smooths the photo's chroma with the painted
    lightness as its guide. Its coefficients are computed at a smaller size (He & Sun 2015, arXiv:1505.00996). So there are no
    colour fringes where strokes cross the photo's edges. Colours outside sRGB lose chroma, not lightness.
    """
    height, width = photo.shape[:2]
    factor = min(1.0, _GUIDE_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = [np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BOX)) for x in (photo, stylized)]
    (_, chroma), (guide, _) = (_split(to_oklab(x)) for x in small)
    slope, offset = _guided(guide, chroma)
    maps = [
        Image.fromarray(np.ascontiguousarray(x)).resize((width, height), Image.Resampling.BILINEAR)
        for x in (slope[..., 0], slope[..., 1], offset[..., 0], offset[..., 1])
    ]
    picture = np.empty_like(photo)
    for rows in _strips(height):
        part = [np.asarray(x.crop((0, rows.start, width, min(rows.stop, height)))) for x in maps]
        lightness = to_oklab(stylized[rows])[..., 0]
        axes = [part[axis] * lightness + part[2 + axis] for axis in (0, 1)]
        picture[rows] = from_oklab(np.stack([lightness, *axes], axis=-1))
    return picture


def _strips(height: int) -> list[slice]:
    return [slice(top, min(top + _STRIP, height)) for top in range(0, height, _STRIP)]


def _split(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return lab[..., 0], lab[..., 1:]


def _guided(guide: Float[np.ndarray, "H W"], values: Float[np.ndarray, "H W C"]) -> tuple[np.ndarray, np.ndarray]:
    """The guided filter's coefficients (slope, offset): around every pixel, values are about slope * guide + offset."""
    guide = guide[..., None]
    mean_guide, mean_values = _box(guide), _box(values)
    variance = _box(guide * guide) - mean_guide**2
    slope = (_box(guide * values) - mean_guide * mean_values) / (variance + _SMOOTH)
    return _box(slope), _box(mean_values - slope * mean_guide)


def _box(x: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W C"]:
    """Means over windows with sides of 2 * `_RADIUS` + 1 pixels; at the border, windows are cropped."""
    for axis in (0, 1):
        length = x.shape[axis]
        sums = np.cumsum(x, axis=axis, dtype=np.float64)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
        first = np.clip(np.arange(length) - _RADIUS, 0, length)
        last = np.clip(np.arange(length) + _RADIUS + 1, 0, length)
        counts = (last - first).reshape([-1 if i == axis else 1 for i in range(3)])
        x = ((sums.take(last, axis) - sums.take(first, axis)) / counts).astype(np.float32)
    return x


def to_oklab(pixels: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """sRGB -> Oklab, float32: lightness 0 to 1, chroma about -0.4 to 0.4."""
    return np.cbrt(_LINEAR[pixels] @ _TO_CONES.T) @ _TO_LAB.T


def from_oklab(lab: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Oklab -> sRGB; colours outside sRGB get less chroma at the same lightness and hue."""
    low, high = np.zeros(lab.shape[:2], np.float32), np.ones(lab.shape[:2], np.float32)
    whole = _shown(_to_linear(lab))
    for _ in range(6):  # bisection: 1/64 of the chroma is less than one level of 8 bits
        middle = (low + high) / 2
        inside = _shown(_to_linear(lab * np.stack([np.ones_like(middle), middle, middle], -1)))
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    share = np.where(whole, 1.0, low).astype(np.float32)
    linear = _to_linear(lab * np.stack([np.ones_like(share), share, share], -1)).clip(0, 1)
    return (255 * light_to_srgb(linear)).round().astype(np.uint8)


def _to_linear(lab: np.ndarray) -> np.ndarray:
    return (lab @ _FROM_LAB.T) ** 3 @ _FROM_CONES.T


def _shown(linear: np.ndarray) -> np.ndarray:
    return np.all((linear >= -1e-4) & (linear <= 1 + 1e-4), axis=-1)


_LINEAR = srgb_to_light(np.arange(256) / 255).astype(np.float32)
