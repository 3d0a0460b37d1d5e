import errno
import os
from pathlib import Path

import pytest

from emojax.cli.files import identity, is_taken
from emojax.errors import EmojaxError
from emojax.util.files import refuse_existing, write_atomically


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "file.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EmojaxError, match=r"file\.bin: No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_refuses_an_existing_file_without_force(tmp_path):
    refuse_existing(tmp_path / "none", False)
    refuse_existing(tmp_path, True)
    with pytest.raises(EmojaxError, match="`force`"):
        refuse_existing(tmp_path, False)


def test_a_broken_link_is_there_too(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(EmojaxError, match="`force`"):
        refuse_existing(tmp_path / "link", False)


def test_names_that_cannot_exist_do_not(tmp_path):
    refuse_existing(tmp_path / ("x" * 300), False)
    with pytest.raises(EmojaxError, match="File name too long"):
        write_atomically(tmp_path / ("x" * 300), b"")


def test_a_name_as_long_as_may_be(tmp_path):
    write_atomically(tmp_path / ("x" * 255), b"data")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"data"


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "chain").symlink_to("link")
    for name, data in (("link", b"one"), ("chain", b"two")):
        write_atomically(tmp_path / name, data)
        assert (tmp_path / name).is_symlink() and (tmp_path / "target").read_bytes() == data
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(EmojaxError, match="symbolic links"):
        write_atomically(tmp_path / "circle", b"")


def test_a_replaced_file_is_no_longer_taken(tmp_path):
    """Another process may replace an output; the file system then gives its number to a new file."""
    old, new, link = (str(tmp_path / name) for name in ("old.png", "new.png", "link.png"))
    for path in (old, new):
        Path(path).touch()
    os.link(new, link)
    number = identity(new)
    assert (
        is_taken(link, {number: new}) and not is_taken(new, {number: old}) and not is_taken(new, {number: "gone.png"})
    )
