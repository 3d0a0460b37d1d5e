"""Folders of photos and of pictures, local or in a bucket, and the record of finished photos.

The pictures keep the tree of the photos: IN/a/b.jpg becomes OUT/a/b.happy.jpg. The files in OUT/readings/ have a line per
photo, the JSON object that `emojax stylize --json` prints. A photo is done when its line is written; its picture is written
before that. OUT/emojax.json records how the pictures were made; a run with other options needs another folder.
"""

from __future__ import annotations

import json
import os
import posixpath
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from emojax.cli.job import reason
from emojax.errors import EmojaxError, InputError, OutputError
from emojax.images import PHOTO_SUFFIXES
from emojax.ray.painter import written_suffix
from emojax.util.files import write_atomically

READINGS, RUN = "readings", "emojax.json"
LINES, SECONDS = 10_000, 30.0
"""a file of readings is written after this many lines or seconds; a killed run repeats the photos painted since the last one"""
_WITHOUT_FOLDERS = frozenset({"s3", "gcs", "abfs"})


@dataclass(frozen=True)
class Folder:
    """A folder in some file system."""

    name: str
    """the path or URI that the user gave"""
    filesystem: FileSystem
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, or mounted there."""
        return isinstance(self.filesystem, LocalFileSystem)

    def file(self, name: str) -> str:
        """The path of a file below it."""
        return posixpath.join(self.path, name)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none. Raises InputError for one that cannot be read."""
        try:
            with self.filesystem.open_input_file(self.file(name)) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"cannot read {self.name}/{name}: {reason(error)}") from None

    def write(self, name: str, data: bytes) -> None:
        """Writes a file atomically; raises OutputError if it cannot be written."""
        if self.is_local:
            write_atomically(Path(self.file(name)), data)
            return
        try:
            if self.filesystem.type_name not in _WITHOUT_FOLDERS:
                self.filesystem.create_dir(posixpath.dirname(self.file(name)), recursive=True)
            with self.filesystem.open_output_stream(self.file(name)) as file:  # an object appears only when complete
                file.write(data)
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"cannot write {self.name}/{name}: {reason(error)}") from None

    def files(self, *, missing: bool = False) -> list[str]:
        """The relative paths of the visible files below the folder, sorted; `missing`: treat a missing folder as empty.

        Raises:
            InputError: no such folder.
        """
        try:
            found = self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=missing, recursive=True))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"cannot read {self.name}: {reason(error)}") from None
        names = [posixpath.relpath(info.path, self.path) for info in found if info.type == FileType.File]
        return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


def open_folder(name: str) -> Folder:
    """A folder by its path or URI; raises InputError for a URI that names no file system."""
    if "://" not in name:
        return Folder(name, LocalFileSystem(), Path(os.path.abspath(name)).as_posix())
    try:
        filesystem, path = FileSystem.from_uri(name)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot open {name}: {reason(error)}") from None
    return Folder(name, filesystem, path.rstrip("/"))


@dataclass(frozen=True)
class Plan:
    """What a run has to do."""

    photos: list[str]
    """paths below the folder of the photos"""
    done: int
    """how many photos earlier runs have painted"""
    problems: dict[str, str]
    """photo -> why it cannot be painted"""


def plan(photos: Folder, output: Folder, run: Mapping[str, Any]) -> Plan:
    """Lists the photos that are not done, and records in `output` how its pictures are made.

    Raises:
        InputError: no photos; an output inside the input; an output of another program, or one made with other options.
    """
    inside = f"{output.path}/".startswith(f"{photos.path}/")
    if inside and output.filesystem.equals(photos.filesystem):
        raise InputError(f"{output.name} lies in {photos.name}: the next run would paint its pictures; choose another")
    found = [name for name in photos.files() if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES]
    if not found:
        raise InputError(f"no images in {photos.name}")
    content = json.dumps(run, indent=2, sort_keys=True).encode()
    before = output.read(RUN)
    if before is None:
        if output.files(missing=True):
            raise InputError(f"{output.name} has files that emojax.ray did not write: choose an empty folder")
        output.write(RUN, content)
    elif before != content:
        changed = [name for name, value in run.items() if json.loads(before).get(name) != value]
        raise InputError(
            f"{output.name} was painted with another {', '.join(changed)} (see {RUN}): choose another folder"
        )
    done = {row["input"] for row in readings(output) if "error" not in row}
    problems, owners = {}, dict[str, str]()
    for name in found:
        path = PurePosixPath(name)
        target = str(path.with_suffix(f".EMOTION{written_suffix(name)}"))
        if owners.setdefault(target, name) != name:
            problems[name] = f"{owners[target]} and {name} would both be written to {target}: rename one"
    return Plan([name for name in found if name not in done | problems.keys()], len(done & set(found)), problems)


def readings(output: Folder) -> Iterator[dict[str, Any]]:
    """The objects that earlier runs recorded."""
    folder = Folder(output.name, output.filesystem, output.file(READINGS))
    for name in folder.files(missing=True):
        for line in (folder.read(name) or b"").splitlines():
            yield json.loads(line)


def write_pictures(batch: pa.Table, photos: Folder, output: Folder) -> pa.Table:
    """Writes the pictures of painted rows. Returns a table whose column "line" has their lines for the readings."""
    lines = []
    for row in batch.to_pylist():
        name = posixpath.relpath(row["path"], photos.path)
        line: dict[str, Any] = {"input": name, "output": None, **json.loads(row["reading"] or "{}")}
        if row["error"] is not None:
            line["error"] = row["error"]
        elif row["painted"] is not None:
            written = str(PurePosixPath(name).with_suffix(f".{row['style']}{row['suffix']}"))
            try:
                output.write(written, row["painted"])
                line["output"] = written
            except EmojaxError as error:
                line["error"] = str(error)
        lines.append(json.dumps(line, allow_nan=False))
    return pa.table({"line": pa.array(lines, pa.string())})


class Record:
    """Collects lines and writes them to new files of readings, now and then and at the end of the block."""

    def __init__(self, output: Folder) -> None:
        self._output, self._lines = output, list[str]()
        folder = Folder(output.name, output.filesystem, output.file(READINGS))
        self._next = len(folder.files(missing=True))
        self._due = time.monotonic() + SECONDS

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, line: str) -> None:
        """Adds a line."""
        self._lines.append(line)
        if len(self._lines) >= LINES or time.monotonic() >= self._due:
            self._write()

    def _write(self) -> None:
        if self._lines:
            self._output.write(
                f"{READINGS}/{self._next:06}.jsonl", "".join(f"{line}\n" for line in self._lines).encode()
            )
            self._next += 1
        self._lines, self._due = [], time.monotonic() + SECONDS
