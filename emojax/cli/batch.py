"""Many photos: which ones, where the outputs go, and what is said about each.

Everything that can be wrong with the request itself is found by `plan`, before a model is loaded. A photo that fails
afterwards fails alone: one line on stderr, nothing half-written, and the others are still done.

Folders. A photo of a folder is painted, or named with the reason. With `recursive` the subfolders are searched, through
symbolic links too, each once; in an output folder their tree is kept.

Names. `photo.jpg` becomes `photo.EMOTION.jpg`, EMOTION being the style used, or of a mix all styles with at least a
quarter of the weight, strongest first: `photo.happy+surprise.jpg`. The output keeps the input's suffix; where we do not
write its format, or could not mark the picture as ours in it, and for standard input, the suffix is `.png`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from tqdm import tqdm

from emojax.cli.parser import printable
from emojax.emotions import EMOTIONS, dominant, valence_arousal
from emojax.errors import UserError
from emojax.images import (
    FORMATS,
    MAX_MEGAPIXELS,
    PHOTO_SUFFIXES,
    UNMARKED,
    Photo,
    is_ours,
    read_bounded,
    read_photo,
    read_size,
    refusal,
    write_image,
)
from emojax.util.files import refuse_existing

if TYPE_CHECKING:  # it imports JAX, which a mistake in the request should not wait for
    from emojax.pipeline import Result

STREAM = "-"
"""standard input as an input, standard output as an output"""
DONE, SOME_FAILED, FAILED = 0, 1, 2
"""exit codes"""

_DEFAULT_SUFFIX = ".png"
_IN_THE_NAME = 0.25  # the smallest weight of a style that is named


@dataclass(frozen=True)
class Job:
    """One photo to do."""

    source: str
    """a path, or "-" """
    prefix: str = ""
    suffix: str = _DEFAULT_SUFFIX
    """the output is PREFIX.EMOTION + SUFFIX, unless it is given:"""
    output: str | None = None
    """a path, or "-"; None as long as it depends on the emotion"""
    problem: str | None = None
    """why it cannot be done, where that is known already"""
    below: str = ""
    """the subfolder of an output folder that keeps the input's tree"""
    done: str | None = None
    """the output of an earlier run, which makes this one unnecessary"""

    @property
    def is_open(self) -> bool:
        """Whether there is something to do."""
        return self.problem is None and self.done is None

    @property
    def label(self) -> str:
        """How messages call the photo."""
        return "standard input" if self.source == STREAM else self.source

    def output_for(self, emotion: str) -> str:
        """Where the picture goes in the style named `emotion`."""
        return self.output or f"{self.prefix}.{emotion}{self.suffix}"


def style_name(style: Mapping[str, float]) -> str:
    """What names call a style or mix: "sad", or "happy+surprise"; see the top of this module."""
    order = {emotion: index for index, emotion in enumerate(EMOTIONS)}
    ranked = sorted(style, key=lambda name: (-round(style[name], 6), order.get(name, len(order)), name))
    total = sum(style.values())
    named = [name for name in ranked if round(style[name] / total, 6) >= _IN_THE_NAME]
    return "+".join(named or ranked[:1])


# --- the plan -----------------------------------------------------------------------------------------------------


def plan(
    inputs: Sequence[str],
    output: str | None = None,
    *,
    style: Mapping[str, float] | None = None,
    force: bool = False,
    recursive: bool = False,
    as_json: bool = False,
    skip_existing: bool = False,
) -> list[Job]:
    """Finds the photos and checks where they will go.

    Args:
        inputs: files, folders, or "-".
        output: a file if it has an image suffix, else a folder; "-" for standard output; None for beside the photo.
        style: the weights of the styles, if they are known before the faces are read.
        force: replace outputs that exist.
        recursive: look into subfolders, too.
        as_json: whether standard output is taken by JSON.
        skip_existing: do not repeat what an earlier run did: its outputs are found by name and mark.

    Returns:
        A job per photo. Those that cannot be done carry their problem, those that are done their output.

    Raises:
        UserError: the request as a whole makes no sense.
    """
    jobs = list(_find(inputs, recursive))
    if STREAM in inputs and output is None:
        raise UserError("--input - needs --output: a file, a folder, or - for standard output")
    if output == STREAM and as_json:
        raise UserError("--output - and --json both want standard output: give --output a file or a folder")
    to_one = output == STREAM or (output is not None and _is_file_name(output))
    if to_one and len(jobs) > 1:
        raise UserError(f"--output {output} is one file, but there are {len(jobs)} photos: give a folder")
    emotion = None if style is None else style_name(style)
    jobs = [_aim(job, output, to_one, emotion) for job in jobs]
    taken = protected(jobs)
    jobs = _refuse_collisions([_check_kind(job) for job in jobs])
    if skip_existing:  # after the collisions: of two photos of one name only the first is done
        names_in = functools.cache(_emotional_names)
        jobs = [dataclasses.replace(job, done=_find_done(job, taken, names_in)) for job in jobs]
    return [_check_early(job, taken, force) for job in jobs]


def _find(inputs: Iterable[str], recursive: bool) -> Iterable[Job]:
    """A job per photo, each file once, in the order of the inputs, folders sorted."""
    seen = set()
    for item in inputs:
        if item == STREAM:
            found = [Job(item)]
        else:
            try:
                is_folder = stat.S_ISDIR(os.stat(item).st_mode)
                found = _find_in_folder(item, recursive) if is_folder else [Job(item)]
            except (OSError, ValueError) as error:  # ValueError: a NUL in the name
                found = [Job(item, problem=f"cannot read {item}: {_reason(error)}")]
        for job in found:
            place = job.source if job.source == STREAM else _place(job.source)
            if place not in seen:
                seen.add(place)
                yield job


def _find_in_folder(folder: str, recursive: bool) -> list[Job]:
    """The photos of a folder, without hidden files and our own outputs; one job with a problem if there are none."""
    files, problems = _walk(folder, recursive)
    pictures = [path for path in files if Path(path).suffix.lower() in PHOTO_SUFFIXES]
    # A pipe would be waited for; what does not exist is a broken link, of which the user should hear.
    pictures = [path for path in pictures if os.path.isfile(path) or not os.path.exists(path)]
    photos = [path for path in pictures if not is_ours(path)]
    if not photos and not problems:
        what = "images besides those that emojax made" if pictures else "images"
        where = "or its subfolders" if recursive else "(--recursive looks into subfolders)"
        return [Job(folder, problem=f"no {what} in {folder} {where}")]
    below = [os.path.relpath(os.path.dirname(path) or ".", folder) for path in photos]
    jobs = [Job(path, below="" if place == "." else place) for path, place in zip(photos, below, strict=True)]
    return sorted([*jobs, *problems], key=lambda job: job.source)


def _walk(folder: str, recursive: bool) -> tuple[list[str], list[Job]]:
    """The files of a folder that are not hidden, and a job with a problem per folder that cannot be read.

    Each folder is read once, by its own path rather than by a symbolic link, so that links in a circle end.
    """
    files: list[str] = []
    problems: list[Job] = []
    waiting, links, seen = [folder], list[str](), set[tuple[int, int] | None]()
    while waiting or links:
        place = waiting.pop() if waiting else links.pop(0)
        identity = _identity(place)
        if identity is not None and identity in seen:
            continue
        seen.add(identity)
        try:
            with os.scandir(place) as entries:
                found = sorted(
                    (entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name
                )
        except OSError as error:
            problems.append(Job(place, problem=f"cannot read {place}: {_reason(error)}"))
            continue
        for entry in found:
            path = str(Path(place, entry.name))
            if not os.path.isdir(path):  # unlike DirEntry's, False for links in a circle
                files.append(path)
            elif recursive:
                (links if entry.is_symlink() else waiting).append(path)
    return files, problems


def _check_kind(job: Job) -> Job:
    """Adds the problem of a photo whose format is not read here, so that no model is loaded for it."""
    if job.problem or job.source == STREAM:
        return job
    reason = refusal(job.source)
    return job if reason is None else dataclasses.replace(job, problem=f"cannot read {job.source}: {reason}")


def _is_file_name(output: str) -> bool:
    """Whether an output is a file; UserError if it looks like a picture that we cannot write."""
    suffix = Path(output).suffix.lower()
    if output.endswith(("/", os.sep)) or os.path.isdir(output):
        return False
    if suffix in FORMATS:
        return True
    others = {*Image.registered_extensions(), *PHOTO_SUFFIXES}
    near = difflib.get_close_matches(suffix, FORMATS, n=1, cutoff=0.75)  # .jpgg, .pgn
    if suffix in others or near:
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(
            f"cannot write {output}: the suffix {suffix} is none of {' '.join(FORMATS)}{hint};"
            f" for a folder of this name write {output}/"
        )
    return False


def _aim(job: Job, output: str | None, to_one: bool, emotion: str | None) -> Job:
    """Fills in where a job's output goes."""
    source = Path("stdin.png" if job.source == STREAM else job.source)
    marked = FORMATS.get(source.suffix.lower(), "BMP") not in UNMARKED
    suffix = source.suffix if marked else _DEFAULT_SUFFIX
    folder = source.parent if output is None else Path(output, job.below)
    job = dataclasses.replace(job, prefix=str(folder / source.stem), suffix=suffix)
    if to_one:
        return dataclasses.replace(job, output=output)
    return job if emotion is None else dataclasses.replace(job, output=job.output_for(emotion))


def _emotional_names(folder: Path) -> dict[tuple[str, str], list[str]]:
    """The names in a folder that are those of outputs: (before the emotion, suffix) -> names, sorted."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        start, _, emotions = stem.rpartition(".")
        if set(emotions.split("+")) <= set(EMOTIONS):
            found.setdefault((start, suffix), []).append(name)
    return found


def _find_done(
    job: Job, taken: set[tuple[int, int]], names_in: Callable[[Path], Mapping[tuple[str, str], list[str]]]
) -> str | None:
    """The output of an earlier run for a job: of its name, or of any emotion's if that is not known yet."""
    if job.problem or job.output == STREAM:
        return None
    folder, start = Path(job.prefix).parent, Path(job.prefix).name
    names = names_in(folder).get((start, job.suffix), []) if job.output is None else []
    outputs = [job.output] if job.output is not None else [str(folder / name) for name in names]
    return next((output for output in outputs if _identity(output) not in taken and _is_made(output)), None)


def _is_made(output: str) -> bool:
    """Whether an output is one of emojax's pictures, as far as its format can tell."""
    unmarked = FORMATS.get(Path(output).suffix.lower()) in UNMARKED
    return os.path.isfile(output) and (unmarked or is_ours(output))


def _refuse_collisions(jobs: Iterable[Job]) -> list[Job]:
    """Adds the problem of each photo that would be written over the output of one before it."""
    owners: dict[str, Job] = {}
    checked = []
    for job in jobs:
        if job.problem is None and job.output != STREAM:
            name = job.output_for("EMOTION")
            other = owners.setdefault(_place(name), job)
            if other is not job:
                problem = (
                    f"{other.label} and {job.label} would both be written to {name}: rename one, or run them apart"
                )
                job = dataclasses.replace(job, problem=problem)
        checked.append(job)
    return checked


def _place(path: str) -> str:
    """The absolute path of a file, by whatever links its folder was reached."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder or "."), name)


def _identity(path: str | int) -> tuple[int, int] | None:
    """What tells a file from all others, whatever links to it; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def protected(jobs: Iterable[Job]) -> set[tuple[int, int]]:
    """The files that may never be written: the inputs."""
    found = {_identity(_number(sys.stdin) if job.source == STREAM else job.source) for job in jobs}
    return {identity for identity in found if identity is not None}


def _number(stream: Any) -> int:
    """The file descriptor of a standard stream, -1 if it is closed or no real file."""
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return -1


def _check_early(job: Job, taken: set[tuple[int, int]], force: bool) -> Job:
    """Adds the problem that a job's output has, as far as it is known."""
    if not job.is_open:
        return job
    if job.output == STREAM:
        number = _number(sys.stdout)
        if number >= 0 and stat.S_ISREG(os.fstat(number).st_mode) and _identity(number) in taken:
            return dataclasses.replace(job, problem="standard output is the photo itself: send it to another file")
        return job
    try:
        _check_folder(Path(job.output_for("EMOTION")).parent)
        if job.output is not None:
            check_output(job.output, taken, force)
    except (UserError, OSError) as error:
        return dataclasses.replace(job, problem=_reason(error))
    return job


def check_output(path: str, taken: set[tuple[int, int]], force: bool) -> None:
    """Raises UserError if an output may not be written: it is, or links to, a file in `taken`; or it exists."""
    if _identity(path) in taken:
        raise UserError(f"{path} is, or links to, an input or another output: choose another --output")
    refuse_existing(Path(path), force)


def _check_folder(folder: Path) -> None:
    """Raises UserError if files cannot be made in a folder, or it cannot be made itself."""
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise UserError(f"cannot write into {folder}: {place} is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into {folder}: no permission; choose another place with --output")


# --- the work -----------------------------------------------------------------------------------------------------


@dataclass
class _Work:
    """A job that is under way: what is known so far, and how long it took."""

    job: Job
    row: dict[str, Any]
    """what is told about it, in the keys of --json"""
    photo: Photo | None = None
    result: Result | None = None
    """None where it failed or is not there yet"""
    seconds: float = 0.0

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Does a part of the work: the time counts, and a failure of this photo alone goes into the row."""
        start = time.perf_counter()
        try:
            yield
        except BrokenPipeError:  # whoever read our output has gone, so there is nobody left to work for
            raise
        except (UserError, OSError) as error:
            self.row["error"] = _reason(error)
        except MemoryError:
            self.row["error"] = "not enough memory: make the photo smaller"
        except RuntimeError as error:  # how JAX says that the device's memory is full
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            self.row["error"] = "not enough memory on the device: make the photo smaller"
        finally:
            self.seconds += time.perf_counter() - start


def sizes(jobs: Iterable[Job], max_megapixels: float = MAX_MEGAPIXELS) -> list[tuple[int, int]]:
    """The (height, width) of the photos in their order, from the headers alone; without those that have none."""
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
) -> int:
    """Does the jobs one after the other.

    While one photo is painted, the next is read and the one before is written and told about, each in a thread of its own.

    Args:
        stylize: what turns a photo into its result.
        prepare: what may be done meanwhile in one more thread; see `Model.expect`.
        as_json: one JSON object per photo on stdout, instead of a line.
        quiet: neither lines on stdout nor notes on stderr, only errors.
        previews: whether `stylize` also takes what shows an unfinished picture: a function that writes it beside the output.

    Returns:
        The exit code: `DONE` (a skipped photo is done), `SOME_FAILED` of several, or `FAILED` for a single photo.
    """
    taken, failures = protected(jobs), 0

    def finish(work: _Work) -> None:
        nonlocal failures
        _write(work, taken, force)
        row = work.row | {"seconds": round(work.seconds, 3)}
        failures += "error" in row
        for line in _messages(work.job, row, quiet):
            _say(line, sys.stderr)
        if as_json:
            _say(json.dumps(row, allow_nan=False), sys.stdout)
        elif row["output"] not in (None, STREAM) and not work.job.done and not quiet:
            _say(f"{work.job.label} -> {row['output']} ({_summary(row)})", sys.stdout)
        bar.update()

    with (
        tqdm(total=len(jobs), unit="photo", disable=None if len(jobs) > 1 and not quiet else True) as bar,
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(1) as writer,
        _in_a_thread(prepare),
    ):
        finishing: Future[None] | None = None
        for work in _read_ahead(reader, jobs, max_megapixels):
            if work.photo is not None:
                with work.step():
                    if previews:
                        with _preview(work.job, taken) as show:
                            work.result = stylize(work.photo, show)
                    else:
                        work.result = stylize(work.photo)
            if finishing is not None:
                finishing.result()
            finishing = writer.submit(finish, work)
            if work.result is not None and work.result.interrupted:
                finishing.result()
                raise KeyboardInterrupt
        if finishing is not None:
            finishing.result()
    return DONE if not failures else FAILED if len(jobs) == 1 else SOME_FAILED


@contextlib.contextmanager
def _preview(job: Job, taken: set[tuple[int, int]]) -> Iterator[Callable[[Image.Image], None]]:
    """What writes an unfinished picture to PREFIX.preview.SUFFIX, which goes when the block is done."""
    output = job.output if job.output is not None else f"{job.prefix}{job.suffix}"
    path = Path(output)
    path = path.with_name(f"{path.stem}.preview{path.suffix}")
    wrote = False

    def show(picture: Image.Image) -> None:
        nonlocal wrote
        if output != STREAM and (wrote or not path.exists()):  # never over a file that is not ours
            write_image(picture, path)
            wrote = True

    try:
        yield show
    finally:
        if wrote:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _in_a_thread(steps: Iterable[Callable[[], Any]]) -> Iterator[None]:
    """Takes the steps one after the other while the block runs; those not begun by its end are dropped."""
    executor = ThreadPoolExecutor(1)
    for step in steps:
        executor.submit(step)
    try:
        yield
    finally:
        executor.shutdown(cancel_futures=True)


def _read_ahead(reader: ThreadPoolExecutor, jobs: Iterable[Job], max_megapixels: float) -> Iterator[_Work]:
    """Begins the jobs in their order, the next one in a thread while the caller is busy with one."""
    coming: Future[_Work] | None = None
    for job in jobs:
        ready, coming = coming, reader.submit(_read, job, max_megapixels)
        if ready is not None:
            yield ready.result()
    if coming is not None:
        yield coming.result()


def _read(job: Job, max_megapixels: float) -> _Work:
    """Begins a job: reads the photo."""
    row: dict[str, Any] = {"input": job.source, "output": None, "size": None, "faces": []}
    work = _Work(job, row | {**_emotional_state(None), "style": None})
    with work.step():
        if job.problem:
            raise UserError(job.problem)
        if job.done:
            work.row |= {"output": job.done, "note": f"done already, see {job.done}"}
            return work
        photo = read_photo(_read_stdin() if job.source == STREAM else job.source, max_megapixels, name=job.label)
        work.row["size"] = [photo.pixels.shape[1], photo.pixels.shape[0]]
        work.row |= {"note": photo.note} if photo.note else {}
        work.photo = photo
    return work


def _write(work: _Work, taken: set[tuple[int, int]], force: bool) -> None:
    """Ends a job: fills in what was seen, and writes the picture unless the photo was skipped."""
    with work.step():
        if (result := work.result) is not None:
            work.row |= _reading(result)
            if result.image is not None and result.style is not None:
                output = work.job.output_for(style_name(result.style))
                _write_image(result.image, output, work.job.suffix, taken, force)
                work.row["output"] = output


def _reason(error: Exception) -> str:
    """An error in one line, without the number that Python puts before those of the system."""
    text = str(getattr(error, "strerror", None) or error)
    return text if isinstance(error, UserError) else " ".join(text.split())  # ours may name files with line breaks


def _write_image(image: Image.Image, output: str, suffix: str, taken: set[tuple[int, int]], force: bool) -> None:
    if output == STREAM:
        write_image(image, sys.stdout.buffer, FORMATS[suffix.lower()])
        return
    check_output(output, taken, force)
    write_image(image, output)
    written = _identity(output)
    if written is not None:
        taken.add(written)  # on a file system that ignores case two names may be one file


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UserError("cannot read standard input: it is closed")
    try:
        return read_bounded(sys.stdin.buffer)
    except OSError as error:
        raise UserError(f"cannot read standard input: {_reason(error)}") from None


def _reading(result: Result) -> dict[str, Any]:
    faces = [
        {
            "id": index,
            "region": {side: round(float(getattr(read.face, side)), 1) for side in ("x", "y", "w", "h")},
            "face_confidence": float(read.face.confidence),
            **_emotional_state(read.emotion),
            **({"style": read.style} if read.style else {}),
        }
        for index, read in enumerate(result.faces)
    ]
    row = {"faces": faces, **_emotional_state(result.emotion), "style": result.style}
    row |= {"painted": result.painted} if result.painted else {}
    return row | ({"note": result.note} if result.note else {})


def _emotional_state(emotion: dict[str, float] | None) -> dict[str, Any]:
    """What the JSON says of a face's or a photo's probabilities; all None if nothing was read."""
    if emotion is None:
        return dict.fromkeys(("emotion", "dominant_emotion", "valence", "arousal"))
    valence, arousal = valence_arousal(emotion)
    return {"emotion": emotion, "dominant_emotion": dominant(emotion), "valence": valence, "arousal": arousal}


def _messages(job: Job, row: Mapping[str, Any], quiet: bool) -> list[str]:
    """What stderr says about a photo."""
    lines = [] if quiet or "note" not in row else [f"emojax: {job.label}: {row['note']}"]
    if "error" in row:
        named = row["error"] if job.label in row["error"] else f"{job.label}: {row['error']}"
        lines.append(f"emojax: error: {named}")
    return lines


def _summary(row: Mapping[str, Any]) -> str:
    """What was seen and done, such as "happy 0.93, 2 faces"."""
    if row["emotion"] is None:
        return style_name(row["style"])
    count = len(row["faces"])
    strongest = row["dominant_emotion"]
    return f"{strongest} {row['emotion'][strongest]:.2f}, {count} face{'s' * (count > 1)}"


def _say(line: str, stream: Any) -> None:
    """Prints a line past the progress bar, at once.

    Raises:
        UserError: the stream cannot be written (a full disk), so that nobody would hear of the rest.
    """
    try:
        with tqdm.external_write_mode(file=stream):
            # the names of files may hold what the stream's encoding does not
            encoding = getattr(stream, "encoding", None) or "utf-8"
            print(printable(line).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to standard output: {error.strerror or error}") from None
