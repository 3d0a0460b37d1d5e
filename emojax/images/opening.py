"""Opening image files with Pillow: only the formats in `formats.OPENED` and those of plugins, under one size limit.

Only headers are read here, and no pixel is touched, except that the plugin for JPEG XL decodes on opening, after a size check.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import importlib
import io
import math
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol, cast, runtime_checkable

from PIL import Image, ImageFile

from emojax.images import signatures
from emojax.images.formats import OPENED
from emojax.images.isobmff import SeekableFile
from emojax.images.sizes import check_size

MAX_BYTES = 1 << 30
"""the most bytes that are read from a pipe or open file"""

_pillow_lock = threading.Lock()
_PLUGINS = {signatures.HEIF: ("a HEIC photo", "pillow_heif"), signatures.JXL: ("a JPEG XL photo", "pillow_jxl")}
"""kind -> (its name in messages, the module of the plugin that reads it)"""


@runtime_checkable
class BinaryFile(Protocol):
    """An open binary file, such as `io.BytesIO`."""

    def read(self, size: int = ..., /) -> bytes: ...


class Refused(OSError):
    """A file that is refused for a known reason; trying again does not help."""


def silence_libtiff() -> None:
    """Keeps libtiff from printing errors and warnings; the decoder's exception reports them. For programs, not libraries."""
    folder = Path(Image.__file__).parent
    places = [*folder.parent.glob("pillow.libs/libtiff*"), *folder.glob(".dylibs/libtiff*")]
    name = str(places[0]) if places else ctypes.util.find_library("tiff")
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(name)
        for function in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler) if name else ():
            function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            function(None)


@contextlib.contextmanager
def pillow_limits(max_megapixels: float) -> Iterator[None]:
    """Replaces Pillow's size limit with ours, also for pictures inside pictures (an ICO holds PNGs), and silences warnings.

    Pillow keeps its limit in a global variable. A lock protects the variable, and its old value is restored.
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
def truncated_files_allowed() -> Iterator[None]:
    """Lets Pillow decode truncated files. Use it inside `pillow_limits`, whose lock also protects this global variable."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextlib.contextmanager
def open_stream(source: str | os.PathLike | bytes) -> Iterator[SeekableFile]:
    """Opens bytes, or a file that may be a pipe, as a seekable stream.

    Raises:
        OSError: the file cannot be read, or is empty.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        stream: SeekableFile = file if file.seekable() else io.BytesIO(read_bounded(file))
        if not stream.read(1):
            raise OSError("the file is empty")
        stream.seek(0)
        yield stream


def read_bounded(file: BinaryFile) -> bytes:
    """Reads a stream to its end; raises OSError if it is longer than `MAX_BYTES`."""
    data = bytearray()
    while part := file.read(MAX_BYTES + 1 - len(data)):  # an unbuffered file may return less than requested
        data += part
        if len(data) > MAX_BYTES:
            raise OSError(f"more than {MAX_BYTES >> 20} MiB")
    return bytes(data)


def open_image(stream: SeekableFile, name: str = "", max_megapixels: float = math.inf) -> Image.Image:
    """Opens an image file by its content; `name` is used only to recognize RAW files and in messages.

    Raises:
        Refused: a known format that is not read, or a plugin that is missing.
        InputError: a picture above the size limit.
    """
    reason = signatures.reason_to_refuse(stream, name)
    if reason is not None:
        raise Refused(reason)
    plugin = signatures.needed_plugin(stream)
    if plugin is not None:
        require_plugin(plugin)
    if plugin == signatures.JXL and (size := signatures.jxl_size(stream)) is not None:
        check_size(math.prod(size), max_megapixels, name)
    stream.seek(0)
    return Image.open(cast(IO[bytes], stream), formats=OPENED if plugin is None else (plugin,))


def refuse_opened(image: Image.Image, stream: SeekableFile) -> None:
    """Raises `Refused` for an image that is not a photo and that the caller opened without a restriction of formats.

    Loading it would start Ghostscript (EPS), or return a RAW file's thumbnail.
    """
    if image.format not in ("EPS", "TIFF"):
        return
    position = stream.tell()
    reason = signatures.reason_to_refuse(stream, os.fsdecode(getattr(image, "filename", "")))
    stream.seek(position)
    if reason is not None:
        raise Refused(reason)


def require_plugin(kind: str) -> None:
    """Registers the plugin for a kind of file; raises `Refused` with a hint if it is not installed."""
    if kind in Image.OPEN:
        return
    what, module = _PLUGINS[kind]
    hint = "pip install 'emojax[formats]'"
    try:
        plugin = importlib.import_module(module)
        if kind == signatures.HEIF:
            plugin.register_heif_opener()
    except ModuleNotFoundError as error:
        if error.name == module:
            raise Refused(f"{what} is read with a plugin: {hint}") from None
        raise Refused(f"the plugin {module} lacks {error.name}: {hint}") from None
    except Exception as error:  # a plugin for another Pillow or system can raise anything
        raise Refused(f"the plugin {module} cannot be loaded ({error}): {hint}") from None
    if kind not in Image.OPEN:
        raise Refused(f"the plugin {module} does not know {what}: {hint}")


def refusal(path: str | os.PathLike) -> str | None:
    """Returns why a file is refused, judging by its first bytes; None if it may be readable."""
    if not os.path.isfile(path):
        return None
    try:
        with open_stream(path) as stream:
            reason = signatures.reason_to_refuse(stream, os.fsdecode(path))
            if reason is None and (plugin := signatures.needed_plugin(stream)) is not None:
                require_plugin(plugin)
            return reason
    except Refused as error:
        return str(error)
    except OSError:  # reported when the photo is read
        return None


def exif_of(image: Image.Image) -> Image.Exif:
    """Returns the EXIF tags. Damaged tags count as none, because the picture itself may be intact."""
    try:
        return image.getexif()
    except Exception:  # damaged bytes can make the parser raise anything
        return Image.Exif()


def stream_of(image: Image.Image) -> Any:
    """Returns the file that an opened image reads from; None once it is loaded."""
    return getattr(image, "fp", None)
