"""Folders and files that `emojax stylize` cannot read or write: one line on stderr, and nothing half-written."""

import contextlib
import errno
import os
from pathlib import Path

import pytest

from emojax.cli import stylize as program
from emojax.images import is_ours
from tests import fakes
from tests.fakes import told


def test_a_folder_without_images(here, model, capsys):
    (here / "in" / "sub").mkdir(parents=True)
    (here / "in" / "notes.txt").touch()
    fakes.write_photo(here / "in" / "sub" / "a.png")
    assert program.main(["--input", "in"]) == 2
    assert told(capsys) == "emojax: error: no images in in (--recursive looks into subfolders)"
    assert program.main(["--input", "in", "--recursive"]) == 0
    assert capsys.readouterr().err == ""


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
