"""The metadata of a photo that the stylized picture may keep: date, camera, exposure settings, author and copyright.

Everything else is dropped: places, serial numbers, owners, comments, thumbnails, maker notes. No pixel is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from emojax.images.opening import exif_of

_MAIN = frozenset({ExifTags.Base[name] for name in ("Make", "Model", "DateTime", "Artist", "Copyright")})
_DETAIL_NAMES = """
    DateTimeOriginal DateTimeDigitized OffsetTime OffsetTimeOriginal OffsetTimeDigitized SubsecTime SubsecTimeOriginal
    SubsecTimeDigitized LensMake LensModel ExposureTime FNumber ExposureProgram ISOSpeedRatings ShutterSpeedValue
    ApertureValue ExposureBiasValue MeteringMode Flash FocalLength FocalLengthIn35mmFilm ExposureMode WhiteBalance
"""
_DETAILS = frozenset(ExifTags.Base[name] for name in _DETAIL_NAMES.split())
_LONGEST = 500  # the most characters of a text that are kept
WITHOUT = frozenset({"GIF", "BMP", "PPM", "TGA", "JPEG2000"})
"""written formats that cannot store EXIF"""


def harmless_metadata(image: Image.Image) -> dict[int, Any]:
    """The EXIF tags of a decoded image that are kept: texts and numbers by tag; damaged ones are left out."""
    exif = exif_of(image)
    found = {tag: value for tag, value in exif.items() if tag in _MAIN}
    try:
        details = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # as in `exif_of`
        details = {}
    found |= {tag: value for tag, value in details.items() if tag in _DETAILS}
    checked = {tag: _checked(value) for tag, value in found.items()}
    return {tag: value for tag, value in checked.items() if value is not None}


def _checked(value: Any) -> Any:
    """The value if it is a text or number that can be written again; else None."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")  # as Pillow decodes texts
    if isinstance(value, str):
        return "".join(c for c in value if c >= " " and c != "\x7f")[:_LONGEST].strip() or None
    if isinstance(value, TiffImagePlugin.IFDRational):
        numerator, denominator = int(value.numerator), int(value.denominator)
        return value if denominator and max(abs(numerator), abs(denominator)) < 2**31 else None
    return value if isinstance(value, int) and 0 <= value < 2**16 else None


def _encoded(value: Any) -> Any:
    """The value in the form that Pillow writes unchanged: a text beyond ASCII as Latin-1 bytes, anything else as it is."""
    return value.encode("latin-1", "replace") if isinstance(value, str) and not value.isascii() else value


def add_metadata(exif: Image.Exif, metadata: Mapping[int, Any], format: str) -> None:
    """Adds tags of `harmless_metadata` to those that are written.

    Pillow does not write exposure settings into a compressed TIFF. There, the date of the shot becomes the file's date.
    """
    written = {tag: _encoded(value) for tag, value in metadata.items()}
    taken = written.get(ExifTags.Base.DateTimeOriginal)
    if format == "TIFF" and taken is not None:
        written[ExifTags.Base.DateTime] = taken
    details = {tag: value for tag, value in written.items() if tag in _DETAILS}
    for tag, value in written.items():
        if tag in _MAIN:
            exif[tag] = value
    if details and format != "TIFF":
        exif.get_ifd(ExifTags.IFD.Exif).update(details)
