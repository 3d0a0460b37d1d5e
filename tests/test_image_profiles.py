"""A photo's ICC profile is converted to sRGB, or ignored with a note."""

import struct

import numpy as np
import pytest
from pictures import PIXELS, file_of, swapped_profile
from PIL import Image

from emojax import images
from emojax.images import read_photo


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_colour_profile_is_converted_to_srgb(format):
    image = Image.new("RGB", (16, 16), (200, 10, 20))
    options = {"lossless": True} if format == "WEBP" else {}
    photo = read_photo(file_of(image, format, icc_profile=swapped_profile(), **options))
    assert photo.note is None
    assert np.abs(photo.pixels.astype(int) - (10, 200, 20)).max() <= 3


def test_a_profile_keeps_alpha():
    image = Image.new("RGBA", (2, 2), (200, 10, 20, 255))
    image.putpixel((0, 0), (200, 10, 20, 0))
    photo = read_photo(file_of(image, "PNG", icc_profile=swapped_profile()))
    assert (photo.alpha == [[0, 255], [255, 255]]).all() and (photo.pixels[0, 0] == 255).all()
    assert np.abs(photo.pixels[1, 1].astype(int) - (10, 200, 20)).max() <= 3


def grey_profile(gamma: float) -> bytes:
    """A minimal ICC profile (version 2) for grey with a gamma."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78 + 1)
    text += bytes(-len(text) % 4)
    parts, table, offset = [(b"desc", text), (b"wtpt", white), (b"kTRC", curve)], b"", 128 + 4 + 3 * 12
    for name, data in parts:
        table += name + struct.pack(">II", offset, len(data))
        offset += len(data)
    head = struct.pack(">I4sI4s4s4s", offset, b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + struct.pack(">I", 3) + table + b"".join(data for _, data in parts)


def test_a_grey_profile_is_converted():
    # value 0.5 at gamma 1 is half the light, which sRGB writes as 188
    photo = read_photo(file_of(Image.new("L", (4, 4), 128), "PNG", icc_profile=grey_profile(1.0)))
    assert photo.note is None and np.abs(photo.pixels.astype(int) - 188).max() <= 1


def test_a_grey_photo_with_the_profile_of_the_camera():
    photo = read_photo(file_of(Image.new("L", (4, 4), 90), "JPEG", icc_profile=images.srgb_profile()))
    assert photo.note is None and np.abs(photo.pixels.astype(int) - 90).max() <= 1
    photo = read_photo(file_of(Image.new("L", (4, 4), 90), "PNG", icc_profile=swapped_profile()))
    assert photo.note is None and np.abs(photo.pixels.astype(int) - 90).max() <= 1


@pytest.mark.parametrize(
    "profile", [b"rubbish", images.srgb_profile()[:300], grey_profile(2.2), swapped_profile()[:-200]]
)
def test_an_unusable_profile_is_ignored_with_a_note(profile):
    photo = read_photo(file_of(Image.fromarray(PIXELS), "PNG", icc_profile=profile))
    assert photo.note is not None and "profile" in photo.note and "ignored" in photo.note
    np.testing.assert_array_equal(photo.pixels, PIXELS)


def test_cmyk_with_a_profile_for_rgb():
    photo = read_photo(file_of(Image.new("CMYK", (4, 4)), "TIFF", icc_profile=swapped_profile()))
    assert photo.note is not None and "for RGB" in photo.note and (photo.pixels == 255).all()
