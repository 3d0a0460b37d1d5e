"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from emojax.errors import InputError, OutputError
from emojax.util.interrupts import uninterrupted

PACKAGED = Path(__file__).parent.parent / "checkpoints"
"""the folder of the networks and pictures in the package"""
PACKAGED_STYLES = {"default": PACKAGED / "styles", "fast": PACKAGED / "fast"}
"""name -> packaged transform net; "fast" is smaller, see docs/results.md"""
ASTRONAUT = PACKAGED.parent / "train" / "presets" / "astronaut.jpg"
"""the photo of the examples, which is in the public domain"""
_HOUR = 3600.0
SLOW = ".emojax_clip-"
"""prefix of the names of temporary folders for work that may take more than an hour"""
TEMPORARY = ".emojax-"
"""prefix of the names of temporary folders, which hold a file while it is written; a killed process leaves one behind"""


def cache_folder() -> Path:
    """$EMOJAX_CACHE, by default the user's cache folder; raises RuntimeError for a user without a home folder."""
    return Path(os.environ.get("EMOJAX_CACHE") or platformdirs.user_cache_dir("emojax"))


def refuse_existing(path: Path, force: bool) -> None:
    """Raises InputError if `path` exists (even as a broken link) and `force` is not given."""
    if os.path.lexists(path) and not force:
        raise InputError(f"{path} exists: choose another output, or replace it with `force`", "force")


def make_folder(path: Path) -> None:
    """Creates a folder for outputs before the work begins; raises OutputError if it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {path}: {error.strerror or error}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {path}: permission denied")


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a temporary file beside `path`, then renames it; missing folders are created.

    A symbolic link is kept: the file that it points to is written.

    Raises:
        OutputError: the file cannot be written (permissions, a full disk); nothing is left behind.
    """
    try:
        with uninterrupted(), new_file(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None


@contextlib.contextmanager
def new_file(path: Path, prefix: str = TEMPORARY) -> Iterator[Path]:
    """Yields a temporary file with the suffix of `path`, beside it; the file replaces `path` unless the block raises.

    If the block writes nothing, `path` does not change. A block that may take more than an hour needs the prefix `SLOW`, which
    `remove_leftovers` does not touch. Raises OSError if the file cannot be created or renamed.
    """
    target = _end_of_links(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as folder:
        temporary = Path(folder, f"new{path.suffix}")  # a longer form of the file's name might be too long
        yield temporary
        if temporary.exists():
            os.replace(temporary, target)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary folders that killed processes left more than an hour ago; never raises an OSError."""
    with contextlib.suppress(OSError):
        for path in list(folder.glob(f"{TEMPORARY}*")):
            if abs(time.time() - path.lstat().st_mtime) > _HOUR and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def _end_of_links(path: Path) -> Path:
    """Returns the target of a symbolic link, which need not exist; raises OSError for circular links."""
    if not path.is_symlink():
        return path
    with contextlib.suppress(FileNotFoundError):
        path.stat()
    return Path(os.path.realpath(path))
