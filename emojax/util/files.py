"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from emojax.errors import InputError, UserError
from emojax.util.interrupts import uninterrupted

PACKAGED = Path(__file__).parent.parent / "checkpoints"
"""The folder of the networks and pictures that travel in the package."""
_HOUR = 3600.0
SLOW = ".emojax_clip-"
"""how the names of temporary folders of long work begin"""
TEMPORARY = ".emojax-"
"""how the names of folders begin that hold a file while it is written; a killed process leaves one"""


def refuse_existing(path: Path, force: bool) -> None:
    """Raises InputError if `path` exists, if only as a broken link, and `force` is not given."""
    if os.path.lexists(path) and not force:
        raise InputError(f"{path} exists: choose another output, or replace it with `force`", "force")


def make_folder(path: Path) -> None:
    """Makes a folder for outputs before the work begins; raises UserError if nothing can be written into it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write into {path}: {error.strerror or error}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into {path}: permission denied")


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a temporary file beside `path`, then renames it; missing folders are made.

    A symbolic link stays: the file that it leads to is written.

    Raises:
        UserError: the file cannot be written (permissions, a full disk); nothing is left behind.
    """
    try:
        with uninterrupted(), new_file(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


@contextlib.contextmanager
def new_file(path: Path, prefix: str = TEMPORARY) -> Iterator[Path]:
    """A temporary file beside `path`, of its suffix, for the block to write; it replaces `path` unless the block raises.

    A block that writes none leaves `path` as it is. One that may take more than an hour needs the prefix `SLOW`, which
    `remove_leftovers` does not touch. Raises OSError where the file cannot be made or renamed.
    """
    target = _end_of_links(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as folder:
        temporary = Path(folder, f"new{path.suffix}")  # not a name that may be too long with anything added to it
        yield temporary
        if temporary.exists():
            os.replace(temporary, target)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left in a folder more than an hour ago, and nothing else; fails nobody."""
    with contextlib.suppress(OSError):
        for path in list(folder.glob(f"{TEMPORARY}*")):
            if abs(time.time() - path.lstat().st_mtime) > _HOUR and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def _end_of_links(path: Path) -> Path:
    """Returns what a symbolic link leads to, which need not exist; raises OSError for links in a circle."""
    if not path.is_symlink():
        return path
    with contextlib.suppress(FileNotFoundError):
        path.stat()
    return Path(os.path.realpath(path))
