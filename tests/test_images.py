import io
import os
import struct
import warnings
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from emojax import images
from emojax.errors import EmojaxError
from emojax.images import (
    FORMATS,
    UNMARKED,
    encode,
    is_ours,
    read_photo,
    read_size,
    rescale,
    scaled_size,
    to_picture,
    to_uint8,
    to_unit,
    write_image,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
LOSSLESS = sorted({"PNG", "TIFF", "BMP", "PPM", "TGA", "JPEG2000"})


def file_of(image, format, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


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


def test_a_cmyk_jpeg():
    photo = read_photo(file_of(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100))
    assert np.abs(photo.pixels.astype(int) - (0, 255, 255)).max() <= 2


# --- reading: orientation, profile, animation


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


# --- reading: sources and limits


def test_sources(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    for source in (path, str(path), path.read_bytes(), Image.fromarray(PIXELS), PIXELS):
        photo = read_photo(source)
        np.testing.assert_array_equal(photo.pixels, PIXELS)
        assert photo.alpha is None and photo.note is None


def test_a_pipe(tmp_path):
    read, write = os.pipe()
    with open(write, "wb") as stream:
        stream.write(file_of(Image.fromarray(PIXELS), "PNG"))
    try:
        np.testing.assert_array_equal(read_photo(f"/dev/fd/{read}").pixels, PIXELS)
    finally:
        os.close(read)


@pytest.mark.parametrize("array", [PIXELS[..., :2], PIXELS[0], PIXELS.astype(float), PIXELS[:0]])
def test_other_arrays_are_refused(array):
    with pytest.raises(EmojaxError, match=r"uint8 \[H, W, 3\]"):
        read_photo(array)


def huge_png(width: int, height: int) -> bytes:
    """The header of a PNG of that size, and hardly anything else."""
    data = bytearray(file_of(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])  # below and above Pillow's own limits
def test_the_size_is_checked_before_decoding(side):
    with pytest.raises(EmojaxError, match=r"big\.png has .* megapixels, more than 100: allow it with `max_megapixels`"):
        read_photo(huge_png(side, side), name="big.png")


def test_the_limit_can_be_raised_above_that_of_pillow():
    with pytest.raises(EmojaxError, match="cannot read"):  # past the check, and then the data is missing
        read_photo(huge_png(14_000, 14_000), max_megapixels=200)
    assert Image.MAX_IMAGE_PIXELS == 89478485


@pytest.mark.parametrize("source", [PIXELS, Image.fromarray(PIXELS), file_of(Image.fromarray(PIXELS), "BMP")])
def test_the_limit_is_exact(source):
    assert read_photo(source, max_megapixels=35e-6).pixels.shape == PIXELS.shape
    with pytest.raises(EmojaxError, match="megapixels"):
        read_photo(source, max_megapixels=34e-6)


def test_a_large_picture_inside_a_small_icon():
    inner = huge_png(20_000, 20_000)
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    with pytest.raises(EmojaxError, match=r"400 megapixels, more than 100"):
        read_photo(icon)


@pytest.mark.parametrize("megapixels", [0, -1, float("nan")])
def test_a_senseless_limit(megapixels):
    with pytest.raises(EmojaxError, match="`max_megapixels`"):
        read_photo(PIXELS, max_megapixels=megapixels)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA"])
@pytest.mark.parametrize("part", [0.3, 0.7])
def test_truncated_files(format, part):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = file_of(picture, format)
    with pytest.raises(EmojaxError, match=r"^cannot read cut\.img: ") as caught:
        read_photo(data[: int(part * len(data))], name="cut.img")
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "ICO"]), st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(junk, format, data):
    good = file_of(Image.new("L", (8, 8), 7), format)
    where = data.draw(st.integers(0, len(good)))
    try:
        photo = read_photo(good[:where] + junk + good[where + len(junk) :])
    except EmojaxError:
        return
    assert photo.pixels.dtype == np.uint8 and photo.pixels.ndim == 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".gif", ".bmp", ".jp2"])
@pytest.mark.parametrize("orientation", [None, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_the_size_in_the_header_is_that_of_the_photo(tmp_path, suffix, orientation):
    exif = Image.Exif()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (12, 7)).save(tmp_path / f"photo{suffix}", exif=exif)
    assert read_size(tmp_path / f"photo{suffix}") == read_photo(tmp_path / f"photo{suffix}").pixels.shape[:2]


def test_no_size_where_there_is_no_photo(tmp_path):
    (tmp_path / "junk.png").write_bytes(b"junk")
    os.mkfifo(tmp_path / "pipe.png")  # nobody writes into it: opening it would wait for ever
    Image.new("RGB", (200, 100)).save(tmp_path / "large.png")
    for name in ("junk.png", "pipe.png", "missing.png", "a\0b"):
        assert read_size(tmp_path / name) is None
    assert read_size(tmp_path / "large.png", max_megapixels=0.01) is None
    assert read_size(tmp_path / "large.png", max_megapixels=0.02) == (100, 200)


# --- writing


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_back(tmp_path, suffix):
    path = tmp_path / f"art{suffix.upper()}"
    smooth = np.full((32, 48, 3), (30, 120, 200), np.uint8)
    write_image(Image.fromarray(smooth), path)
    photo = read_photo(path)
    assert photo.alpha is None and photo.note is None
    assert np.abs(photo.pixels.astype(int) - smooth).max() <= (0 if FORMATS[suffix] in LOSSLESS else 4)
    assert is_ours(path) == (FORMATS[suffix] not in UNMARKED)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", sorted(set(FORMATS.values())))
def test_alpha_is_kept_or_composited(format):
    picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (16, 0, 32, 32))
    photo = read_photo(encode(picture, format))
    expected = np.where(np.arange(32) < 16, 255, 0)  # over white
    assert np.abs(photo.pixels[16, :, 1].astype(int) - expected)[[2, 29]].max() <= 3
    if format in ("PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"):
        assert photo.alpha is not None and np.abs(photo.alpha[16][[2, 29]].astype(int) - (0, 255)).max() <= 1
    else:
        assert photo.alpha is None


@pytest.mark.parametrize("format", sorted(set(FORMATS.values())))
def test_the_same_picture_gives_the_same_file(format):
    first = encode(Image.fromarray(PIXELS), format)
    images.srgb_profile.cache_clear()
    assert encode(Image.fromarray(PIXELS), format) == first


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".avif"])
def test_metadata_says_srgb_and_emojax_and_nothing_of_the_photo(tmp_path, suffix):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (1.0, 2.0, 3.0)
    source = read_photo(file_of(Image.fromarray(PIXELS), "JPEG", exif=exif, icc_profile=swapped_profile()))
    carrier = to_picture(source.pixels)
    carrier.info |= {"exif": exif.tobytes(), "icc_profile": b"other", "comment": "secret", "dpi": (1, 1)}
    path = tmp_path / f"art{suffix}"
    write_image(carrier, path)
    with Image.open(path) as image:
        tags = image.getexif()
        assert ExifTags.Base.Orientation not in tags and ExifTags.Base.Make not in tags
        assert not tags.get_ifd(ExifTags.IFD.GPSInfo)
        assert image.info["icc_profile"] == images.srgb_profile()
        assert image.size == (5, 7)
    assert b"secret" not in path.read_bytes() and b"Camera" not in path.read_bytes()


def test_the_profile_is_srgb():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(images.srgb_profile()))
    converted = ImageCms.profileToProfile(Image.fromarray(PIXELS), profile, ImageCms.createProfile("sRGB"))
    assert converted is not None and np.abs(np.asarray(converted).astype(int) - PIXELS).max() <= 1


def test_an_unknown_suffix(tmp_path):
    with pytest.raises(EmojaxError, match=r"art\.psd.*\.jpg .*\.png"):
        write_image(Image.fromarray(PIXELS), tmp_path / "art.psd")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "size"), [("JPEG", (65_536, 1)), ("WEBP", (16_384, 1))])
def test_a_picture_that_the_format_cannot_hold(tmp_path, format, size):
    suffix = next(suffix for suffix, name in FORMATS.items() if name == format)
    with pytest.raises(EmojaxError, match=f"as {format}"):
        write_image(Image.new("RGB", size), tmp_path / f"art{suffix}")
    assert not list(tmp_path.iterdir())


def test_streams():
    stream = io.BytesIO()
    write_image(Image.fromarray(PIXELS), stream)
    np.testing.assert_array_equal(read_photo(stream.getvalue()).pixels, PIXELS)
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(EmojaxError, match="No space left"):
        write_image(Image.fromarray(PIXELS), full)


def test_others_are_not_ours(tmp_path):
    path = tmp_path / "photo.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "emojaxish 3")
    Image.fromarray(PIXELS).save(path, pnginfo=text)
    assert not is_ours(path)
    path.write_bytes(b"not an image")
    assert not is_ours(path)
    assert not is_ours(tmp_path / "missing.png")
    Image.fromarray(PIXELS).save(tmp_path / "photo.jpg")
    assert not is_ours(tmp_path / "photo.jpg")


def test_is_ours_does_not_decode(tmp_path):
    path = tmp_path / "photo.png"
    data = encode(Image.fromarray(PIXELS), "PNG")
    path.write_bytes(data[: data.index(b"IDAT") + 6])
    assert is_ours(path)
