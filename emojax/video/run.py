"""Paints a clip. One thread decodes and finds faces, one paints, one encodes."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from emojax.emotions import EMOTIONS
from emojax.errors import InputError, NoFaceError, OutputError
from emojax.images import MAX_MEGAPIXELS, resize_like, scaled_size
from emojax.images.finish import finish
from emojax.options import StylizeOptions, options_of
from emojax.pipeline import Model
from emojax.pipeline.styles import check_options, code_and_amount, spares_faces
from emojax.util.ahead import draw_ahead
from emojax.util.files import SLOW, new_file, refuse_existing
from emojax.util.interrupts import InterruptFlag
from emojax.video.analysis import ClipAnalyzer
from emojax.video.formats import ANIMATIONS, WRITTEN
from emojax.video.frames import ClipInfo, Frame
from emojax.video.motion import grid_shape
from emojax.video.options import VideoOptions
from emojax.video.painter import ClipPainter, Painted
from emojax.video.read import Clip, open_clip
from emojax.video.result import ClipResult, FrameReading
from emojax.video.threads import Consumer
from emojax.video.write import write_clip

SEGMENTS, FRAMES = 2, 4
"""largest number of segments that wait to be painted, and of frames that wait to be encoded"""


def stylize_video(
    model: Model,
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    force: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    on_open: Callable[[ClipInfo], None] | None = None,
    on_frame: Callable[[FrameReading], None] | None = None,
    **options: Any,
) -> ClipResult:
    """Repaints a clip in the style of the emotion on its faces; see docs/video.md.

    Args:
        output: the file that is written atomically: .mp4, .mov, .mkv, .webm, .gif or .webp.
        force: replace the output if it exists; the source is never replaced.
        max_megapixels: refuse larger frames.
        on_open: is called before the first frame.
        on_frame: is called after every frame.
        options: fields of `VideoOptions` and `StylizeOptions`; `no_face` applies to the clip as a whole.

    Raises:
        EmojaxError: a clip that cannot be read or written, an option out of range, or (`NoFaceError`) no face with
            no_face="error".
    """
    source, output = Path(source), Path(output)
    names = [field.name for field in fields(VideoOptions)]
    video = VideoOptions(**{name: value for name, value in options.items() if name in names})
    chosen = options_of({name: value for name, value in options.items() if name not in names}, names)
    check_options(model.stylizer, chosen)
    if output.suffix.lower() not in WRITTEN:
        raise InputError(f"cannot write {output}: the suffix {output.suffix!r} is none of {' '.join(WRITTEN)}")
    if os.path.lexists(output) and os.path.lexists(source) and os.path.samefile(source, output):
        raise InputError(f"{output} is, or links to, the clip itself: choose another output")
    refuse_existing(output, force)
    try:
        with new_file(output, SLOW) as temporary, open_clip(source, video, max_megapixels) as clip:
            if on_open is not None:
                on_open(clip.info)
            return _run(model, source, output, temporary, clip, video, chosen, on_frame)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}") from None


@dataclass
class _Sums:
    """Sums over the frames."""

    frames: int = 0
    end: Fraction = Fraction(0)
    style: Counter[str] = field(default_factory=Counter)
    emotion: Any = field(default_factory=lambda: np.zeros(len(EMOTIONS)))
    read: int = 0

    def add(self, painted: Painted) -> None:
        self.frames += 1
        self.end = painted.frame.time + painted.frame.duration
        self.style.update(painted.reading.style)
        if painted.reading.emotion is not None:
            self.read += 1
            self.emotion += list(painted.reading.emotion.values())


def _run(
    model: Model,
    source: Path,
    output: Path,
    temporary: Path,
    clip: Clip,
    video: VideoOptions,
    options: StylizeOptions,
    on_frame: Callable[[FrameReading], None] | None,
) -> ClipResult:
    """Paints an open clip into a temporary file, which is removed if the clip is skipped."""
    read, sums = options.style_given is None, _Sums()
    analyzer = ClipAnalyzer(
        model,
        scaled_size(*clip.info.size, 1 / options.style_scale),
        faces=read or spares_faces(model.stylizer, options) or options.faces_only or options.background_only,
        read=read,
        compares=video.steady > 0,
    )
    painter = ClipPainter(model, options, video.steady, grid_shape(*clip.info.size))
    _, amount = code_and_amount(model.stylizer, options.strength)

    def write(painted: Iterator[Painted]) -> list[str]:
        frames = (_finished(one, amount, options.colors) for one in painted)
        sound = None if source.suffix.lower() in ANIMATIONS else source
        return write_clip(temporary, frames, clip.info, video.crf, sound, clip.origin)

    with InterruptFlag() as flag:
        writer = Consumer(write, FRAMES)
        try:
            with contextlib.closing(draw_ahead(analyzer.segments(clip.frames), SEGMENTS)) as segments:
                for painted in itertools.chain.from_iterable(map(painter.paint, segments)):
                    writer.put(painted)
                    sums.add(painted)
                    if on_frame is not None:
                        on_frame(painted.reading)
                    if flag.raised:
                        break
        finally:
            more = writer.finish()
    notes, interrupted = [*clip.notes, *more], flag.raised
    if not sums.frames:
        raise InputError(f"no frame of {source} lies between start and end: choose another `start` or `end`", "start")
    if interrupted:
        notes.append(f"stopped by Ctrl-C after {float(sums.end):.2f} s")
    if skipped := read and not painter.face_count:
        notes.append(_without_a_face(options, temporary))
    gone = skipped and options.no_face == "skip"
    return ClipResult(
        None if gone else output,
        sums.frames,
        float(sums.end),
        painter.face_count if read else 0,
        dict(zip(EMOTIONS, (sums.emotion / sums.read).tolist(), strict=True)) if sums.read else None,
        {name: weight / sums.frames for name, weight in sums.style.items()},
        "; ".join(notes) or None,
        interrupted,
    )


def _finished(painted: Painted, amount: float, colors: str) -> Frame:
    """A frame as it is written."""
    frame = painted.frame
    picture = finish(frame.pixels, resize_like(painted.picture, frame.pixels), amount, colors, painted.mask)
    return Frame(picture, frame.time, frame.duration, frame.alpha)


def _without_a_face(options: StylizeOptions, temporary: Path) -> str:
    """Handles a clip without a face as the options say; returns the note about it."""
    if options.no_face == "error":
        raise NoFaceError("no face found: choose another `no_face`, or name a style with `emotion`")
    if options.no_face == "skip":
        temporary.unlink()
        return "no face found, skipped"
    return "no face found, " + ("nothing is painted" if options.faces_only else "used the neutral style")
