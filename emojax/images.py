"""Photos in and out. Every range, layout and dtype conversion of the project lives here.

A picture is one of:

    pixels   uint8   [H, W, 3]   0..255, sRGB, upright, channels last: what is decoded, passed around and encoded
    alpha    uint8   [H, W]      0 (transparent)..255 (opaque), beside the pixels of a photo that has transparency
    unit     float32 [..., 3]    0..1, the same picture for the networks (VGG16 alone wants 0..255, see emojax.vgg)

The networks see a photo with transparency composited over white. Its alpha is given back to the stylized picture where
the output's format can carry it (PNG, WebP, TIFF, AVIF, JPEG 2000); in other formats the picture is over white.

Nothing of a photo's metadata is copied to the output: no orientation, location, date or camera. What is written is an
sRGB profile and "emojax VERSION" as the software, by which `is_ours` knows our own pictures.

JAX is not imported here, so that planning a batch does not pay for it: the conversions are methods of the array.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from emojax import __version__
from emojax.errors import UserError
from emojax.files import write_atomically

MAX_MEGAPIXELS = 100.0
STYLE_SCALES = (0.25, 4.0)
MARK = "emojax"
"""the first word of the software that our pictures name in their metadata"""

# What Pillow reads and people call photos; not the documents, video and scientific data that Pillow also knows.
IMAGE_SUFFIXES = frozenset(
    """
    .apng .avif .avifs .bmp .dds .dib .gif .icns .ico .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf
    .jpg .jpx .mpo .pbm .pcx .pfm .pgm .png .pnm .ppm .psd .qoi .sgi .tga .tif .tiff .webp
    """.split()  # noqa: SIM905  a list would take a line each
)
"""lower case; which files of a folder are photos"""

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".jp2": "JPEG2000",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".tga": "TGA",
}
"""suffix -> Pillow's name of the format we write for it"""

UNMARKED = frozenset({"BMP", "PPM", "TGA"})
"""formats without a place for our mark: `is_ours` does not know these pictures again"""

_ALPHA_FORMATS = frozenset({"PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"})
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},  # brush strokes are saturated: chroma at half resolution shows
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
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
"""EXIF orientation -> what makes the picture upright"""
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


# --- conversions --------------------------------------------------------------------------------------------------


def to_unit(pixels: UInt8[Any, "*shape"]) -> Float[Any, "*shape"]:
    """uint8 0..255 -> float32 0..1; of NumPy or JAX, jittable."""
    return pixels.astype(np.float32) / np.float32(255)


def to_255(unit: Float[Any, "*shape"]) -> Float[Any, "*shape"]:
    """float 0..1 -> float 0..255, not rounded: the range that our VGG16 takes."""
    return unit * 255


def to_signed(pixels: UInt8[Any, "*shape"]) -> Float[Any, "*shape"]:
    """uint8 0..255 -> float32 -1..1; of NumPy or JAX, jittable."""
    return pixels.astype(np.float32) / np.float32(127.5) - 1


def to_grey(colour: Float[Any, "*shape 3"]) -> Float[Any, "*shape 1"]:
    """float RGB -> its luminance (ITU-R BT.601, as Pillow's mode L), in the same range; of NumPy or JAX, jittable."""
    red, green, blue = (colour[..., channel : channel + 1] for channel in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def to_uint8(unit: Float[Any, "*shape"]) -> UInt8[Any, "*shape"]:
    """float 0..1 -> uint8 0..255, rounded; what lies outside is clipped. Of NumPy or JAX, jittable."""
    return (unit.clip(0, 1) * 255).round().astype(np.uint8)


def to_picture(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Image.Image:
    """uint8 [H, W, 3] and perhaps alpha uint8 [H, W] -> PIL image, RGB or RGBA."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None:
        picture.putalpha(Image.fromarray(alpha))
    return picture


# --- reading ------------------------------------------------------------------------------------------------------


def check_style_scale(scale: float) -> None:
    """Raises UserError unless a style scale is in `STYLE_SCALES`."""
    least, greatest = STYLE_SCALES
    if not least <= scale <= greatest:
        raise UserError(f"style scale {scale:g}: it is {least:g} to {greatest:g}")


def rescale(photo: UInt8[np.ndarray, "H W 3"], factor: float) -> UInt8[np.ndarray, "H2 W2 3"]:
    """A photo with sides that are `factor` times as long, at least 1 pixel; the photo itself for 1."""
    height, width = photo.shape[:2]
    return _resize(photo, *scaled_size(height, width, factor))


def scaled_size(height: int, width: int, factor: float) -> tuple[int, int]:
    """The (height, width) that `rescale` gives a photo."""
    return max(1, round(height * factor)), max(1, round(width * factor))


def resize_like(picture: UInt8[np.ndarray, "H2 W2 3"], photo: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture at the size of a photo."""
    return _resize(picture, *photo.shape[:2])


def _resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def read_photo(
    source: str | os.PathLike | bytes | Image.Image | np.ndarray,
    max_megapixels: float = MAX_MEGAPIXELS,
    name: str | None = None,
) -> Photo:
    """Decodes a photo of any format and mode that Pillow reads.

    The EXIF orientation is applied and a colour profile converted to sRGB (one that is broken, or of another colour
    space than the picture, is ignored with a note). Of an animation the first frame is taken, with a note. Grey with
    more than 8 bits: integers are 0..65535, or stretched from their smallest to their largest value where they do not
    fit; floats are 0..1, else 0..255, else stretched.

    Args:
        source: a path, an encoded file's bytes, a PIL image, or uint8 [H, W, 3].
        max_megapixels: refuse what is larger (10^6 pixels each), before it is decoded.
        name: what errors call the photo; by default its path.

    Raises:
        UserError: a file that is missing, empty, damaged, too large or no image; an array of another dtype or shape.
    """
    if not max_megapixels > 0:
        raise UserError(f"--max-megapixels {max_megapixels}: give a number above 0")
    if isinstance(source, str | os.PathLike):
        name = name or os.fspath(source)
    name = name or "the photo"
    if not isinstance(source, str | os.PathLike | bytes | Image.Image):
        return _check_array(np.asarray(source), max_megapixels, name)
    with _pillow_limits(max_megapixels), contextlib.ExitStack() as stack:
        try:
            image = source if isinstance(source, Image.Image) else stack.enter_context(_open(source))
            _check_size(image.width * image.height, max_megapixels, name)
            animated = image.format not in _NOT_ANIMATED and getattr(image, "is_animated", False)
            image.load()
            if image.mode in ("P", "PA") and image.palette is None:  # Pillow's asserts would stumble over it
                raise OSError("its palette is missing")
        except UserError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:  # pictures inside of pictures
            pixels = re.search(r"\d+", str(error))
            _check_size(int(pixels[0]) if pixels else math.inf, max_megapixels, name)
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


def _check_array(pixels: np.ndarray, max_megapixels: float, name: str) -> Photo:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
        raise UserError(f"{name} is {pixels.dtype} {list(pixels.shape)}: give uint8 [H, W, 3]")
    _check_size(pixels.shape[0] * pixels.shape[1], max_megapixels, name)
    return Photo(pixels)


def _check_size(pixels: float, max_megapixels: float, name: str) -> None:
    if not pixels:
        raise UserError(f"cannot read {name}: it has no pixels")
    if pixels > max_megapixels * 1e6:
        raise UserError(
            f"{name} has {pixels / 1e6:.4g} megapixels, more than {max_megapixels:g}: allow it with --max-megapixels"
        )


def read_size(path: str | os.PathLike, max_megapixels: float = MAX_MEGAPIXELS) -> tuple[int, int] | None:
    """The (height, width) that `read_photo` will find, from the header alone; None where that is not to be had.

    A guess for planning ahead: the orientation of a PNG is not looked for behind its pixels.
    """
    if not os.path.isfile(path):  # a pipe can be read only once
        return None
    try:
        with _pillow_limits(max_megapixels), _open(path) as image:
            width, height = image.size
            # Pillow has turned a TIFF's size already, and would decode a PNG in search of the tag.
            tagged = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
            if tagged and _exif(image).get(ExifTags.Base.Orientation, 1) in _SIDEWAYS:
                width, height = height, width
    except Exception:  # as in `read_photo`, which reports what is wrong
        return None
    return (height, width) if 0 < height * width <= max_megapixels * 1e6 else None


_pillow_lock = threading.Lock()


@contextlib.contextmanager
def _pillow_limits(max_megapixels: float) -> Iterator[None]:
    """Our limit in the place of Pillow's, for pictures inside of pictures too (an ICO holds PNGs), and no chatter.

    Pillow keeps its limit in a global variable, hence the lock, and the old value back in the end.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None if math.isinf(max_megapixels) else int(max_megapixels * 1e6)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextlib.contextmanager
def _open(source: str | os.PathLike | bytes) -> Iterator[Image.Image]:
    """Opens a file that may be a pipe, or bytes; reads the header only."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        stream = file if file.seekable() else io.BytesIO(file.read())
        if not stream.read(1):
            raise OSError("the file is empty")
        stream.seek(0)
        with Image.open(stream) as image:
            yield image


def _convert(image: Image.Image, notes: Sequence[str]) -> Photo:
    """A decoded image of any mode -> photo."""
    alpha = _alpha(image)
    picture, problem = _to_srgb(image)
    notes = [*notes, *([problem] if problem else [])]
    if alpha is not None:
        picture = _over_white(picture, alpha)
    # after load(), because Pillow turns some formats (TIFF) itself, and then drops the tag
    turn = _TRANSPOSE.get(_exif(image).get(ExifTags.Base.Orientation, 1))
    if turn is not None:
        picture = picture.transpose(turn)
        alpha = None if alpha is None else alpha.transpose(turn)
    return Photo(np.array(picture), None if alpha is None else np.array(alpha), "; ".join(notes) or None)


def _exif(image: Image.Image) -> Image.Exif:
    """The EXIF tags; none where they are damaged, for the picture itself may be sound."""
    try:
        return image.getexif()
    except Exception:  # the parser raises whatever the damaged bytes lead it to
        return Image.Exif()


def _over_white(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _alpha(image: Image.Image) -> Image.Image | None:
    """The transparency, mode L: a channel, a palette's, or one colour that is declared transparent."""
    if _is_deep(image):
        transparent = image.info.get("transparency")
        return None if transparent is None else Image.fromarray(np.uint8(255) * (np.asarray(image) != transparent))
    if image.mode == "La":  # premultiplied; it does not convert to RGBA in one step
        image = image.convert("LA")
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None


def _deep_to_grey(values: np.ndarray) -> np.ndarray:
    """Grey of 16 or 32 bits, integer or float -> uint8; see `read_photo` for the ranges."""
    top = 65535 if np.issubdtype(values.dtype, np.integer) else 1
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if low >= 0 and high <= top:
        low, high = 0, top
    elif low >= 0 and high <= 255:
        low, high = 0, 255
    return to_uint8((values - low) / ((high - low) or 1))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Mode RGB; no copy, as Pillow would make, of what has it already."""
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_srgb(image: Image.Image) -> tuple[Image.Image, str | None]:
    """Any mode -> RGB in sRGB, without alpha; and a note where the colour profile could not be used."""
    profile = image.info.get("icc_profile")
    if _is_deep(image):
        image = Image.fromarray(_deep_to_grey(np.asarray(image)))
    elif image.mode == "LAB":  # independent of any device: Pillow converts it to sRGB by itself
        return image.convert("RGB"), None
    elif image.mode in ("1", "L", "LA", "La"):
        image = (image.convert("LA") if image.mode == "La" else image).convert("L")
    elif image.mode == "RGBa":
        image = image.convert("RGBA").convert("RGB")
    elif image.mode != "CMYK":
        image = _to_rgb(image)
    if not profile or profile == srgb_profile():
        return _to_rgb(image), None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = profile[16:20].decode("ascii", "replace").strip()  # the header's field for the pictures it describes
        if space == "RGB" and image.mode == "L":  # grey photos often carry the profile of the camera
            image = image.convert("RGB")
        if space != {"L": "GRAY"}.get(image.mode, image.mode):
            return image.convert("RGB"), f"its colour profile is for {space}, not for this picture, and was ignored"
        converted = ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
        assert converted is not None  # None is for inPlace only
        return converted, None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return image.convert("RGB"), "its colour profile is broken and was ignored"


# --- writing ------------------------------------------------------------------------------------------------------


def format_of(path: str | os.PathLike) -> str:
    """Pillow's name of the format that a path's suffix stands for.

    Raises:
        UserError: a suffix that we do not write.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"cannot write {path}: the suffix {suffix!r} is none of {' '.join(FORMATS)}")
    return FORMATS[suffix]


def encode(image: Image.Image, format: str) -> bytes:
    """A picture (RGB or RGBA, sRGB) as a file of a format, one of the values of `FORMATS`, with profile and mark.

    Raises:
        UserError: the format cannot hold the picture, or this Pillow cannot write it.
    """
    if image.mode == "RGBA" and format not in _ALPHA_FORMATS:
        image = _over_white(image.convert("RGB"), image.getchannel("A"))
    software = f"{MARK} {__version__}"
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    exif[ExifTags.Base.Software] = software
    text.add_text("Software", software)
    options = {"icc_profile": srgb_profile(), "comment": software, **_SAVE_OPTIONS.get(format, {})}
    options |= {"pnginfo": text} if format == "PNG" else {"exif": exif}
    bare = image.copy()
    bare.info = {}  # Pillow would also write what it finds there
    stream = io.BytesIO()
    try:
        bare.save(stream, format, **options)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise UserError(f"cannot write {image.width} x {image.height} pixels as {format}: {error}") from None
    return stream.getvalue()


@runtime_checkable
class Stream(Protocol):
    """What a picture can be written to, besides a path."""

    def write(self, data: bytes, /) -> Any: ...
    def flush(self) -> Any: ...


def write_image(image: Image.Image, target: str | os.PathLike | Stream, format: str | None = None) -> None:
    """Writes a picture (RGB or RGBA, sRGB), whole or not at all if `target` is a path.

    Args:
        target: a path, or a stream.
        format: one of the values of `FORMATS`; by default what the path's suffix stands for.

    Raises:
        UserError: an unknown suffix, a picture that the format cannot hold, no right to write there, a full disk.
    """
    if isinstance(target, str | os.PathLike):
        write_atomically(Path(target), encode(image, format or format_of(target)))
        return
    data = encode(image, format or "PNG")
    try:
        target.write(data)
        target.flush()
    except BrokenPipeError:  # the reader has gone: not a mistake, `commandline.run` knows what to do
        raise
    except OSError as error:
        raise UserError(f"cannot write the picture: {error.strerror or error}") from None


def is_ours(path: str | os.PathLike) -> bool:
    """Whether a file is a picture that we wrote, by the mark in its metadata; False for what cannot be read."""
    try:
        with _pillow_limits(math.inf), Image.open(path) as image:
            words = [image.info.get("Software"), image.info.get("comment")]
            if image.format != "PNG":  # whose EXIF may stand behind the pixels: asking for it would decode them
                words.append(_exif(image).get(ExifTags.Base.Software))
    except Exception:  # as in `read_photo`; whoever reads the photo reports what is wrong with it
        return False
    texts = [word.decode(errors="replace") if isinstance(word, bytes) else word for word in words]
    return any(isinstance(text, str) and text.split(" ")[0] == MARK for text in texts)


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.cache
def srgb_profile() -> bytes:
    """An sRGB colour profile, the same bytes each time."""
    profile = bytearray(_srgb().tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the date, by default now: equal pictures, equal files
    return bytes(profile)
