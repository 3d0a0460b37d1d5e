"""Finds the photos: files, folders and standard input, each file once.

Each photo of a folder becomes a job; a photo that cannot be read becomes a job with the reason. With `recursive`, subfolders
are searched, each once, also through symbolic links.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from emojax.cli.files import identity, place
from emojax.cli.job import STREAM, Job, reason
from emojax.cli.media import PHOTOS, Media


def find_inputs(inputs: Iterable[str], recursive: bool, media: Media = PHOTOS) -> Iterable[Job]:
    """Yields a job per photo (or file of another kind), each file once, in the order of the inputs; folders are sorted."""
    seen = set()
    for item in inputs:
        if item == STREAM:
            found = [Job(item)]
        else:
            try:
                is_folder = stat.S_ISDIR(os.stat(item).st_mode)
                found = _files_in(item, recursive, media) if is_folder else [Job(item)]
            except (OSError, ValueError) as error:  # ValueError: a NUL in the name
                found = [Job(item, problem=f"cannot read {item}: {reason(error)}")]
        for job in found:
            file = job.source if job.source == STREAM else place(job.source)
            if file not in seen:
                seen.add(file)
                yield job


def _files_in(folder: str, recursive: bool, media: Media) -> list[Job]:
    """The files of a folder, without hidden ones and the outputs of emojax; one job with a problem if there are none."""
    files, problems = _walk(folder, recursive)
    found = [path for path in files if Path(path).suffix.lower() in media.read]
    # Reading a pipe would wait for its other end. A path that does not exist is a broken link, which is a problem to report.
    found = [path for path in found if os.path.isfile(path) or not os.path.exists(path)]
    paths = [path for path in found if not media.is_ours(path)]
    if not paths and not problems:
        what = f"{media.plural} besides those that emojax made" if found else media.plural
        where = "or its subfolders" if recursive else "(--recursive looks into subfolders)"
        return [Job(folder, problem=f"no {what} in {folder} {where}")]
    below = [os.path.relpath(os.path.dirname(path) or ".", folder) for path in paths]
    jobs = [Job(path, below="" if part == "." else part) for path, part in zip(paths, below, strict=True)]
    return sorted([*jobs, *problems], key=lambda job: job.source)


def _walk(folder: str, recursive: bool) -> tuple[list[str], list[Job]]:
    """Returns the visible files of a folder, and a job with a problem for each folder that cannot be read.

    Each folder is read once, by its own path rather than by a symbolic link, so links in a circle end.
    """
    files: list[str] = []
    problems: list[Job] = []
    waiting, links, seen = [folder], list[str](), set[tuple[int, int] | None]()
    while waiting or links:
        current = waiting.pop() if waiting else links.pop(0)
        file = identity(current)
        if file is not None and file in seen:
            continue
        seen.add(file)
        try:
            with os.scandir(current) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            problems.append(Job(current, problem=f"cannot read {current}: {reason(error)}"))
            continue
        for entry in sorted(visible, key=lambda entry: entry.name):
            path = str(Path(current, entry.name))
            if not os.path.isdir(path):  # unlike DirEntry's, False for links in a circle
                files.append(path)
            elif recursive:
                (links if entry.is_symlink() else waiting).append(path)
    return files, problems
