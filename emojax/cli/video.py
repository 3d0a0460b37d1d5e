"""`emojax video`: flags -> plan -> clips -> exit code."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emojax.cli import work
from emojax.cli.files import Taken, check_output, identity, protected
from emojax.cli.flags import style_options
from emojax.cli.job import Job, style_name
from emojax.cli.media import Media
from emojax.cli.plan import plan
from emojax.cli.report import emotional_state, faces_of, report, say_json
from emojax.cli.stylize import load_model, named_style, silence_jax
from emojax.cli.video_parser import parse, video_options
from emojax.cli.work import Work
from emojax.errors import InputError
from emojax.util.commandline import check_stdout, run
from emojax.util.files import SLOW
from emojax.util.progress import Lines, progress
from emojax.video.formats import ANIMATIONS, CLIP_SUFFIXES, DEFAULT_SUFFIX, WRITTEN
from emojax.video.read import is_ours, require_av

if TYPE_CHECKING:  # they import JAX
    from tqdm import tqdm

    from emojax.pipeline import Model
    from emojax.video.frames import ClipInfo
    from emojax.video.result import ClipResult, FrameReading

CLIPS = Media("clip", "clips", CLIP_SUFFIXES, WRITTEN, WRITTEN, DEFAULT_SUFFIX, is_ours, (), lambda path: None)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns the exit code. A mistake is one line on stderr."""
    return run(lambda: video(argv))


def video(argv: Sequence[str]) -> int:
    """Does what the flags ask for; returns the exit code.

    Raises:
        InputError: a mistake in the request as a whole; nothing is done.
    """
    options = parse(argv)
    if options.quiet:
        silence_jax()
    if options.json:
        check_stdout()
    style_files, style = named_style(options)
    jobs = plan(
        options.input,
        options.output,
        style=style,
        force=options.force,
        recursive=options.recursive,
        skip_existing=options.skip_existing,
        media=CLIPS,
    )
    open_jobs = [job for job in jobs if job.is_open]
    if any(Path(name).suffix.lower() not in ANIMATIONS for job in open_jobs for name in (job.source, _target(job))):
        require_av()
    model = load_model(options, style_files) if open_jobs else None
    taken, failures = protected(jobs), 0
    for job in jobs:
        done = _Clip(job, options, style, taken)
        failures += done.paint(model)
        if done.interrupted:
            raise KeyboardInterrupt
    return work.DONE if not failures else work.FAILED if len(jobs) == 1 else work.SOME_FAILED


def _target(job: Job) -> str:
    return job.output_for("EMOTION")


class _Clip:
    """One clip of the plan."""

    def __init__(self, job: Job, options: argparse.Namespace, style: dict[str, float] | None, taken: Taken) -> None:
        self.job, self.options, self.style, self.taken = job, options, style, taken
        self.interrupted = False
        self._bar: tqdm | Lines | None = None

    def paint(self, model: Model | None) -> bool:
        """Paints and reports the clip; returns whether it failed."""
        job, options = self.job, self.options
        row = {"input": job.source, "output": job.done, "size": None, "frames": 0, "faces": 0, **emotional_state(None)}
        clip, summary = Work(job, {**row, "style": None}), ""
        with clip.step():
            if job.problem:
                raise InputError(job.problem)
            if job.done:
                clip.row["note"] = job.done_note
            else:
                assert model is not None
                result = self._write(model, clip.row)
                clip.row |= _row(result)
                summary = _summary(result)
                self.interrupted = result.interrupted
        report(job, clip.row | {"work_seconds": round(clip.seconds, 3)}, options.json, options.quiet, summary)
        return "error" in clip.row

    def _write(self, model: Model, row: dict[str, Any]) -> ClipResult:
        """Paints the clip into its output, whose name may depend on what is read."""
        if self.job.output is not None:
            check_output(self.job.output, self.taken, self.options.force)
            result = self._stylize(model, Path(self.job.output), row)
            row["output"] = None if result.output is None else self.job.output
        else:
            folder = Path(self.job.prefix).parent
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=SLOW, dir=folder) as temporary:
                result = self._stylize(model, Path(temporary, f"clip{self.job.suffix}"), row)
                if result.output is not None:
                    output = self.job.output_for(style_name(result.style))
                    check_output(output, self.taken, self.options.force)
                    os.replace(result.output, output)
                    row["output"] = output
        if row["output"] is not None and (written := identity(row["output"])) is not None:
            self.taken[written] = row["output"]
        return result

    def _stylize(self, model: Model, output: Path, row: dict[str, Any]) -> ClipResult:
        from emojax.video.run import stylize_video

        def opened(info: ClipInfo) -> None:
            row["size"] = [info.size[1], info.size[0]]
            name = os.path.basename(self.job.source)
            self._bar = progress(info.count or 0, "frame", name, quiet=self.options.quiet, leave=False)

        def painted(reading: FrameReading) -> None:
            if self.options.json:
                say_json({"input": self.job.source, **_frame(reading)})
            if self._bar is not None:
                self._bar.update()

        try:
            return stylize_video(
                model,
                self.job.source,
                output,
                force=self.options.force,
                max_megapixels=self.options.max_megapixels,
                on_open=opened,
                on_frame=painted,
                emotion=self.style,
                **style_options(self.options),
                **video_options(self.options),
            )
        finally:
            if self._bar is not None:
                self._bar.__exit__(None, None, None)


def _frame(reading: FrameReading) -> dict[str, Any]:
    """The JSON object of a frame."""
    faces = faces_of(reading.faces.items())
    return {
        "frame": reading.index,
        "time": round(reading.time, 6),
        "faces": faces,
        **emotional_state(reading.emotion),
        "style": reading.style,
    }


def _row(result: ClipResult) -> dict[str, Any]:
    """The entries of a clip's JSON object."""
    row: dict[str, Any] = {"frames": result.frames, "seconds": round(result.seconds, 6), "faces": result.faces}
    row |= {**emotional_state(result.emotion), "style": result.style}
    return row | ({"note": result.note} if result.note else {})


def _summary(result: ClipResult) -> str:
    """The result in a few words, such as "happy, 2 faces, 250 frames"."""
    faces = f"{result.faces} face{'s' * (result.faces > 1)}" if result.faces else ""
    frames = f"{result.frames} frame{'s' * (result.frames > 1)}"
    return ", ".join(part for part in (style_name(result.style), faces, frames) if part)
