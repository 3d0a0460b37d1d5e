"""Resolves paths to files, and checks whether they may be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emojax.cli.job import STREAM, Job
from emojax.errors import InputError, OutputError
from emojax.util.files import refuse_existing


def place(path: str) -> str:
    """The absolute path of a file, with the symbolic links of its folder resolved."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder or "."), name)


def identity(path: str | int) -> tuple[int, int] | None:
    """A key that is the same for all links to a file and different for every other file; None if there is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


Taken = dict[tuple[int, int], str | int]
"""files that must not be written, by their `identity`: the path or the descriptor of each"""


def protected(jobs: Iterable[Job]) -> Taken:
    """The files that may never be written: the inputs."""
    sources = (descriptor(sys.stdin) if job.source == STREAM else job.source for job in jobs)
    return {file: source for source in sources if (file := identity(source)) is not None}


def is_taken(path: str | int, taken: Taken) -> bool:
    """Whether a file is, or links to, one in `taken`."""
    file = identity(path)
    # A file that another process has replaced meanwhile leaves its number to a new file.
    return file is not None and file in taken and identity(taken[file]) == file


def descriptor(stream: Any) -> int:
    """The file descriptor of a standard stream, -1 if it is closed or no real file."""
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return -1


def check_output(path: str, taken: Taken, force: bool) -> None:
    """Raises InputError if an output may not be written: it is or links to a file in `taken`, or it exists without `force`."""
    if is_taken(path, taken):
        raise InputError(f"{path} is, or links to, an input or another output: choose another --output")
    refuse_existing(Path(path), force)


def check_folder(folder: Path) -> None:
    """Raises OutputError if a folder cannot be created, or no files can be created in it."""
    nearest = os.path.abspath(folder)
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    if not os.path.isdir(nearest):
        raise OutputError(f"cannot write into {folder}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: no permission; choose another --output")
