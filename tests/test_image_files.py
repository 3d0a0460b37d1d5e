"""Which files are opened, refused and mended, and what a photo may be read from."""

import io
import os
import random
import struct
import sys
import time
import zlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile, PngImagePlugin

from emojax.errors import EmojaxError
from emojax.images import (
    IMAGE_SUFFIXES,
    PHOTO_SUFFIXES,
    formats,
    mend,
    opening,
    read_photo,
    read_size,
    refusal,
    signatures,
    srgb_profile,
)

ROOT = Path(__file__).parent.parent
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
HINT = r"pip install 'emojax\[formats\]'"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
JXL = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl " + bytes(100)


def smooth(width=160, height=128):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, (x + y) // 2], -1).astype(np.uint8))


def file_of(image, format, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def reason(data, name="photo.jpg"):
    with pytest.raises(EmojaxError, match=r"^cannot read ") as caught:
        read_photo(data, name=name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    return str(caught.value)


# --- plugins


@pytest.fixture
def no_plugins(monkeypatch):
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "JXL")])
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name in Image.ID})


class FakePlugin:
    """A plugin that opens every file of its format as 4 x 3 pixels of a colour."""

    __spec__ = None

    def __init__(self, format, animated=False):
        self.format, self.animated = format, animated

    def register_heif_opener(self):
        Image.register_open(self.format, self.open, lambda head: True)

    def open(self, stream, name):
        image = Image.new("RGB", (4, 3), (1, 2, 3))
        image.format, image.is_animated = self.format, self.animated
        return image


@pytest.mark.parametrize("data", [HEIC, HEIC.replace(b"heic", b"msf1"), JXL, b"\xff\x0a" + bytes(100)])
@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_without_its_plugin_a_photo_is_refused_with_a_hint(no_plugins, data, name):
    with pytest.raises(EmojaxError, match=f"cannot read {name}: a (HEIC|JPEG XL) photo is read with a plugin: {HINT}"):
        read_photo(data, name=name)


def test_with_its_plugin_a_heic_is_read_whatever_its_name(no_plugins, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pillow_heif", FakePlugin("HEIF", animated=True))
    (tmp_path / "a.jpg").write_bytes(HEIC)
    assert refusal(tmp_path / "a.jpg") is None
    photo = read_photo(tmp_path / "a.jpg")
    assert (photo.pixels == (1, 2, 3)).all() and photo.pixels.shape == (3, 4, 3) and photo.notes == ()
    assert read_size(tmp_path / "a.jpg") == (3, 4)


@pytest.mark.parametrize("error", [ImportError("libheif.so is too old"), RuntimeError("no")])
def test_a_plugin_that_cannot_be_loaded_is_named(no_plugins, monkeypatch, error):
    def register():
        raise error

    plugin = FakePlugin("HEIF")
    plugin.register_heif_opener = register
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    assert f"the plugin pillow_heif cannot be loaded ({error})" in reason(HEIC)


def test_the_real_plugins():
    heif = pytest.importorskip("pillow_heif")
    pytest.importorskip("pillow_jxl")
    heif.register_heif_opener()
    for format in ("HEIF", "JXL"):
        photo = read_photo(file_of(smooth(), format, quality=95), name="photo.jpg")
        assert np.abs(photo.pixels.astype(int) - np.asarray(smooth())).mean() < 3 and photo.notes == ()


def test_the_size_of_a_jpeg_xl_is_known_before_its_plugin_decodes_it(no_plugins, monkeypatch):
    monkeypatch.setitem(Image.OPEN, "JXL", (lambda *_: pytest.fail("decoded"), None))
    # from the specification: height 40,000 in 18 bits, then the ratio 1:1
    bits = 0 | 2 << 1 | 39_999 << 3 | 1 << 21
    data = b"\xff\x0a" + bits.to_bytes(20, "little")
    assert signatures.jxl_size(io.BytesIO(data)) == (40_000, 40_000)
    with pytest.raises(EmojaxError, match="1600 megapixels, more than 100"):
        read_photo(data)
    small = b"\xff\x0a" + (1 | 3 << 1 | 0 << 6 | 9 << 9).to_bytes(20, "little")  # (3 + 1) * 8 x (9 + 1) * 8
    assert signatures.jxl_size(io.BytesIO(small)) == (32, 80)
    boxed = JXL[:32] + struct.pack(">I", 8 + len(small)) + b"jxlc" + small
    assert signatures.jxl_size(io.BytesIO(boxed)) == (32, 80)


# --- RAW


def tiff(*folders, order="<"):
    """A TIFF of directories {tag: (type, values)}; a value that is a function gets the places of all directories."""
    sizes = [2 + 12 * len(tags) + 4 for tags in folders]
    places = [8 + sum(sizes[:index]) for index in range(len(folders))]
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for tags in folders:
        data += struct.pack(order + "H", len(tags))
        for tag, (kind, value) in sorted(tags.items()):
            value = value(places) if callable(value) else value
            field = struct.pack(order + {1: "B", 3: "H", 4: "I"}[kind], value).ljust(4, b"\0")
            data += struct.pack(order + "HHI", tag, kind, 1) + field
        data += bytes(4)
    return data + bytes(200)


RAW = {
    "DNG": tiff({50706: (1, 1)}),
    "big-endian DNG": tiff({50706: (1, 1)}, order=">"),
    "NEF, ARW": tiff({254: (4, 1), 330: (4, lambda at: at[1])}, {254: (4, 0), 262: (3, 32803)}),
    "a sensor in a subfolder": tiff({254: (4, 0), 330: (4, lambda at: at[1])}, {262: (3, 34892)}, order=">"),
    "PEF": tiff({259: (3, 65535), 262: (3, 2)}),
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(100),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(100),
    "ORF": b"IIRO\x08\0\0\0" + bytes(100),
    "CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(100),
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
@pytest.mark.parametrize("name", ["photo.dng", "photo.tif", "photo.jpg"])
def test_a_raw_file_is_refused_whatever_its_name(data, name, tmp_path):
    assert f"cannot read {name}: a camera's RAW file" in reason(data, name)
    (tmp_path / name).write_bytes(data)
    assert "RAW" in (refusal(tmp_path / name) or "")


def test_a_tiff_with_the_name_of_a_raw_file_is_refused_and_other_tiffs_are_not(tmp_path):
    data = file_of(Image.fromarray(PIXELS), "TIFF")
    assert "RAW" in reason(data, "photo.NEF") and (read_photo(data, name="photo.tif").pixels == PIXELS).all()
    pages = file_of(Image.fromarray(PIXELS), "TIFF", save_all=True, append_images=[smooth()])
    assert (read_photo(pages).pixels == PIXELS).all()
    assert (read_photo(file_of(Image.fromarray(PIXELS), "PNG"), name="photo.nef").pixels == PIXELS).all()


def test_directories_in_a_circle_end():
    data = tiff({254: (4, 0), 330: (4, 8)})
    assert "TIFF" in reason(data)


def test_a_raw_file_or_eps_that_the_caller_opened_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    raw = file_of(Image.fromarray(PIXELS), "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    for data, word in ((eps, "PostScript"), (raw, "RAW")):
        with Image.open(io.BytesIO(data)) as image:
            assert word in reason(image)
    Image.fromarray(PIXELS).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert (read_photo(image).pixels == PIXELS).all()


# --- other files


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(60), "PostScript"),
        (b"%PDF-1.7\n" + bytes(60), "PDF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(60), "video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(60), "video"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<!DOCTYPE html><html>404</html>", "not an image, but a web page"),
        (b"v/1\x01" + bytes(60), "OpenEXR"),
        (b"II\xbc\x01" + bytes(60), "JPEG XR"),
        (b"8BPS\0\x02" + bytes(60), "PSB"),
        (b"just some words of text that nobody would take for a picture", "not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "JPEG|truncated"),
    ],
)
def test_other_files_are_refused_by_what_they_are(data, word, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    assert any(part in reason(data) for part in word.split("|"))


def test_only_named_formats_are_opened(monkeypatch):
    Image.init()
    for format in set(Image.OPEN) - set(formats.OPENED):
        monkeypatch.setitem(Image.OPEN, format, (lambda *_: pytest.fail("asked"), lambda head: pytest.fail("asked")))
    rng = random.Random(0)
    for start in (b"", b"%!PS", b"\x0a\x05\x01", b"\x59\xa6\x6a\x95", b"BLP2", b"FORM", b"\x01\xda"):
        reason(start + rng.randbytes(100))
    assert "EPS" not in formats.OPENED and set(formats.OPENED) <= set(Image.OPEN)


def test_every_suffix_of_a_folders_photos_is_known():
    opened = {suffix for suffix, format in Image.registered_extensions().items() if format in formats.OPENED}
    assert opened <= IMAGE_SUFFIXES
    assert IMAGE_SUFFIXES < PHOTO_SUFFIXES and {".heic", ".jxl", ".dng", ".cr2", ".nef", ".arw"} <= PHOTO_SUFFIXES
    assert not IMAGE_SUFFIXES & (formats.RAW_SUFFIXES | formats.PLUGIN_SUFFIXES)


# --- mending


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


def chunk(kind, body, damage=False):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ damage)


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


# --- sources


def test_everything_that_a_photo_can_be_read_from(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    data = path.read_bytes()
    at_the_end = io.BytesIO()
    at_the_end.write(data)
    read, write = os.pipe()
    with open(write, "wb") as file:
        file.write(data)
    with (
        open(path, "rb") as file,
        open(path, "rb", buffering=0) as raw,
        open(read, "rb") as pipe,
        Image.open(path) as opened,
    ):
        sources = [path, str(path), os.fsencode(path).decode(), data, bytearray(data), memoryview(data)]
        sources += [io.BytesIO(data), at_the_end, file, raw, pipe, opened]
        sources += [PIXELS, PIXELS[::-1][::-1], jnp.asarray(PIXELS)]
        for source in sources:
            photo = read_photo(source)
            np.testing.assert_array_equal(photo.pixels, PIXELS)
            assert isinstance(photo.pixels, np.ndarray) and photo.notes == () and photo.note is None


@pytest.mark.parametrize("source", [[], None, 3, [PIXELS], {"a": 1}, object(), io.StringIO("text")])
def test_everything_else_is_one_error(source):
    with pytest.raises(EmojaxError, match=r"^(the photo|me) is a ") as caught:
        read_photo(source, name="me")
    assert "\n" not in str(caught.value) and ("path" in str(caught.value) or "'rb'" in str(caught.value))


def test_an_array_that_numpy_cannot_read():
    class Elsewhere:
        def __array__(self):
            raise TypeError("on a device\nfar away")

    with pytest.raises(EmojaxError, match="is a Elsewhere that NumPy cannot read: on a device far away"):
        read_photo(Elsewhere())


def test_a_large_file_that_is_no_photo_is_not_read_whole(tmp_path):
    for name, head in (("a.jpg", b"junk"), ("b.jpg", b"\xff\xd8\xff")):
        with open(tmp_path / name, "wb") as file:
            file.write(head)
            file.truncate(1 << 24)  # sparse
        start = time.monotonic()
        reason(tmp_path / name, name)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("source", [b"", bytearray(), io.BytesIO()])
def test_nothing_at_all(source):
    with pytest.raises(EmojaxError, match="the file is empty"):
        read_photo(source)


def test_an_endless_stream_ends(monkeypatch):
    monkeypatch.setattr(opening, "MAX_BYTES", 1 << 20)

    class Endless:
        def read(self, size=-1):
            return b"x" * min(size, 1000)

    with pytest.raises(EmojaxError, match="more than 1 MiB"):
        read_photo(Endless())
