"""Plans where the outputs go, and protects the inputs.

`plan` finds what is wrong with a request before a model is loaded. If a photo fails later, the error is one line on stderr,
no half-written file is left, and the other photos are still painted. With `recursive`, an output folder keeps the tree of the
input folder.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from emojax.cli.files import Taken, check_folder, check_output, descriptor, is_taken, place, protected
from emojax.cli.inputs import find_inputs
from emojax.cli.job import STREAM, Job, compound_name, reason, style_name
from emojax.cli.media import PHOTOS, Media
from emojax.emotions import COMPOUNDS, EMOTIONS
from emojax.errors import EmojaxError, InputError
from emojax.images import PHOTO_SUFFIXES


def plan(
    inputs: Sequence[str],
    output: str | None = None,
    *,
    style: Mapping[str, float] | None = None,
    force: bool = False,
    recursive: bool = False,
    as_json: bool = False,
    skip_existing: bool = False,
    media: Media = PHOTOS,
) -> list[Job]:
    """Finds the photos (or files of another kind), and checks where their outputs go.

    Args:
        inputs: files, folders, or "-".
        output: a file if it has an image suffix, else a folder; "-": standard output; None: the photo's folder.
        style: the weights of the styles, if they are known before the faces are read.
        force: replace outputs that exist.
        recursive: look into subfolders, too.
        as_json: whether standard output is used for JSON.
        media: photos or clips.
        skip_existing: skip photos that an earlier run has painted; its outputs are recognized by name and mark.

    Returns:
        A job per photo. A job that cannot be done has its `problem` set, one that an earlier run did has `done` set.

    Raises:
        InputError: the request as a whole makes no sense.
    """
    jobs = list(find_inputs(inputs, recursive, media))
    if STREAM in inputs and output is None:
        raise InputError("--input - needs --output: a file, a folder, or - for standard output")
    if output == STREAM and as_json:
        raise InputError("--output - and --json both want standard output: give --output a file or a folder")
    to_one = output == STREAM or (output is not None and _is_file_name(output, media))
    if to_one and len(jobs) > 1:
        raise InputError(f"--output {output} is one file, but there are {len(jobs)} {media.word}s: give a folder")
    emotion = None if style is None else style_name(style)
    jobs = [_aim(job, output, to_one, emotion, media) for job in jobs]
    taken = protected(jobs)
    jobs = [_check_media(job, media) for job in jobs]
    if skip_existing:
        jobs = _find_all_done(jobs, taken, media)
    jobs = _refuse_collisions(jobs)
    return [_check_early(job, taken, force) for job in jobs]


def _check_media(job: Job, media: Media) -> Job:
    """Adds a problem if the file's format cannot be read, so that no model is loaded for it."""
    if job.problem or job.source == STREAM:
        return job
    refused = media.refusal(job.source)
    return job if refused is None else dataclasses.replace(job, problem=f"cannot read {job.source}: {refused}")


def _is_file_name(output: str, media: Media) -> bool:
    """Whether an output is a file; raises InputError for the suffix of a format that emojax does not write."""
    suffix = Path(output).suffix.lower()
    if output.endswith(("/", os.sep)) or os.path.isdir(output):
        return False
    if suffix in media.written:
        return True
    others = {*Image.registered_extensions(), *PHOTO_SUFFIXES, *media.read}
    near = difflib.get_close_matches(suffix, media.written, n=1, cutoff=0.75)  # .jpgg, .pgn
    if suffix in others or near:
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(
            f"cannot write {output}: the suffix {suffix} is none of {' '.join(media.written)}{hint};"
            f" for a folder of this name write {output}/"
        )
    return False


def _aim(job: Job, output: str | None, to_one: bool, emotion: str | None, media: Media) -> Job:
    """Fills in where a job's output goes."""
    source = Path("stdin.png" if job.source == STREAM else job.source)
    suffix = source.suffix if source.suffix.lower() in media.keeps else media.default
    folder = source.parent if output is None else Path(output, job.below)
    job = dataclasses.replace(job, prefix=str(folder / source.stem), suffix=suffix)
    if to_one:
        return dataclasses.replace(job, output=output)
    return job if emotion is None else dataclasses.replace(job, output=job.output_for(emotion))


def _emotional_names(folder: Path) -> dict[tuple[str, str], list[str]]:
    """The file names in a folder that outputs may have: (part before the emotion, suffix) -> names, sorted."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        start, _, emotions = stem.rpartition(".")
        if set(emotions.split("+")) <= {*EMOTIONS, *map(compound_name, COMPOUNDS.values())}:
            found.setdefault((start, suffix), []).append(name)
    return found


def _find_all_done(jobs: Sequence[Job], taken: Taken, media: Media) -> list[Job]:
    """Fills in which jobs are done. A picture whose name fits several photos is the problem of all of them."""
    names_in = functools.cache(_emotional_names)
    sharing = Counter(place(job.output_for("EMOTION")) for job in jobs if job.problem is None and job.output != STREAM)
    found = []
    for job in jobs:
        done = _find_done(job, taken, names_in, media)
        if done is not None and sharing[place(job.output_for("EMOTION"))] > 1:
            problem = f"{done} may be the picture of {job.label} or of another photo of this name: rename one of them"
            found.append(dataclasses.replace(job, problem=problem))
        else:
            found.append(dataclasses.replace(job, done=done))
    return found


def _find_done(
    job: Job,
    taken: Taken,
    names_in: Callable[[Path], Mapping[tuple[str, str], list[str]]],
    media: Media,
) -> str | None:
    """The output of an earlier run for a job; in any emotion, if the job's emotion is not known yet."""
    if job.problem or job.output == STREAM:
        return None
    folder, start = Path(job.prefix).parent, Path(job.prefix).name
    names = names_in(folder).get((start, job.suffix), []) if job.output is None else []
    outputs = [job.output] if job.output is not None else [str(folder / name) for name in names]
    return next((output for output in outputs if not is_taken(output, taken) and _is_made(output, media)), None)


def _is_made(output: str, media: Media) -> bool:
    """Whether emojax made an output, as far as its format can say so."""
    unmarked = Path(output).suffix.lower() in media.unmarked
    return os.path.isfile(output) and (unmarked or media.is_ours(output))


def _refuse_collisions(jobs: Iterable[Job]) -> list[Job]:
    """Adds a problem to each photo whose output would overwrite that of an earlier photo."""
    owners: dict[str, Job] = {}
    checked = []
    for job in jobs:
        if job.problem is None and job.output != STREAM:
            name = job.output_for("EMOTION")
            other = owners.setdefault(place(name), job)
            if other is not job:
                problem = (
                    f"{other.label} and {job.label} would both be written to {name}: rename one, or run them apart"
                )
                job = dataclasses.replace(job, problem=problem)
        checked.append(job)
    return checked


def _check_early(job: Job, taken: Taken, force: bool) -> Job:
    """Adds a problem if the job's output, as far as it is known, may not be written."""
    if not job.is_open:
        return job
    if job.output == STREAM:
        number = descriptor(sys.stdout)
        if number >= 0 and stat.S_ISREG(os.fstat(number).st_mode) and is_taken(number, taken):
            return dataclasses.replace(job, problem="standard output is the photo itself: send it to another file")
        return job
    try:
        check_folder(Path(job.output_for("EMOTION")).parent)
        if job.output is not None:
            check_output(job.output, taken, force)
    except (EmojaxError, OSError) as error:
        return dataclasses.replace(job, problem=reason(error))
    return job
