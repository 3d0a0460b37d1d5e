"""Encoding: writes a picture to a file with an sRGB profile and the mark of emojax.

Pictures are PIL images in mode RGB or RGBA, uint8, 0..255, sRGB. The file contains none of the photo's metadata, or only what
`emojax.images.metadata` keeps: never the orientation, and never a place. The software tag says "emojax VERSION"; `is_ours`
recognizes pictures by this tag. A description may say how the picture was made.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import ExifTags, Image, PngImagePlugin

from emojax import __version__
from emojax.errors import OutputError
from emojax.images.colour import over_white, srgb_profile
from emojax.images.formats import ALPHA_FORMATS, OPENED, format_of
from emojax.images.metadata import add_metadata
from emojax.images.opening import exif_of, pillow_limits
from emojax.util.files import write_atomically

MARK = "emojax"
"""the first word of the software tag in our pictures"""

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},  # chroma at half resolution is visible in saturated brush strokes
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}


@runtime_checkable
class Stream(Protocol):
    """A binary stream that a picture can be written to."""

    def write(self, data: bytes, /) -> Any: ...
    def flush(self) -> Any: ...


def encode(
    image: Image.Image, format: str, description: str | None = None, metadata: Mapping[int, Any] | None = None
) -> bytes:
    """Encodes a picture in a format, one of the values of `FORMATS`, with profile, mark and description (ASCII).

    Args:
        metadata: metadata of the photo, written if the format can store them; see `Photo.metadata`.

    Raises:
        OutputError: the format cannot hold the picture, or this Pillow cannot write it.
    """
    if image.mode == "RGBA" and format not in ALPHA_FORMATS:
        image = over_white(image.convert("RGB"), image.getchannel("A"))
    software = f"{MARK} {__version__}"
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    exif[ExifTags.Base.Software] = software
    text.add_text("Software", software)
    if description is not None:
        exif[ExifTags.Base.ImageDescription] = description
        text.add_text("Description", description)
    options = {"icc_profile": srgb_profile(), "comment": software, **_SAVE_OPTIONS.get(format, {})}
    if metadata:
        add_metadata(exif, metadata, format)
    options |= {"pnginfo": text} if format == "PNG" else {}
    options |= {"exif": exif} if format != "PNG" or metadata else {}
    bare = image.copy()
    bare.info = {}  # Pillow would also write what `info` contains
    stream = io.BytesIO()
    try:
        bare.save(stream, format, **options)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise OutputError(f"cannot write {image.width} x {image.height} pixels as {format}: {error}") from None
    return stream.getvalue()


def write_image(
    image: Image.Image,
    target: str | os.PathLike | Stream,
    format: str | None = None,
    description: str | None = None,
    metadata: Mapping[int, Any] | None = None,
) -> None:
    """Writes a picture (RGB or RGBA, sRGB). A path is written atomically.

    Args:
        target: a path, or a stream.
        format: one of the values of `FORMATS`; by default the one for the path's suffix, and PNG for a stream.
        description: how the picture was made, for its metadata; ASCII.
        metadata: see `encode`.

    Raises:
        InputError: an unknown suffix.
        OutputError: a picture that the format cannot hold, missing write permission, a full disk.
    """
    if isinstance(target, str | os.PathLike):
        write_atomically(Path(target), encode(image, format or format_of(target), description, metadata))
        return
    data = encode(image, format or "PNG", description, metadata)
    try:
        target.write(data)
        target.flush()
    except BrokenPipeError:  # the reader has gone, which is not a mistake; `emojax.util.commandline` handles it
        raise
    except OSError as error:
        raise OutputError(f"cannot write the picture: {error.strerror or error}") from None


def is_ours(path: str | os.PathLike) -> bool:
    """Tells whether a file is a picture that emojax wrote, by the mark in its metadata; False for unreadable files."""
    try:
        with pillow_limits(math.inf), Image.open(path, formats=OPENED) as image:
            words = [image.info.get("Software"), image.info.get("comment")]
            if image.format != "PNG":  # a PNG's EXIF may follow its pixels: reading it would decode them
                words.append(exif_of(image).get(ExifTags.Base.Software))
    except Exception:  # as in `read_photo`, which reports what is wrong
        return False
    texts = [word.decode(errors="replace") if isinstance(word, bytes) else word for word in words]
    return any(isinstance(text, str) and text.split(" ")[0] == MARK for text in texts)
