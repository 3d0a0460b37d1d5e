"""Decoding: converts a path, bytes, a PIL image or an array to a `Photo`.

A photo is uint8 [H, W, 3], 0..255, sRGB, upright, channels last. Its alpha is uint8 [H, W], 0 transparent to 255 opaque.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from emojax.errors import EmojaxError, InputError
from emojax.images.colour import alpha_of, over_white, rescaled_transparency, to_srgb
from emojax.images.declared import Declared, declared_in_file
from emojax.images.formats import OPENED
from emojax.images.isobmff import SeekableFile
from emojax.images.mend import (
    LAST_BYTES,
    MAY_MISS,
    Mended,
    is_filled_up,
    is_mendable,
    lacks_palette,
    mend,
    missing_share,
    truncated,
)
from emojax.images.metadata import harmless_metadata
from emojax.images.opening import (
    MAX_BYTES,
    BinaryFile,
    Refused,
    exif_of,
    open_image,
    open_stream,
    pillow_limits,
    read_bounded,
    refuse_opened,
    stream_of,
    truncated_files_allowed,
)
from emojax.images.signatures import jxl_size, unidentified
from emojax.images.sizes import MAX_MEGAPIXELS, check_megapixels, check_size

_NOT_ANIMATED = frozenset({"MPO", "PSD", "HEIF"})  # their further frames are previews, layers or other photos
_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_FINAL = (EmojaxError, MemoryError, Refused, *_BOMBS)
"""failures that repairing the file cannot avoid"""
_LONGEST = 150  # the most characters of a decoder's error that a message repeats
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the transposition that makes the picture upright"""
_SIDEWAYS = frozenset({5, 6, 7, 8})  # the orientations that swap height and width


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo: upright, sRGB, composited over white where it is transparent."""

    pixels: np.ndarray
    """uint8 [H, W, 3]"""
    alpha: np.ndarray | None = None
    """uint8 [H, W]; None for a photo without transparency"""
    notes: tuple[str, ...] = ()
    """notes for the user: an animation, a damaged file, colours that were ignored, ..."""
    metadata: Mapping[int, Any] = field(default_factory=dict)
    """the harmless EXIF tags, see `emojax.images.metadata`"""

    def __post_init__(self) -> None:
        """Raises InputError for pixels or an alpha of another dtype or shape."""
        _check_pixels(self.pixels, "the photo")
        alpha, size = self.alpha, self.pixels.shape[:2]
        if alpha is not None and not (
            isinstance(alpha, np.ndarray) and alpha.dtype == np.uint8 and alpha.shape == size
        ):
            raise InputError(f"`alpha` is {_kind(alpha)}: give uint8 {list(size)}, the size of `pixels`")

    @property
    def note(self) -> str | None:
        """The notes in one line; None if there are none."""
        return "; ".join(self.notes) or None


@runtime_checkable
class ArrayLike(Protocol):
    """An array of NumPy, JAX or another library."""

    def __array__(self) -> np.ndarray: ...


if TYPE_CHECKING:
    PhotoLike: TypeAlias = (
        str | os.PathLike | bytes | bytearray | memoryview | BinaryFile | Image.Image | np.ndarray | ArrayLike
    )
    """what a photo is read from: a path, an encoded file, a PIL image, or an array uint8 [H, W, 3]"""
else:
    PhotoLike = object  # `read_photo` itself refuses other types, with an error for users


def read_photo(source: PhotoLike, max_megapixels: float = MAX_MEGAPIXELS, name: str | None = None) -> Photo:
    """Decodes a photo in one of the formats of `formats.OPENED`, in any mode, and HEIC and JPEG XL with a plugin.

    The EXIF orientation is applied. Colours are converted to sRGB, by an ICC profile or the format's equivalent; unusable
    colour declarations are ignored with a note. Highlights of HDR pictures are compressed. An animation is read as its first
    frame, with a note. A damaged file is read if most of it is intact, with a note. Grey with more than 8 bits: integers are
    0..65535, or stretched from their smallest to their largest value if they are out of that range; floats are 0..1, else
    0..255, else stretched.

    Args:
        source: a path; an encoded file as bytes, bytearray, memoryview or open binary file (read from its start if it is
            seekable); a PIL image; or an array uint8 [H, W, 3].
        max_megapixels: larger photos are refused before they are decoded; in units of 10^6 pixels.
        name: the photo's name in error messages; by default its path.

    Raises:
        InputError: a file that is missing, empty, damaged, too large or not an image; an array of another dtype or shape; an
            object of another type.
    """
    check_megapixels(max_megapixels)
    if isinstance(source, str | os.PathLike):
        source = os.fsdecode(_as_path(source))
        name = name or source
    name = name or "the photo"
    if isinstance(source, ArrayLike) and not isinstance(source, Image.Image | str):  # a string of NumPy is both
        return _check_array(_as_array(source, name), max_megapixels, name)
    with pillow_limits(max_megapixels):
        try:
            if isinstance(source, Image.Image):
                return _decode_opened(source, max_megapixels, name)
            with open_stream(_encoded(source, name)) as stream:
                return _decode_stream(stream, max_megapixels, name)
        except EmojaxError:
            raise
        except _BOMBS as error:  # also for pictures inside pictures
            pixels = re.search(r"\d+", str(error))
            check_size(int(pixels[0]) if pixels else math.inf, max_megapixels, name)
            raise InputError(f"cannot read {name}: {error}") from None
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise InputError(f"cannot read {name}: {_reason(error)}") from None


def _as_path(source: str | os.PathLike) -> str | bytes:
    """Returns the path that an object stands for."""
    try:
        return os.fspath(source)
    except Exception as error:  # from another library's path
        reason = " ".join(str(error).split())[:_LONGEST]
        raise InputError(f"the photo is a {type(source).__name__} that gives no path: {reason}") from None


def _as_array(source: ArrayLike, name: str) -> np.ndarray:
    """Converts an array of any library to a NumPy array."""
    try:
        return np.asarray(source)
    except Exception as error:  # from another library: an array on a device that NumPy cannot read, inside a trace, ...
        reason = " ".join(str(error).split())[:_LONGEST]
        raise InputError(f"{name} is a {type(source).__name__} that NumPy cannot read: {reason}") from None


def _encoded(source: object, name: str) -> str | os.PathLike | bytes:
    """Returns the path or the bytes of an encoded file."""
    if isinstance(source, str | os.PathLike | bytes):
        return source
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if getattr(source, "closed", False) is True:
        raise InputError(f"{name} is a closed file: open it again")
    if isinstance(source, io.TextIOBase):
        raise InputError(f"{name} is a file opened as text: open it with mode 'rb'")
    if isinstance(source, BinaryFile):
        if isinstance(source, SeekableFile) and getattr(source, "seekable", lambda: True)():
            source.seek(0)
        return read_bounded(source)
    raise InputError(
        f"{name} is a {type(source).__name__}: give a path, a PIL image, uint8 [H, W, 3], or an encoded file's bytes"
    )


def _decode_opened(image: Image.Image, max_megapixels: float, name: str) -> Photo:
    """Decodes an image that the caller has opened. If it is not loaded yet, it is checked and repaired like a file."""
    stream = stream_of(image)
    if stream is None:
        return _decode(image, max_megapixels, name)
    refuse_opened(image, stream)
    try:
        return _decode(image, max_megapixels, name)
    except _FINAL:
        raise
    except Exception:
        if image.format not in OPENED or image.tell():
            raise
        stream.seek(0)
        return _decode_stream(stream, max_megapixels, name)


def _decode_stream(stream: SeekableFile, max_megapixels: float, name: str) -> Photo:
    """Decodes an encoded file; a damaged file is repaired first."""
    try:
        if is_filled_up(stream):
            raise OSError("the file is truncated")
        if lacks_palette(stream):
            raise Refused("the file is truncated: its palette is missing")
        return _decode(open_image(stream, name, max_megapixels), max_megapixels, name)
    except _FINAL:
        raise
    except Exception as error:
        stream.seek(0)
        data = stream.read(16)
        data += stream.read(MAX_BYTES) if is_mendable(data) else b""
        mended = mend(data, max_megapixels * 1e6)
        if isinstance(mended, str):
            raise OSError(mended) from None
        if mended is None:
            raise _Damaged(error, data) from None
        try:
            return _decode(open_image(io.BytesIO(mended.data), name, max_megapixels), max_megapixels, name, mended)
        except _FINAL:
            raise
        except Exception:
            if mended.notes == (LAST_BYTES,):
                raise OSError("the file is truncated: what is left of it cannot be decoded") from None
            raise _Damaged(error, data) from None


def _decode(image: Image.Image, max_megapixels: float, name: str, mended: Mended | None = None) -> Photo:
    """Decodes an opened image; `mended` is the repaired file that it comes from, if any."""
    check_size(image.width * image.height, max_megapixels, name)
    animated = image.format not in _NOT_ANIMATED and getattr(image, "is_animated", False)
    declared, transparent = declared_in_file(image), rescaled_transparency(image)
    with truncated_files_allowed() if mended and mended.partial else contextlib.nullcontext():
        image.load()
    if image.mode in ("P", "PA") and image.palette is None:  # otherwise, one of Pillow's asserts would fail
        raise OSError("its palette is missing")
    notes = list(mended.notes) if mended else []
    if mended and mended.blanks:
        share = missing_share(np.asarray(image), mended)
        if share > MAY_MISS:
            raise Refused(truncated(share))
        if share > 0.005:
            notes = [f"the file is truncated, {100 * share:.0f} % of the picture is missing"]
    if animated:
        frame = image.tell()  # an image that the caller opened may be at any frame
        notes.append(f"an animation, its {f'frame {frame + 1}' if frame else 'first frame'} was used")
    return _convert(image, declared, transparent, notes)


def _convert(
    image: Image.Image, declared: Declared, transparent: int | tuple[int, ...] | None, notes: Sequence[str]
) -> Photo:
    """Converts a decoded image of any mode to a photo; for `declared` and `transparent` see `_decode`."""
    alpha, metadata = alpha_of(image, transparent), harmless_metadata(image)
    picture, problem = to_srgb(image, declared)
    notes = [*notes, *([problem] if problem else [])]
    if alpha is not None:
        picture = over_white(picture, alpha)
    # After load(): Pillow itself turns some formats (TIFF), and then drops the tag.
    turn = _TRANSPOSE.get(_orientation(image))
    if turn is not None:
        picture = picture.transpose(turn)
        alpha = None if alpha is None else alpha.transpose(turn)
    alpha_pixels = None if alpha is None else np.array(alpha)
    return Photo(np.array(picture), alpha_pixels, tuple(notes), metadata)


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation that has not been applied yet."""
    if image.format == "JXL" and not getattr(image, "jpeg", False):  # the decoder turns all but restored JPEGs
        return 1
    return exif_of(image).get(ExifTags.Base.Orientation, 1)


class _Damaged(Exception):
    """A file that could not be decoded; the arguments are the decoder's exception and the file's data."""


def _reason(error: Exception) -> str:
    """Returns why a photo cannot be read."""
    data = b""
    if isinstance(error, _Damaged):
        error, data = error.args
    if isinstance(error, UnidentifiedImageError):
        return unidentified(data[:16])
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = str((isinstance(error, OSError) and error.strerror) or error).partition(". ")[0]
    text = " ".join(text.split())
    if text == "not enough image data":  # Pillow's words where it unpacks pixels
        return "the file is truncated"
    return text if isinstance(error, OSError) else f"it is damaged ({text[:_LONGEST]})"


def _kind(thing: object) -> str:
    return f"{thing.dtype} {list(thing.shape)}" if isinstance(thing, np.ndarray) else f"a {type(thing).__name__}"


def _check_pixels(pixels: object, name: str) -> None:
    photo = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size
    if not (photo and pixels.shape[-1] == 3):  # type: ignore[attr-defined]
        raise InputError(f"{name} is {_kind(pixels)}: give uint8 [H, W, 3]")


def _check_array(pixels: np.ndarray, max_megapixels: float, name: str) -> Photo:
    _check_pixels(pixels, name)
    check_size(pixels.shape[0] * pixels.shape[1], max_megapixels, name)
    return Photo(pixels)


def read_size(path: str | os.PathLike, max_megapixels: float = MAX_MEGAPIXELS) -> tuple[int, int] | None:
    """Returns the (height, width) that `read_photo` will find, from the header alone; None if it cannot be read.

    The size serves for planning and may be wrong: the orientation of a PNG is not searched after its pixels.
    """
    if not os.path.isfile(path):  # a pipe can be read only once
        return None
    try:
        with pillow_limits(max_megapixels), open_stream(path) as stream:
            size = jxl_size(stream) or _size_of(open_image(stream, os.fsdecode(path), max_megapixels))
    except Exception:  # `read_photo` will report it
        return None
    return size if 0 < math.prod(size) <= max_megapixels * 1e6 else None


def _size_of(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # Pillow has already turned a TIFF's size, and would decode a PNG to search for the tag.
    tagged = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
    return (width, height) if tagged and _orientation(image) in _SIDEWAYS else (height, width)
