"""Pictures are written so that they are read back, with sRGB and our mark and nothing of the photo."""

import io

import numpy as np
import pytest
from pictures import LOSSLESS, PIXELS, file_of, swapped_profile
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from emojax import images
from emojax.errors import EmojaxError
from emojax.images import FORMATS, UNMARKED, encode, is_ours, read_photo, to_picture, write_image


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
