"""Damaged files: mended with a note, or refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import PIXELS, chunk, file_of, reason, smooth
from PIL import Image, ImageFile, PngImagePlugin

from emojax.errors import EmojaxError
from emojax.images import mend, read_photo, srgb_profile

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("cut", [1, 2, 5, 50])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_without_its_last_bytes_is_read_with_a_note(cut, options):
    data = file_of(smooth(), "JPEG", quality=90, **options)
    whole, photo = read_photo(data), read_photo(data[:-cut])
    assert len(photo.notes) == 1 and "truncated" in photo.notes[0] and photo.note == photo.notes[0]
    assert whole.notes == () and np.abs(photo.pixels.astype(int) - whole.pixels).mean() < 6


def test_a_damaged_photo_that_the_caller_opened():
    with Image.open(io.BytesIO(file_of(smooth(), "JPEG")[:-2])) as image:
        assert "truncated" in (read_photo(image).note or "")


def test_a_jpeg_that_ends_in_zeros_or_rubbish():
    data = file_of(smooth(), "JPEG", quality=90)
    whole = read_photo(data).pixels
    assert (read_photo(data + b"rubbish" * 9).pixels == whole).all()
    photo = read_photo(data[:-20] + bytes(500))
    assert photo.notes and np.abs(photo.pixels.astype(int) - whole).mean() < 6
    for zeros in (15, 500, (1 << 20) - 1, 1 << 20):
        assert read_photo(data + bytes(zeros)).notes == ()
    assert "truncated" in reason(data[: len(data) // 2].ljust(len(data), b"\0"))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_jpeg_that_lacks_more_is_refused_with_the_right_reason(share):
    data = file_of(Image.effect_noise((160, 160), 50).convert("RGB"), "JPEG")
    assert "truncated" in reason(data[: int(len(data) * (1 - share))])


def test_a_progressive_jpeg_counts_by_its_scans():
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        data = file_of(image.resize((256, 256)), "JPEG", progressive=True)
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert "details are missing" in reason(data[: scans[2]])
    photo = read_photo(data[: scans[-1] + 30])  # the last refinement of the light has just begun
    assert photo.notes and np.abs(photo.pixels.astype(int) - read_photo(data).pixels).mean() < 6


def with_chunks(data, *chunks, after=False):
    """A PNG with chunks after its header, or before its end."""
    at = len(data) - 12 if after else 33
    return data[:at] + b"".join(chunks) + data[at:]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"tEXt", b"Comment\0hello"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"hello")),
        (b"iTXt", b"Comment\0\0\0\0\0hello"),
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"cHRM", bytes(32)),
        (b"pHYs", bytes(9)),
        (b"tIME", bytes(7)),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\0"),
        (b"iCCP", b"x\0\0" + zlib.compress(b"rubbish")),
        (b"xyZz", b"private"),
    ],
)
def test_a_png_with_a_bad_checksum_where_the_picture_is_not(kind, body, after):
    data = with_chunks(file_of(Image.fromarray(PIXELS), "PNG"), chunk(kind, body, damage=True), after=after)
    photo = read_photo(data)
    assert (photo.pixels == PIXELS).all()
    assert photo.notes == (f"its {kind.decode()} chunk is damaged and was ignored",) or after


@pytest.mark.parametrize("body", [b"", b"\0\0\1", bytes(5)])
def test_a_png_with_a_gamma_of_the_wrong_length(body):
    photo = read_photo(with_chunks(file_of(Image.fromarray(PIXELS), "PNG"), chunk(b"gAMA", body)))
    assert (photo.pixels == PIXELS).all()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("iCCP", b""),
        ("iCCP", b"x\0"),
        ("zTXt", b"k\0\1xx"),
        ("tRNS", b"\0"),
        ("acTL", b""),
        ("fcTL", bytes(26)),
        ("fcTL", b""),
        ("fdAT", b""),
    ],
)
def test_a_png_with_nonsense_that_has_the_right_checksum(kind, body):
    photo = read_photo(with_chunks(file_of(Image.fromarray(PIXELS), "PNG"), chunk(kind.encode(), body)))
    assert (photo.pixels == PIXELS).all()
    assert photo.notes in ((), (f"its {kind} chunk is damaged and was ignored",), ("its animation is ignored",))


@pytest.mark.parametrize("kind", ["IHDR", "PLTE"])
def test_a_png_whose_header_or_palette_is_damaged_is_refused(kind):
    data = bytearray(file_of(smooth().convert("P"), "PNG"))
    data[data.index(kind.encode()) + 6] ^= 0x40
    assert f"a PNG whose {kind} chunk is damaged" in reason(bytes(data))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_that_lacks_its_end(mode):
    noise = Image.effect_noise((100, 100), 50)
    image = Image.fromarray(np.asarray(noise).astype(np.uint16) * 257) if mode == "I;16" else noise.convert(mode)
    data = file_of(image, "PNG")
    whole, photo = read_photo(data), read_photo(data[: int(0.95 * len(data))])
    assert len(photo.notes) == 1 and "% of the picture is missing" in photo.notes[0]
    assert (photo.pixels[:80] == whole.pixels[:80]).all() and (photo.alpha is None) == (whole.alpha is None)
    assert "truncated" in reason(data[: int(0.8 * len(data))])


def test_a_png_with_damaged_pixels():
    data = bytearray(file_of(Image.fromarray(PIXELS), "PNG"))
    at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    wrong = data[:]
    wrong[at + 8 + length] ^= 1  # the checksum alone
    photo = read_photo(bytes(wrong))
    assert (photo.pixels == PIXELS).all()
    wrong = data[:]
    wrong[at + 15] ^= 0xFF  # all pixels are lost
    assert reason(bytes(wrong))


def test_mending_does_not_evade_the_limit():
    """A PNG that says that it is large, needs mending, and would fill the memory."""
    data = bytearray(file_of(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    data = with_chunks(bytes(data), chunk(b"tEXt", b"a\0b", damage=True))
    with pytest.raises(EmojaxError, match="3600 megapixels, more than 100"):
        read_photo(data)
    assert isinstance(mend.mend(data, 1e8), mend.Mended)


@pytest.mark.parametrize("format", ["BMP", "PPM", "TIFF", "WEBP", "GIF"])
def test_other_formats_that_lack_their_last_bytes(format):
    data = file_of(smooth(), format)
    photo = read_photo(data[: -2 if format != "GIF" else -100])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert "truncated" in (photo.note or "")
    assert np.abs(photo.pixels[:120].astype(int) - np.asarray(smooth())[:120]).mean() < 5


@pytest.mark.parametrize("cut", range(1, 60, 3))
@pytest.mark.parametrize(
    "options", [{}, {"icc_profile": srgb_profile(), "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0" + bytes(20)}]
)
def test_a_webp_that_lacks_its_end(cut, options):
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        picture = image.convert("RGB").resize((128, 128))
    data = file_of(picture, "WEBP", **options)
    photo = read_photo(data[:-cut])
    assert "truncated" in (photo.note or "")
    assert np.abs(photo.pixels[:100].astype(int) - read_photo(data).pixels[:100]).mean() < 1


def test_a_webp_that_lacks_the_byte_after_its_end():
    """Chunks of an odd length are followed by a byte that decoders want and that carries nothing."""
    datas = (file_of(smooth().resize((48, 40 + n)), "WEBP", lossless=True) for n in range(40))
    data = next(data for data in datas if int.from_bytes(data[16:20], "little") % 2)
    photo = read_photo(data[:-1])
    assert "truncated" in photo.note and (photo.pixels == read_photo(data).pixels).all()


def test_a_text_that_unpacks_to_much_is_still_refused():
    text = PngImagePlugin.PngInfo()
    text.add_text("key", "x" * 100_000_000, zip=True)
    reason(file_of(Image.new("L", (1, 1)), "PNG", pnginfo=text))


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
