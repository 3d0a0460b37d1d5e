"""What becomes of a photo's pixels: their mode, transparency, orientation and first frame."""

import struct
import warnings
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import LOSSLESS, PIXELS, chunk, file_of
from PIL import ExifTags, Image, ImageOps

from emojax.images import read_photo, rescale, scaled_size, to_picture, to_uint8, to_unit

# --- conversions


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.25, 0.3, 1.0, 1.7, 4.0]))
def test_scaled_size_is_that_of_rescale(height, width, factor):
    assert rescale(np.zeros((height, width, 3), np.uint8), factor).shape == (*scaled_size(height, width, factor), 3)


def test_conversions_are_inverse_and_their_ends_exact():
    every = np.arange(256, dtype=np.uint8)
    unit = to_unit(jnp.asarray(every))
    assert unit.dtype == jnp.float32 and unit[0] == 0 and unit[-1] == 1
    np.testing.assert_array_equal(jax.jit(lambda x: to_uint8(to_unit(x)))(every), every)
    np.testing.assert_array_equal(to_uint8(to_unit(every)), every)


@given(st.floats(-1e6, 1e6, width=32))
def test_to_uint8_rounds_and_clips(value):
    expected = round(255 * min(max(value, 0), 1))
    assert abs(int(to_uint8(np.array([value], np.float32))[0]) - expected) <= (abs(255 * value % 1 - 0.5) < 1e-3)


@pytest.mark.parametrize("alpha", [None, np.arange(35, dtype=np.uint8).reshape(5, 7)])
def test_to_picture_loses_nothing(alpha):
    picture = to_picture(PIXELS, alpha)
    assert picture.mode == ("RGB" if alpha is None else "RGBA")
    np.testing.assert_array_equal(np.asarray(picture)[..., :3], PIXELS)
    if alpha is not None:
        np.testing.assert_array_equal(np.asarray(picture)[..., 3], alpha)


# --- reading: modes


@pytest.mark.parametrize(
    ("mode", "colour", "rgb", "alpha"),
    [
        ("1", 1, (255, 255, 255), None),
        ("L", 77, (77, 77, 77), None),
        ("LA", (77, 255), (77, 77, 77), 255),
        ("LA", (0, 0), (255, 255, 255), 0),
        ("La", (0, 0), (255, 255, 255), 0),
        ("P", 0, (0, 0, 0), None),
        ("PA", (0, 0), (255, 255, 255), 0),
        ("RGB", (1, 2, 3), (1, 2, 3), None),
        ("RGBX", (1, 2, 3, 4), (1, 2, 3), None),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3), 255),
        ("RGBA", (0, 0, 255, 51), (204, 204, 255), 51),  # a fifth of blue on white
        ("RGBa", (0, 0, 51, 51), (204, 204, 255), 51),  # the same, premultiplied
        ("CMYK", (0, 0, 0, 0), (255, 255, 255), None),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255), None),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0), None),
        ("YCbCr", (100, 128, 128), (100, 100, 100), None),
        ("HSV", (0, 255, 255), (255, 0, 0), None),
        ("I", 65535, (255, 255, 255), None),
        ("I", 257 * 100, (100, 100, 100), None),
        ("I;16", 257 * 100, (100, 100, 100), None),
        ("F", 1.0, (255, 255, 255), None),
        ("F", 0.2, (51, 51, 51), None),
        ("F", 51.0, (51, 51, 51), None),
    ],
)
def test_modes(mode, colour, rgb, alpha):
    photo = read_photo(Image.new(mode, (3, 2), colour))
    assert photo.pixels.dtype == np.uint8 and photo.pixels.shape == (2, 3, 3) and photo.note is None
    assert (photo.pixels == rgb).all(), photo.pixels[0, 0]
    if alpha is None:
        assert photo.alpha is None
    else:
        assert photo.alpha is not None and photo.alpha.shape == (2, 3) and (photo.alpha == alpha).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 5)])
@pytest.mark.parametrize("format", LOSSLESS)
def test_any_size(size, format):
    data = file_of(Image.new("RGB", size, (1, 2, 3)), format)
    pixels = read_photo(data).pixels
    assert pixels.shape == (size[1], size[0], 3) and (pixels == (1, 2, 3)).all()


def test_deep_values_that_fit_no_range_are_stretched():
    values = np.array([[-5, 95], [45, 95]])
    for mode in (np.int32, np.float32):
        assert (read_photo(Image.fromarray(values.astype(mode))).pixels[..., 0] == [[0, 255], [128, 255]]).all()
    constant = read_photo(Image.fromarray(np.full((2, 2), 1e6, np.float32)))
    assert (constant.pixels == 0).all()
    odd = np.array([[np.nan, np.inf], [1.0, 0.5]], np.float32)
    assert (read_photo(Image.fromarray(odd)).pixels[..., 0] == [[0, 0], [255, 128]]).all()


def test_sixteen_bit_png_and_its_transparent_colour():
    values = np.array([[0, 257 * 9], [65535, 128]], np.uint16)
    photo = read_photo(file_of(Image.fromarray(values), "PNG"))
    assert photo.alpha is None and (photo.pixels[..., 1] == [[0, 9], [255, 0]]).all()
    photo = read_photo(file_of(Image.fromarray(values), "PNG", transparency=257 * 9))
    assert (photo.alpha == [[255, 0], [255, 255]]).all() and (photo.pixels[..., 1] == [[0, 255], [255, 0]]).all()


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_a_palette_with_transparency(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putdata([0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns about these palettes
        photo = read_photo(file_of(image, "PNG", transparency=transparency))
    assert (photo.alpha == [[255, 0]]).all()
    assert (photo.pixels == [[[10, 20, 30], [255, 255, 255]]]).all()


def test_a_colour_that_is_declared_transparent():
    photo = read_photo(file_of(Image.new("RGB", (2, 1), (9, 9, 9)), "PNG", transparency=(9, 9, 9)))
    assert (photo.alpha == 0).all() and (photo.pixels == 255).all()


def png_of(depth, colour, rows, transparent):
    """A PNG of any depth, whose rows are given as packed bytes."""
    header = struct.pack(">IIBBBBB", 4, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (b"IHDR", header), (b"tRNS", transparent), (b"IDAT", pixels), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in parts)


def test_a_transparent_colour_at_any_depth():
    """Pillow scales the pixels, but not the colour that is declared as transparent."""
    for depth, row, transparent in (
        (1, 0b10100000, 1),
        (2, 0b11001100, 3),
        (4, b"\xf0\xf0", 15),
        (8, b"\xff\0\xff\0", 255),
    ):
        row = bytes([row]) if isinstance(row, int) else row
        assert read_photo(png_of(depth, 0, [row], struct.pack(">H", transparent))).alpha.tolist() == [[0, 255, 0, 255]]
    one, other = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC), struct.pack(">3H", 0x1234, 0x5678, 0xFABC)
    assert read_photo(png_of(16, 2, [2 * (one + other)], one)).alpha.tolist() == [[0, 255, 0, 255]]


def test_a_cmyk_jpeg():
    photo = read_photo(file_of(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100))
    assert np.abs(photo.pixels.astype(int) - (0, 255, 255)).max() <= 2


# --- reading: orientation, animation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_gives_the_same_upright_picture(orientation, format):
    upright = np.random.default_rng(1).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    upright[..., 3] |= 128  # WebP forgets the colour of what is wholly transparent
    # each orientation's inverse: how the camera stored the upright picture
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = file_of(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, **options)
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.alpha, upright[..., 3])
    np.testing.assert_array_equal(photo.pixels, read_photo(Image.fromarray(upright)).pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_pillow(orientation):
    image = Image.fromarray(PIXELS)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    np.testing.assert_array_equal(read_photo(image).pixels, np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("exif", [b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"MM"])
def test_damaged_exif_is_ignored(exif):
    photo = read_photo(file_of(Image.fromarray(PIXELS), "JPEG", exif=exif))
    assert photo.pixels.shape == PIXELS.shape


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_with_a_note(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if format == "WEBP" else {}
    photo = read_photo(file_of(frames[0], format, save_all=True, append_images=frames[1:], **options))
    assert photo.note is not None and "first frame" in photo.note
    assert (photo.pixels == (255, 0, 0)).all()


def test_the_previews_inside_a_phone_photo_are_no_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    assert read_photo(file_of(frames[0], "MPO", save_all=True, append_images=frames[1:])).note is None
