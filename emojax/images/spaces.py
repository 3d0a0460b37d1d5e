"""Colour spaces that are declared by numbers instead of an ICC profile, and their conversion to sRGB.

Pictures are PIL images in mode L or RGB, uint8, 0..255, coded in the space. The result is RGB, uint8, 0..255, sRGB.

The numbers are those of ITU-T H.273 ("CICP"). HDR follows ITU-R BT.2100, with diffuse white at 203 cd/m2 (ITU-R BT.2408).
If an HDR picture has light above white, a shoulder compresses everything above 0.6 of white; darker colours stay exact.
The camera curves of video (transfer 1, 6, 7, 11, 12, 14, 15) are treated as the curve of sRGB, as photo viewers do.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from emojax.images.units import light_to_srgb, srgb_to_light, to_uint8

Primaries = tuple[float, float, float, float, float, float, float, float]
"""x, y of red, green, blue and white"""

_D65 = (0.3127, 0.3290)
SRGB_PRIMARIES: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
ADOBE_PRIMARIES: Primaries = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65)
_CICP_PRIMARIES: dict[int, Primaries] = {
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,  # unspecified
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *_D65),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    11: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.314, 0.351),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, *_D65),
    22: (0.63, 0.34, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_NAMES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}

Transfer = float | Literal["srgb", "pq", "hlg", "cinema"]
"""how a code value becomes light: a power, or a named curve"""
_CICP_TRANSFERS: dict[int, Transfer] = {
    **dict.fromkeys((1, 2, 6, 7, 11, 12, 13, 14, 15), "srgb"),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    16: "pq",
    17: "cinema",
    18: "hlg",
}

_WHITE_NITS = 203.0
_HLG_NITS = 1000.0
_KNEE = 0.6  # as a share of white's light; brighter light is compressed to make room for an HDR picture's highlights
_STRIP = 1 << 20  # pixels converted at a time
_SAMPLE = 1 << 18  # pixels in the sample that gives the brightest light


@dataclass(frozen=True)
class ColourSpace:
    """An RGB colour space; equal values of the three channels are grey."""

    primaries: Primaries = SRGB_PRIMARIES
    transfer: Transfer = "srgb"
    full_range: bool = True
    """whether black is 0 and white 255; otherwise black is 16 and white 235, as in video"""

    @property
    def is_srgb(self) -> bool:
        """Whether the space is sRGB, so that nothing has to be converted."""
        return self.has_srgb_primaries and self.transfer == "srgb" and self.full_range

    @property
    def has_srgb_primaries(self) -> bool:
        """Whether the primaries are those of sRGB, within the rounding of files."""
        return all(math.isclose(a, b, abs_tol=0.002) for a, b in zip(self.primaries, SRGB_PRIMARIES, strict=True))

    @property
    def is_hdr(self) -> bool:
        """Whether the picture can hold light above white."""
        return self.transfer in ("pq", "hlg")


SRGB = ColourSpace()


def from_cicp(primaries: int, transfer: int, full_range: bool = True) -> ColourSpace | None:
    """Returns the colour space of two numbers of ITU-T H.273; None if they are reserved or not supported."""
    if primaries not in _CICP_PRIMARIES or transfer not in _CICP_TRANSFERS:
        return None
    return ColourSpace(_CICP_PRIMARIES[primaries], _CICP_TRANSFERS[transfer], full_range)


def from_gamma(gamma: float | None, primaries: Primaries | None = None) -> ColourSpace | None:
    """Returns the colour space of a PNG's gamma (of encoding, such as 0.45455) and primaries; None if impossible.

    A gamma of 1/2.2, or none, stands for the curve of sRGB, as the programs that write it mean. Without primaries, those of
    sRGB are taken.
    """
    primaries = primaries or SRGB_PRIMARIES
    if gamma is None or math.isclose(gamma, 1 / 2.2, abs_tol=0.005):
        space = ColourSpace(primaries)
    elif not 0.1 <= gamma <= 10:
        return None
    else:
        space = ColourSpace(primaries, 1 / gamma)
    return space if is_possible(space.primaries) else None


def is_possible(primaries: Primaries) -> bool:
    """Tells whether primaries span a colour space that contains its white point."""
    if not all(map(math.isfinite, primaries)) or min(primaries[1], primaries[3], primaries[5]) < 0 or primaries[7] <= 0:
        return False
    try:
        matrix = _to_xyz(primaries)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(matrix).all() and np.linalg.cond(matrix) < 1e4 and (matrix[1] > -0.01).all())


def convert(picture: Image.Image, space: ColourSpace) -> Image.Image:
    """Converts a picture (L or RGB) to sRGB (RGB)."""
    if space.is_srgb:
        return picture.convert("RGB")
    table = _to_light(np.arange(256) / 255, space)
    if not space.is_hdr and (picture.mode == "L" or space.has_srgb_primaries):  # the channels are independent
        return picture.point(_encode(table).tolist() * len(picture.getbands())).convert("RGB")
    values = np.asarray(picture)
    values = values[..., None] if values.ndim == 2 else values
    peak = _peak(values, table, space)
    result = np.empty((*values.shape[:2], values.shape[2]), np.uint8)
    rows = max(1, _STRIP // values.shape[1])
    for start in range(0, len(values), rows):
        light = _to_srgb_light(table[values[start : start + rows]], space)
        result[start : start + rows] = _encode(_compress(light, peak))
    return Image.fromarray(result[..., 0] if result.shape[2] == 1 else result).convert("RGB")


def convert_grey(unit: np.ndarray, space: ColourSpace) -> np.ndarray:
    """Converts grey, float 0..1 [H, W], to uint8 in sRGB; for pictures with more than 8 bits."""
    light = _to_srgb_light(_to_light(unit, space)[..., None], space)
    return _encode(_compress(light, float(light.max()) if space.is_hdr else 1.0))[..., 0]


def _to_light(codes: np.ndarray, space: ColourSpace) -> np.ndarray:
    """Converts code values 0..1 to light. 1 is white; for HLG, 1 is the brightest light of the scene."""
    codes = np.asarray(codes, np.float64)
    if not space.full_range:
        codes = ((codes * 255 - 16) / 219).clip(0, 1)
    if space.transfer == "srgb":
        light = srgb_to_light(codes)
    elif space.transfer == "pq":
        root = codes ** (32 / 2523)
        light = (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)
        light = light * (10_000 / _WHITE_NITS)
    elif space.transfer == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    elif space.transfer == "cinema":  # SMPTE ST 428-1
        light = codes**2.6 * (52.37 / 48)
    else:
        light = codes**space.transfer
    return light.astype(np.float32)


def _to_srgb_light(light: np.ndarray, space: ColourSpace) -> np.ndarray:
    """Converts light [..., 1 or 3] in the primaries of a space to those of sRGB; white is 1."""
    if space.transfer == "hlg":  # the display's part of the curve depends on the luminance
        weights = _to_xyz(space.primaries)[1].astype(np.float32)
        luminance = (light @ weights)[..., None] if light.shape[-1] == 3 else light
        light = light * luminance ** np.float32(0.2) * np.float32(_HLG_NITS / _WHITE_NITS)
    if light.shape[-1] == 3:
        light = light @ _to_srgb_matrix(space.primaries).astype(np.float32).T
    return np.maximum(light, 0)


def _peak(values: np.ndarray, table: np.ndarray, space: ColourSpace) -> float:
    """Returns the brightest light of a picture, from a sample of its pixels; 1 where there are no highlights."""
    if not space.is_hdr:
        return 1.0
    step = max(1, math.isqrt(values.shape[0] * values.shape[1] // _SAMPLE))
    return float(_to_srgb_light(table[values[::step, ::step]], space).max())


def _compress(light: np.ndarray, peak: float) -> np.ndarray:
    """Compresses the light above the knee such that the peak becomes 1; the ratios of the channels stay the same."""
    if peak <= 1:
        return light
    brightest = light.max(axis=-1, keepdims=True)
    over = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    highest = (peak - _KNEE) / (1 - _KNEE)
    compressed = _KNEE + (1 - _KNEE) * over * (1 + over / highest**2) / (1 + over)
    return np.where(brightest > _KNEE, light * (compressed / np.maximum(brightest, _KNEE)), light)


def _encode(light: np.ndarray) -> np.ndarray:
    """Converts light 0..1 to uint8 by the curve of sRGB; values outside are clipped."""
    return _curve()[(light.clip(0, 1) * 65535 + 0.5).astype(np.uint16)]


@functools.cache
def _curve() -> np.ndarray:
    """The curve of sRGB as a table: light in steps of 1/65535 -> uint8. The darkest values are 20 steps apart."""
    light = np.arange(65536) / 65535
    return to_uint8(light_to_srgb(light))


def _to_xyz(primaries: Primaries) -> np.ndarray:
    """Returns the matrix from the primaries' light to CIE XYZ, whose white has Y = 1."""
    x, y = np.array(primaries[0:6:2]), np.array(primaries[1:6:2])
    colours = np.stack([x, y, 1 - x - y])  # each column is known up to a factor
    return colours * np.linalg.solve(colours, _white(primaries))


def _white(primaries: Primaries) -> np.ndarray:
    x, y = primaries[6:]
    return np.array([x / y, 1, (1 - x - y) / y])


def _to_srgb_matrix(primaries: Primaries) -> np.ndarray:
    """Returns the matrix from the primaries to those of sRGB; a different white point is adapted (Bradford)."""
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    gain = (cone @ _white(SRGB_PRIMARIES)) / (cone @ _white(primaries))
    adapt = np.linalg.inv(cone) @ (gain[:, None] * cone)
    return np.linalg.inv(_to_xyz(SRGB_PRIMARIES)) @ adapt @ _to_xyz(primaries)
