"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from emojax.errors import UserError
from emojax.interrupts import uninterrupted


def refuse_existing(path: Path, force: bool) -> None:
    """Raises UserError if `path` exists, if only as a broken link, and `force` is not given."""
    if os.path.lexists(path) and not force:
        raise UserError(f"{path} exists: choose another output, or replace it with --force")


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

    Raises:
        UserError: the file cannot be written (permissions, a full disk); nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with uninterrupted(), tempfile.TemporaryDirectory(prefix=".emojax-", dir=path.parent) as folder:
            temporary = Path(folder, "new")  # not a name that may be too long with anything added to it
            temporary.write_bytes(data)
            os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
