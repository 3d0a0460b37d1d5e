"""Paints the photos of a plan. One thread reads the next photo, and one writes the previous picture."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from emojax.cli.files import Taken, check_output, identity, protected
from emojax.cli.job import STREAM, Job, compound_name, reason, style_name
from emojax.cli.report import emotional_state, reading, report
from emojax.emotions import compound
from emojax.errors import EmojaxError, InputError
from emojax.images import FORMATS, MAX_MEGAPIXELS, Photo, read_bounded, read_photo, read_size, write_image
from emojax.images.metadata import WITHOUT
from emojax.util.ahead import map_ahead
from emojax.util.files import remove_leftovers
from emojax.util.machine import lack
from emojax.util.progress import progress

if TYPE_CHECKING:  # it imports JAX, which is slow; mistakes in the request are reported before that
    from emojax.pipeline import Result

DONE, SOME_FAILED, FAILED = 0, 1, 2
"""exit codes"""


@dataclass
class Work:
    """A job in progress: the results so far, and the time that it has taken."""

    job: Job
    row: dict[str, Any]
    """the entries of its JSON object"""
    photo: Photo | None = None
    result: Result | None = None
    """None if painting failed or has not ended"""
    seconds: float = 0.0

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Times a part of the work, and records a failure of this photo in the row."""
        start = time.perf_counter()
        try:
            yield
        except BrokenPipeError:  # nobody reads the output any more
            raise
        except (EmojaxError, OSError) as error:
            self.row["error"] = reason(error)
        except MemoryError:
            self.row["error"] = "not enough memory: make the photo smaller"
        except RuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):  # JAX's message when the device's memory is full
                self.row["error"] = "not enough memory on the device: make the photo smaller"
            elif (lacks := lack(error)) is not None:
                self.row["error"] = lacks
            else:
                raise
        finally:
            self.seconds += time.perf_counter() - start


def sizes(jobs: Iterable[Job], max_megapixels: float = MAX_MEGAPIXELS) -> list[tuple[int, int]]:
    """The (height, width) of the photos in order, read from their headers; photos without a readable header are left out."""
    paths = [job.source for job in jobs if job.is_open and job.source != STREAM]
    return [size for path in paths if (size := read_size(path, max_megapixels)) is not None]


def run(
    jobs: Sequence[Job],
    stylize: Callable[..., Result],
    prepare: Iterable[Callable[[], Any]] = (),
    *,
    force: bool = False,
    as_json: bool = False,
    quiet: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    previews: bool = False,
    keep_metadata: bool = False,
    name_compounds: bool = False,
) -> int:
    """Does the jobs in order.

    While one photo is painted, one thread reads the next, and another writes and reports the previous one.

    Args:
        stylize: returns the result for a photo.
        prepare: calls that a further thread makes meanwhile; see `Model.plan_sizes`.
        as_json: one JSON object per photo on stdout, instead of a line.
        quiet: print only errors: no lines on stdout, no notes on stderr.
        keep_metadata: whether pictures keep the harmless metadata of their photos.
        previews: whether `stylize` takes a second argument, a function that writes an unfinished picture beside the output.
        name_compounds: whether the output is named after a compound emotion, if one was read.

    Returns:
        The exit code: `DONE` (a skipped photo is done), `SOME_FAILED` of several, or `FAILED` for a single photo.
    """
    taken, failures = protected(jobs), 0
    for folder in {Path(job.output_for("EMOTION")).parent for job in jobs if job.is_open and job.output != STREAM}:
        remove_leftovers(folder)

    def finish(work: Work) -> None:
        nonlocal failures
        _write(work, taken, force, keep_metadata, name_compounds)
        row = work.row | {"seconds": round(work.seconds, 3)}
        failures += "error" in row
        report(work.job, row, as_json, quiet)
        bar.update()

    with (
        progress(len(jobs), "photo", quiet=quiet or len(jobs) < 2) as bar,
        ThreadPoolExecutor(1) as writer,
        _in_a_thread(prepare),
        contextlib.closing(map_ahead(functools.partial(_read, max_megapixels=max_megapixels), jobs)) as works,
    ):
        finishing: Future[None] | None = None
        for work in works:
            _paint(work, stylize, previews)
            if finishing is not None:
                finishing.result()
            finishing = writer.submit(finish, work)
            if work.result is not None and work.result.interrupted:
                finishing.result()
                raise KeyboardInterrupt
        if finishing is not None:
            finishing.result()
    return DONE if not failures else FAILED if len(jobs) == 1 else SOME_FAILED


def _paint(work: Work, stylize: Callable[..., Result], previews: bool) -> None:
    """Fills in the result, unless the photo could not be read."""
    if work.photo is None:
        return
    with work.step():
        if previews:
            with _preview(work.job) as show:
                work.result = stylize(work.photo, show)
        else:
            work.result = stylize(work.photo)


@contextlib.contextmanager
def _preview(job: Job) -> Iterator[Callable[[Image.Image], None]]:
    """Yields a function that writes an unfinished picture to NAME.preview.SUFFIX, which is removed at the end of the block."""
    output = job.output if job.output is not None else f"{job.prefix}{job.suffix}"
    path = Path(output)
    path = path.with_name(f"{path.stem}.preview{path.suffix}")
    wrote = False

    def show(picture: Image.Image) -> None:
        nonlocal wrote
        if output != STREAM and (wrote or not path.exists()):  # never overwrite the user's files
            write_image(picture, path)
            wrote = True

    try:
        yield show
    finally:
        if wrote:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _in_a_thread(steps: Iterable[Callable[[], Any]]) -> Iterator[None]:
    """Makes the calls in a thread while the block runs. Calls that have not begun when the block ends are dropped."""
    executor = ThreadPoolExecutor(1)
    for step in steps:
        executor.submit(step)
    try:
        yield
    finally:
        executor.shutdown(cancel_futures=True)


def _read(job: Job, max_megapixels: float) -> Work:
    """Reads the photo of a job."""
    row: dict[str, Any] = {"input": job.source, "output": None, "size": None, "faces": []}
    work = Work(job, row | {**emotional_state(None), "style": None})
    with work.step():
        if job.problem:
            raise InputError(job.problem)
        if job.done:
            work.row |= {"output": job.done, "note": job.done_note}
            return work
        photo = read_photo(_read_stdin() if job.source == STREAM else job.source, max_megapixels, name=job.label)
        work.row["size"] = [photo.pixels.shape[1], photo.pixels.shape[0]]
        work.row |= {"note": photo.note} if photo.note else {}
        work.photo = photo
    return work


def _write(work: Work, taken: Taken, force: bool, keep_metadata: bool, name_compounds: bool) -> None:
    """Fills the row from the result, and writes the picture unless the photo was skipped."""
    with work.step():
        if (result := work.result) is not None:
            work.row |= reading(result)
            if result.image is not None and result.style is not None:
                read = compound(result.emotion) if name_compounds and result.emotion else None
                output = work.job.output_for(style_name(result.style) if read is None else compound_name(read))
                metadata = work.photo.metadata if keep_metadata and work.photo is not None else {}
                format = FORMATS[(work.job.suffix if output == STREAM else Path(output).suffix).lower()]
                if metadata and format in WITHOUT:
                    notes = [work.row["note"]] if "note" in work.row else []
                    work.row["note"] = "; ".join([*notes, f"{format} has no place for the metadata: they are dropped"])
                _write_image(result, output, format, taken, force, metadata)
                work.row["output"] = output


def _write_image(
    result: Result,
    output: str,
    format: str,
    taken: Taken,
    force: bool,
    metadata: Mapping[int, Any],
) -> None:
    assert result.image is not None
    description = None if result.painted is None else json.dumps(result.painted)
    if output == STREAM:
        write_image(result.image, sys.stdout.buffer, format, description, metadata)
        return
    check_output(output, taken, force)
    write_image(result.image, output, format, description, metadata)
    written = identity(output)
    if written is not None:
        taken[written] = output  # on a case-insensitive file system two names may be one file


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise InputError("cannot read standard input: it is closed")
    try:
        return read_bounded(sys.stdin.buffer)
    except OSError as error:
        raise InputError(f"cannot read standard input: {reason(error)}") from None
