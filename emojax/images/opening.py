"""Opening image files with Pillow under one size limit.

Only headers are read here; no pixel is touched.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

_pillow_lock = threading.Lock()


@contextlib.contextmanager
def pillow_limits(max_megapixels: float) -> Iterator[None]:
    """Replaces Pillow's size limit by ours, also for pictures inside pictures (an ICO holds PNGs), and silences warnings.

    Pillow keeps its limit in a global variable: a lock protects it, and the old value is restored.
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
def open_image(source: str | os.PathLike | bytes) -> Iterator[Image.Image]:
    """Opens bytes, or a file that may be a pipe; reads the header only."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        stream = file if file.seekable() else io.BytesIO(file.read())
        if not stream.read(1):
            raise OSError("the file is empty")
        stream.seek(0)
        with Image.open(stream) as image:
            yield image


def exif_of(image: Image.Image) -> Image.Exif:
    """Returns the EXIF tags; none where they are damaged, because the picture itself may be sound."""
    try:
        return image.getexif()
    except Exception:  # the parser raises whatever the damaged bytes lead it to
        return Image.Exif()
