"""Photos that `emojax stylize` cannot read: one line on stderr, the exit code, nothing half-written, the rest done."""

import json
import struct
import zlib

import numpy as np
import pytest
from pictures import HEIC, without_plugins
from PIL import Image

from emojax.cli import stylize as program
from tests import fakes
from tests.fakes import told


def noise(side=64):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def missing(path):
    path.unlink(missing_ok=True)


def empty(path):
    path.write_bytes(b"")


def fake(path):
    path.write_text("<html>not found</html>")


def binary(path):
    path.write_bytes(bytes(range(256)) * 50)


def truncated(path):
    noise().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def header_only(path):
    noise().save(path)
    path.write_bytes(path.read_bytes()[:60])


def wrong_suffix(path):
    """A video that claims to be a photo."""
    path.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(500))


def bomb(path):
    """A few bytes that say that they are 3.6 gigapixels."""
    Image.new("L", (1, 1)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def large(path):
    """A real picture above the limit."""
    Image.new("1", (10_001, 10_000)).save(path)


def text_bomb(path):
    """A PNG with a text of 100 MB in 100 kB."""
    Image.new("L", (1, 1)).save(path, "PNG")
    data = path.read_bytes()
    body = b"zTXtkey\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:33] + chunk + data[33:])


def folder(path):
    path.mkdir()


def loop(path):
    path.symlink_to(path.name)


HINT = "pip install 'emojax[formats]'"


BAD = {
    missing: "No such file",
    empty: "empty",
    fake: "not an image",
    binary: "not an image",
    truncated: "truncated",
    header_only: "cannot read",
    wrong_suffix: "cannot read",
    bomb: "3600 megapixels, more than 100: allow it with --max-megapixels",
    large: "100 megapixels, more than 100",
    text_bomb: "cannot read",
    folder: "no images in",
    loop: "symbolic links",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
@pytest.mark.parametrize("several", [False, True], ids=["alone", "among others"])
def test_a_bad_photo(here, model, capsys, make, several):
    make(here / "bad.png")
    inputs = ["bad.png"]
    if several:
        fakes.write_photo(here / "a.png")
        fakes.write_photo(here / "z.png")
        inputs = ["a.png", "bad.png", "z.png"]
    before = set(fakes.names(here))
    assert program.main(["--input", *inputs]) == (1 if several else 2)
    line = told(capsys)
    assert "bad.png" in line and BAD[make] in line
    assert set(fakes.names(here)) - before == ({"a.happy.png", "z.happy.png"} if several else set())


@pytest.mark.parametrize("make", [truncated, header_only, empty, fake])
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".gif", ".tif", ".bmp", ".avif", ".jp2"])
def test_bad_photos_of_every_format(here, model, capsys, make, suffix):
    make(here / f"bad{suffix}")
    assert program.main(["--input", f"bad{suffix}"]) == 2
    assert f"bad{suffix}" in told(capsys)
    assert fakes.names(here) == [f"bad{suffix}"]


@pytest.mark.parametrize("make", [empty, fake, truncated])
def test_bad_standard_input(here, model, capsys, monkeypatch, make):
    make(here / "bad.png")
    with open(here / "bad.png") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert program.main(["--input", "-", "--output", "art.png"]) == 2
    assert told(capsys).startswith("emojax: error: cannot read standard input: ")
    assert fakes.names(here) == ["bad.png"]


def test_json_tells_it_too(here, model, capsys):
    empty(here / "bad.png")
    assert program.main(["--input", "bad.png", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.out.count("\n") == 1
    assert '"error": "cannot read bad.png: the file is empty"' in captured.out


def test_files_that_cannot_be_read_here_are_named(here, model, capsys, monkeypatch):
    """HEIC and JPEG XL without their plugins, and RAW: in the report and in the JSON, and the rest is painted."""
    without_plugins(monkeypatch)
    fakes.write_photo(here / "in" / "a.jpg")
    (here / "in" / "b.heic").write_bytes(HEIC)
    (here / "in" / "c.JXL").write_bytes(b"\xff\x0a" + bytes(50))
    (here / "in" / "d.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(50))
    (here / "in" / "e.hif").touch()
    assert program.main(["in", "--json"]) == 1
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["input"] for row in rows] == ["in/a.jpg", "in/b.heic", "in/c.JXL", "in/d.cr2", "in/e.hif"]
    reasons = ["a HEIC photo is read with a plugin: pip install 'emojax[formats]'", "JPEG XL", "RAW", "empty"]
    for row, line, reason in zip(rows[1:], captured.err.splitlines(), reasons, strict=True):
        assert reason in row["error"] and row["input"] in row["error"] and row["error"] in line
    assert (here / "in" / "a.happy.jpg").exists()


@pytest.mark.parametrize("name", ["b.heic", "b.jpg"])
def test_no_model_is_loaded_for_what_cannot_be_read(here, monkeypatch, capsys, name):
    without_plugins(monkeypatch)
    monkeypatch.setattr(program, "_load", lambda *_: pytest.fail("loaded"))
    (here / name).write_bytes(HEIC)
    assert program.main([name]) == 2
    assert told(capsys) == f"emojax: error: cannot read {name}: {'a HEIC photo is read with a plugin'}: {HINT}"
