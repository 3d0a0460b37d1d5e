"""What a user of stylize.py can get wrong: one line on stderr, the exit code, nothing half-written, the rest done."""

import contextlib
import errno
import json
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emojax.cli import stylize as program
from emojax.errors import InputError
from emojax.images import is_ours
from tests import fakes


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(program, "_load", lambda *_: (fakes.result, []))


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
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def without_plugins(monkeypatch):
    """As if no plugin were installed."""
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "JXL")])
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name in Image.ID})


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


def told(capsys):
    """The only line on stderr."""
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("emojax: error: ") and "Traceback" not in line
    return line


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


# --- folders and permissions


def test_a_folder_without_images(here, model, capsys):
    (here / "in" / "sub").mkdir(parents=True)
    (here / "in" / "notes.txt").touch()
    fakes.write_photo(here / "in" / "sub" / "a.png")
    assert program.main(["--input", "in"]) == 2
    assert told(capsys) == "emojax: error: no images in in (--recursive looks into subfolders)"
    assert program.main(["--input", "in", "--recursive"]) == 0
    assert capsys.readouterr().err == ""


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


def test_a_folder_with_our_own_outputs_only(here, model, capsys):
    fakes.write_photo(here / "photo.png")
    assert program.main(["--input", "photo.png", "--output", "art"]) == 0
    capsys.readouterr()
    assert program.main(["--input", "art"]) == 2
    assert "besides those that emojax made in art" in told(capsys)


@contextlib.contextmanager
def as_nobody():
    """Without root's right to everything, where the tests run as root."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_to_all(here):
    """Pytest's folders are closed to others."""
    for parent in [here, *here.parents]:
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o777)
    return here


@pytest.mark.parametrize(
    ("forbid", "inputs", "culprit"),
    [
        ("in/a.png", ["in/a.png"], "cannot read in/a.png: Permission denied"),
        ("in", ["in"], "cannot read in: Permission denied"),
        ("in", ["in/a.png"], "cannot read in/a.png: Permission denied"),
        ("art", ["in/a.png", "--output", "art"], "cannot write into art: no permission"),
        ("art", ["in/a.png", "--output", "art/deep/a.jpg"], "cannot write into art/deep: no permission"),
    ],
)
def test_forbidden_places(open_to_all, model, capsys, forbid, inputs, culprit):
    fakes.write_photo(open_to_all / "in" / "a.png")
    (open_to_all / "art").mkdir()
    (open_to_all / "in").chmod(0o777)
    before = fakes.names(open_to_all)
    (open_to_all / forbid).chmod(0 if forbid != "art" else 0o500)
    try:
        with as_nobody():
            assert program.main(["--input", *inputs]) == 2
    finally:
        (open_to_all / forbid).chmod(0o700)
    assert culprit in told(capsys)
    assert fakes.names(open_to_all) == before


def test_an_unreadable_subfolder_is_its_own_problem(open_to_all, model, capsys):
    for name in ("in/a.png", "in/closed/b.png", "in/open/c.png"):
        fakes.write_photo(open_to_all / name)
    for folder in ("in", "in/open"):
        (open_to_all / folder).chmod(0o777)
    (open_to_all / "in" / "closed").chmod(0)
    try:
        with as_nobody():
            assert program.main(["in", "--recursive"]) == 1
    finally:
        (open_to_all / "in" / "closed").chmod(0o700)
    assert told(capsys) == "emojax: error: cannot read in/closed: Permission denied"
    assert {"in/a.happy.png", "in/open/c.happy.png"} <= set(fakes.names(open_to_all))


@pytest.mark.parametrize("output", ["file/art.jpg", "file/deep", "file"])
def test_an_output_below_a_file(here, model, capsys, output):
    fakes.write_photo(here / "photo.png")
    (here / "file").touch()
    assert program.main(["--input", "photo.png", "--output", output]) == 2
    assert "file is not a folder" in told(capsys)


def test_an_output_that_is_a_folder(here, model, capsys):
    fakes.write_photo(here / "photo.png")
    (here / "photo.happy.png").mkdir()
    assert program.main(["--input", "photo.png", "--force"]) == 2
    assert "cannot write photo.happy.png: Is a directory" in told(capsys)
    assert fakes.names(here) == ["photo.png"]


def test_a_name_that_is_too_long(here, model, capsys):
    fakes.write_photo(here / f"{'x' * 248}.png")
    fakes.write_photo(here / "a.png")
    assert program.main(["--input", "."]) == 1
    assert "File name too long" in told(capsys)
    assert len(fakes.names(here)) == 3
    assert program.main(["--input", "a" * 300]) == 2
    assert "File name too long" in told(capsys)


def test_a_full_disk(here, model, capsys, monkeypatch):
    for name in ("a.png", "b.png"):
        fakes.write_photo(here / name)
    write, calls = Path.write_bytes, []

    def full(path, data):
        calls.append(path)
        if len(calls) == 1:
            write(path, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert program.main(["--input", "."]) == 1
    assert told(capsys) == "emojax: error: a.png: cannot write a.happy.png: No space left on device"
    assert fakes.names(here) == ["a.png", "b.happy.png", "b.png"] and is_ours(here / "b.happy.png")


# --- the request


MISTAKES = [
    ("", "--input"),
    ("--input", "--input"),
    ("--input photo.png --emotion hapy", "unknown emotion 'hapy' (did you mean 'happy'?)"),
    ("--input photo.png --emotion=", "--emotion '': it is empty"),
    ("--input photo.png --emotion happy:-1", "not negative"),
    ("--input photo.png --emotion happy:0,sad:0", "sum to zero"),
    ("--input photo.png --emotion happy:nan", "finite"),
    ("--input photo.png --emotion happy:much", "'much' is not a weight"),
    ("--input photo.png --emotion sad,sad", "twice"),
    ("--input photo.png --mix blend", "dominant"),
    ("--input photo.png --face -1", "--face"),
    ("--input photo.png --face both", "'both' is neither all"),
    ("--input photo.png --no-face ignore", "neutral"),
    ("--input photo.png --max-megapixels 0", "above 0"),
    ("--input photo.png --max-megapixels nan", "above 0"),
    ("--input photo.png --max-megapixels many", "many"),
    ("--input photo.png --forse", "did you mean '--force'?"),
    ("--input photo.png --output art.psd", "cannot write art.psd: the suffix .psd is none of .jpg"),
    ("--input photo.png --output art.pdf", "cannot write art.pdf"),
    ("--input photo.png --output art.jpgg", "(did you mean .jpg?)"),
    ("--input photo.png other.png --output art.jpg", "2 photos: give a folder"),
    ("--input photo.png other.png --output -", "2 photos: give a folder"),
    ("--input photo.png --output - --json", "--json"),
    ("--input -", "--input - needs --output"),
    ("--input - --output - --json", "--json"),
    ("--input photo.png --output photo.png", "links to, an input"),
    ("--input photo.png --output photo.png --force", "links to, an input"),
    ("--input photo.png --output other.png", "exists: choose another output, or replace it with --force"),
    ("--input photo.png --force --skip-existing", "contradict"),
    ("photo.png --forse", "did you mean '--force'?"),
    ("--output art --", "--input"),
    ("--input nul\0.png", "cannot read"),
]


@pytest.mark.parametrize(("arguments", "part"), MISTAKES, ids=[arguments for arguments, _ in MISTAKES])
def test_a_mistake_in_the_request(here, monkeypatch, capsys, arguments, part):
    def load(options, *_):
        raise AssertionError("the mistake can be found without a model")

    monkeypatch.setattr(program, "_load", load)
    for name in ("photo.png", "other.png", "sub/photo.png"):
        fakes.write_photo(here / name)
    before = {name: (here / name).read_bytes() for name in fakes.names(here)}
    assert program.main(arguments.split(" ") if arguments else []) == 2
    assert part in told(capsys)
    assert {name: (here / name).read_bytes() for name in fakes.names(here)} == before


@pytest.mark.parametrize("flag", ["--classifier", "--styles"])
def test_a_bad_checkpoint_is_told_before_any_photo(here, monkeypatch, capsys, flag):
    def load(options, *_):
        raise InputError(f"no checkpoint at {options.styles or options.classifier}")

    monkeypatch.setattr(program, "_load", load)
    fakes.write_photo(here / "a.png")
    fakes.write_photo(here / "b.png")
    assert program.main(["--input", ".", flag, "nowhere"]) == 2
    assert told(capsys) == "emojax: error: no checkpoint at nowhere"
    assert fakes.names(here) == ["a.png", "b.png"]


def test_names_that_are_no_text(here, model, capsys):
    name = os.fsdecode(b"caf\xe9 \n.png")
    Image.new("RGB", (3, 3)).save(os.fsencode(here) + b"/caf\xe9 \n.png")
    (here / "bad.png").touch()
    assert program.main(["--input", ".", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 2 and (here / name.replace(".png", ".happy.png")).exists()
    assert program.main(["--input", name]) == 2
    assert "exists" in told(capsys)


@pytest.mark.parametrize("control", ["\x1b[31m", "\r", "\n", "\x9b2J", "\u202e"])
def test_control_characters_of_names_are_escaped(here, model, capsys, control):
    fakes.write_photo(here / f"a{control}b.png")
    (here / f"c{control}d.png").touch()
    assert program.main(["."]) == 1
    captured = capsys.readouterr()
    escaped = control.encode("unicode_escape").decode()
    assert f"a{escaped}b.png -> a{escaped}b.happy.png" in captured.out and captured.out.count("\n") == 1
    assert f"cannot read c{escaped}d.png" in captured.err and captured.err.count("\n") == 1
    assert control not in (captured.out + captured.err).replace("\n", "", 2 if control == "\n" else 0)


def test_control_characters_of_arguments_are_escaped(here, model, capsys):
    assert program.main(["photo.png", "--face", "\x1b[31m"]) == 2
    assert "\x1b" not in told(capsys)
    assert program.main(["a.png", "--output", "\x1b]0;title\x07.jpgg"]) == 2
    assert "\x1b" not in told(capsys)
