"""Pictures and image files that the tests of `emojax.images` share."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from emojax import images
from emojax.errors import EmojaxError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
LOSSLESS = sorted({"PNG", "TIFF", "BMP", "PPM", "TGA", "JPEG2000"})


def smooth(width=160, height=128):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, (x + y) // 2], -1).astype(np.uint8))


def file_of(image, format, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def chunk(kind, body, damage=False):
    """A chunk of a PNG, also with a wrong checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ damage)


def swapped_profile() -> bytes:
    """An RGB profile whose red is sRGB's green and the other way round."""
    profile = bytearray(images.srgb_profile())
    count = struct.unpack(">I", profile[128:132])[0]
    tags = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


def without_plugins(monkeypatch):
    """As if no plugin of Pillow's were installed."""
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "JXL")])
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name in Image.ID})


def reason(data, name="photo.jpg"):
    """Why a photo is refused, in one line."""
    with pytest.raises(EmojaxError, match=r"^cannot read ") as caught:
        images.read_photo(data, name=name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    return str(caught.value)
