"""Colour management: converts an image of any mode and colour profile to sRGB, and separates its transparency.

Pictures are PIL images. The results are RGB (uint8, 0..255, sRGB) and alpha (mode L, 0 transparent to 255 opaque).
"""

from __future__ import annotations

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms

from emojax.images.declared import Declared, declared_in_exif
from emojax.images.spaces import ColourSpace, convert, convert_grey

_BLOCK = 1 << 22  # pixels that are converted at a time
_BROKEN = "its colour profile is broken and was ignored"


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.cache
def srgb_profile() -> bytes:
    """Returns an sRGB colour profile, the same bytes each time."""
    profile = bytearray(_srgb().tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # a fixed date, so that equal pictures give equal files
    return bytes(profile)


def over_white(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    """Composites a picture over white."""
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)


def rescaled_transparency(image: Image.Image) -> int | tuple[int, ...] | None:
    """Returns the grey or colour that a PNG declares as transparent, scaled as Pillow scales the pixels when it loads them.

    Pillow keeps the value as it is in the file, where grey may have 2 or 4 bits and colours 16. None: nothing is to be scaled.
    Call it before the image is loaded.
    """
    value, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    raw = tiles[0][3] if image.format == "PNG" and tiles else None
    if isinstance(value, int) and raw in ("L;2", "L;4"):
        return value * (85 if raw == "L;2" else 17)
    if isinstance(value, tuple) and raw == "RGB;16B":
        return tuple(part >> 8 for part in value)
    return None


def alpha_of(image: Image.Image, transparent: int | tuple[int, ...] | None) -> Image.Image | None:
    """Returns the transparency in mode L, from a channel, a palette or one colour declared as transparent; None if opaque.

    Args:
        image: the loaded image.
        transparent: what `rescaled_transparency` returned before the image was loaded.
    """
    if transparent is not None:
        image = image.copy()
        image.info["transparency"] = transparent
    if _is_deep(image):
        transparent = image.info.get("transparency")
        return None if transparent is None else Image.fromarray(np.uint8(255) * (np.asarray(image) != transparent))
    if image.mode == "La":  # premultiplied; it does not convert to RGBA in one step
        image = image.convert("LA")
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None


def to_srgb(image: Image.Image, declared: Declared) -> tuple[Image.Image, str | None]:
    """Converts a loaded image of any mode to RGB in sRGB, without alpha.

    Args:
        image: the image.
        declared: what `declared_in_file` returned before the image was loaded.

    Returns:
        The picture, and a note if its colours cannot be converted as the file declares.
    """
    profile = image.info.get("icc_profile") or declared.profile
    note = declared.note
    if not profile and "icc_profile" in image.info and image.format in ("PNG", "JPEG", "MPO"):  # Pillow dropped it
        note = note or _BROKEN
    if image.mode == "LAB":  # device-independent; Pillow itself converts it to sRGB
        return image.convert("RGB"), None
    space = declared.space
    if space is None and not profile and note is None:
        space = declared_in_exif(image)
    if space is not None and image.mode != "CMYK":
        note = "high dynamic range, converted to the standard range" if space.is_hdr else note
        if _is_deep(image):
            return Image.fromarray(_deep_grey(image, space)).convert("RGB"), note
        return convert(_plain(image), space), note
    image = _plain(image)
    if not profile or profile == srgb_profile():
        return _to_rgb(image), note
    return _apply_profile(image, profile)


def _apply_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    """Converts L, RGB or CMYK by an ICC profile; see `to_srgb`."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = profile[16:20].decode("ascii", "replace").strip()  # the header's field for the colour space
        if space == "RGB" and image.mode == "L":  # grey photos often carry the profile of the camera
            image = image.convert("RGB")
        if space != {"L": "GRAY"}.get(image.mode, image.mode):
            return image.convert("RGB"), f"its colour profile is for {space}, not for this picture, and was ignored"
        converted = ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
        assert converted is not None  # None is for inPlace only
        return converted, None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return image.convert("RGB"), _BROKEN


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _in_blocks(values: np.ndarray, top: float, dtype: type) -> np.ndarray:
    """Converts grey of 16 or 32 bits, integer or float, to 0..`top`; see `read_photo` for the ranges.

    It works block by block, because a whole scan in float64 would take gigabytes.
    """
    rows = max(1, _BLOCK // values.shape[1])
    blocks = [values[start : start + rows] for start in range(0, len(values), rows)]
    ends = [(block.min(), block.max()) for block in map(_finite, blocks)]
    low, high = min(least for least, _ in ends), max(most for _, most in ends)
    full = 65535 if np.issubdtype(values.dtype, np.integer) else 1
    if low >= 0 and high <= full:
        low, high = 0, full
    elif low >= 0 and high <= 255:
        low, high = 0, 255
    result: np.ndarray = np.empty(values.shape, dtype)
    for block, target in zip(blocks, np.split(result, range(rows, len(values), rows)), strict=True):
        target[:] = ((_finite(block) - low) / ((high - low) or 1) * top).round()
    return result


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)


def _deep_grey(image: Image.Image, space: ColourSpace) -> np.ndarray:
    """Converts grey of more than 8 bits in a colour space to uint8 in sRGB, by a table of the values that occur."""
    codes = _in_blocks(np.asarray(image), 65535, np.uint16)
    there = np.flatnonzero(np.bincount(codes.reshape(-1), minlength=65536))
    table = np.zeros(65536, np.uint8)
    table[there] = convert_grey(there[None] / 65535, space)[0]
    return table[codes]


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts to mode RGB; unlike Pillow, does not copy an image that is already in that mode."""
    return image if image.mode == "RGB" else image.convert("RGB")


def _plain(image: Image.Image) -> Image.Image:
    """Converts any mode except LAB to L, RGB or CMYK without alpha; colour values stay as they are."""
    if _is_deep(image):
        return Image.fromarray(_in_blocks(np.asarray(image), 255, np.uint8))
    if image.mode in ("1", "L", "LA", "La"):
        return (image.convert("LA") if image.mode == "La" else image).convert("L")
    if image.mode == "RGBa":
        return image.convert("RGBA").convert("RGB")
    return image if image.mode == "CMYK" else _to_rgb(image)
