"""Decoding: a path, bytes, a PIL image or an array becomes a `Photo`.

A photo is uint8 [H, W, 3], 0..255, sRGB, upright, channels last. Its alpha is uint8 [H, W], 0 transparent to 255 opaque.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from emojax.errors import UserError
from emojax.images.colour import alpha_of, over_white, to_srgb
from emojax.images.opening import exif_of, open_image, pillow_limits
from emojax.images.sizes import MAX_MEGAPIXELS, check_megapixels, check_size

_NOT_ANIMATED = frozenset({"MPO", "PSD"})  # their further frames are previews and layers, not moments
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
    note: str | None = None
    """what the user should know, in one line"""


def read_photo(
    source: str | os.PathLike | bytes | Image.Image | np.ndarray,
    max_megapixels: float = MAX_MEGAPIXELS,
    name: str | None = None,
) -> Photo:
    """Decodes a photo of any format and mode that Pillow reads.

    The EXIF orientation is applied and a colour profile converted to sRGB (a profile that is broken, or of another
    colour space than the picture, is ignored with a note). Of an animation the first frame is taken, with a note. Grey
    with more than 8 bits: integers are 0..65535, or stretched from their smallest to their largest value where they do
    not fit; floats are 0..1, else 0..255, else stretched.

    Args:
        source: a path, an encoded file's bytes, a PIL image, or uint8 [H, W, 3].
        max_megapixels: refuse what is larger (10^6 pixels each), before it is decoded.
        name: what errors call the photo; by default its path.

    Raises:
        UserError: a file that is missing, empty, damaged, too large or no image; an array of another dtype or shape.
    """
    check_megapixels(max_megapixels)
    if isinstance(source, str | os.PathLike):
        name = name or os.fspath(source)
    name = name or "the photo"
    if not isinstance(source, str | os.PathLike | bytes | Image.Image):
        return _check_array(np.asarray(source), max_megapixels, name)
    with pillow_limits(max_megapixels), contextlib.ExitStack() as stack:
        try:
            image = source if isinstance(source, Image.Image) else stack.enter_context(open_image(source))
            check_size(image.width * image.height, max_megapixels, name)
            animated = image.format not in _NOT_ANIMATED and getattr(image, "is_animated", False)
            image.load()
            if image.mode in ("P", "PA") and image.palette is None:  # Pillow's asserts would stumble over it
                raise OSError("its palette is missing")
        except UserError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:  # pictures inside of pictures
            pixels = re.search(r"\d+", str(error))
            check_size(int(pixels[0]) if pixels else math.inf, max_megapixels, name)
            raise UserError(f"cannot read {name}: {error}") from None
        except UnidentifiedImageError:
            raise UserError(f"cannot read {name}: not an image, or of a format that Pillow does not know") from None
        except MemoryError:
            raise UserError(f"cannot read {name}: not enough memory") from None
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror or error}") from None
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise UserError(f"cannot read {name}: it is damaged ({error})") from None
        frame = image.tell()  # an opened image of the caller's may stand at any
        place = f"frame {frame + 1}" if frame else "first frame"
        return _convert(image, [f"an animation, its {place} was used"] if animated else [])


def read_size(path: str | os.PathLike, max_megapixels: float = MAX_MEGAPIXELS) -> tuple[int, int] | None:
    """Returns the (height, width) that `read_photo` will find, from the header alone; None where there is none.

    The answer helps to plan ahead and may be wrong: the orientation of a PNG is not searched behind its pixels.
    """
    if not os.path.isfile(path):  # a pipe can be read only once
        return None
    try:
        with pillow_limits(max_megapixels), open_image(path) as image:
            width, height = image.size
            # Pillow has turned a TIFF's size already, and would decode a PNG in search of the tag.
            tagged = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
            if tagged and exif_of(image).get(ExifTags.Base.Orientation, 1) in _SIDEWAYS:
                width, height = height, width
    except Exception:  # as in `read_photo`, which reports what is wrong
        return None
    return (height, width) if 0 < height * width <= max_megapixels * 1e6 else None


def _check_array(pixels: np.ndarray, max_megapixels: float, name: str) -> Photo:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
        raise UserError(f"{name} is {pixels.dtype} {list(pixels.shape)}: give uint8 [H, W, 3]")
    check_size(pixels.shape[0] * pixels.shape[1], max_megapixels, name)
    return Photo(pixels)


def _convert(image: Image.Image, notes: Sequence[str]) -> Photo:
    """Converts a decoded image of any mode to a photo."""
    alpha = alpha_of(image)
    picture, problem = to_srgb(image)
    notes = [*notes, *([problem] if problem else [])]
    if alpha is not None:
        picture = over_white(picture, alpha)
    # after load(), because Pillow turns some formats (TIFF) itself, and then drops the tag
    turn = _TRANSPOSE.get(exif_of(image).get(ExifTags.Base.Orientation, 1))
    if turn is not None:
        picture = picture.transpose(turn)
        alpha = None if alpha is None else alpha.transpose(turn)
    return Photo(np.array(picture), None if alpha is None else np.array(alpha), "; ".join(notes) or None)
