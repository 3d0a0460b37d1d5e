"""Which files are opened and which are refused, with or without plugins."""

import io
import random
import struct
import sys

import numpy as np
import pytest
from pictures import HEIC, PIXELS, file_of, reason, smooth, without_plugins
from PIL import EpsImagePlugin, Image

from emojax.errors import EmojaxError
from emojax.images import IMAGE_SUFFIXES, PHOTO_SUFFIXES, formats, read_photo, read_size, refusal, signatures

HINT = r"pip install 'emojax\[formats\]'"
JXL = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl " + bytes(100)


# --- plugins


@pytest.fixture
def no_plugins(monkeypatch):
    without_plugins(monkeypatch)


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
