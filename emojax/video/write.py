"""Writing painted clips: video by PyAV, animated GIF and WebP by Pillow. Frames are taken from an iterator, one at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emojax import __version__
from emojax.errors import OutputError
from emojax.images import MARK, to_picture
from emojax.images.colour import srgb_profile
from emojax.video.formats import ANIMATIONS, CODECS
from emojax.video.frames import ClipInfo, Frame
from emojax.video.read import require_av
from emojax.video.sound import open_sound

_OPTIONS = {
    "libx264": {"preset": "medium"},
    "libvpx-vp9": {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "4"},
}
_TICKS = {"GIF": (10, Fraction(2, 100)), "WEBP": (1, Fraction(1, 1000))}
"""unit of durations in milliseconds, and the shortest duration in seconds; viewers show shorter frames of a GIF for 0.1 s"""
_BT709 = 1
"""FFmpeg's number of the colour space that the file declares"""


def write_clip(
    path: Path,
    frames: Iterator[Frame],
    info: ClipInfo,
    crf: int,
    source: Path | None = None,
    origin: Fraction = Fraction(0),
) -> list[str]:
    """Writes a clip in the format of its suffix. If the frames end early, the file has the frames up to then.

    Args:
        path: a file that does not exist yet.
        source: the file whose sound is copied, if any.
        origin: the source's own time at the clip's start.

    Returns:
        Notes for the user.

    Raises:
        OutputError: the clip cannot be encoded, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in ANIMATIONS:
            return _write_animation(path, frames, info, ANIMATIONS[suffix])
        return _write_video(path, frames, info, CODECS[suffix], crf, source, origin)
    except OSError as error:
        raise OutputError(f"cannot write the clip: {error.strerror or error}") from None


def _write_video(
    path: Path, frames: Iterator[Frame], info: ClipInfo, codec: str, crf: int, source: Path | None, origin: Fraction
) -> list[str]:
    av = require_av()
    av.logging.set_level(None)
    height, width = (side + side % 2 for side in info.size)
    notes = [] if (height, width) == info.size else ["an edge is repeated, because H.264 and VP9 take even sides"]
    movie = path.suffix.lower() in (".mp4", ".m4v", ".mov")
    with contextlib.ExitStack() as stack:
        try:
            output = stack.enter_context(av.open(str(path), "w", options={"movflags": "+faststart"} if movie else {}))
            output.metadata["comment"] = f"{MARK} {__version__}"
            stream = output.add_stream(codec, rate=info.rate, options={"crf": str(crf), **_OPTIONS[codec]})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            context.time_base, context.sample_aspect_ratio = info.time_base, info.aspect
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = 1
            context.flags |= int(av.codec.context.Flags.frame_duration)
            write_sound: Callable[[Fraction], None] = lambda time: None  # noqa: E731
            if source is not None:
                write_sound, more = stack.enter_context(open_sound(source, output, origin))
                notes += more
            last = None
            for frame in frames:
                write_sound(frame.time)
                output.mux(stream.encode(_picture(frame, height, width, info.time_base)))
                last = frame
            output.mux(stream.encode(None))
            if last is not None:
                write_sound(last.time + last.duration)
        except av.error.FFmpegError as error:
            raise OutputError(f"cannot write the clip: {error.strerror or error}") from None
    return notes


def _picture(frame: Frame, height: int, width: int, time_base: Fraction) -> Any:
    """A frame in the form that the encoder takes."""
    from av import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace

    h, w = frame.pixels.shape[:2]
    pixels = np.ascontiguousarray(np.pad(frame.pixels, ((0, height - h), (0, width - w), (0, 0)), mode="edge"))
    picture = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
    picture.pts, picture.time_base = round(frame.time / time_base), time_base
    picture.duration = round(frame.duration / time_base)
    return picture


def _write_animation(path: Path, frames: Iterator[Frame], info: ClipInfo, format: str) -> list[str]:
    """Writes an animation; Pillow requests one picture after the other, and the list of durations at each."""
    durations: list[int] = []
    tick, least = _TICKS[format]

    def picture(frame: Frame, end: Fraction) -> Image.Image:
        durations.append(tick * max(1, round(1000 * end / tick) - round(1000 * frame.time / tick)))
        return to_picture(frame.pixels, frame.alpha)

    def pictures() -> Iterator[Image.Image]:
        held, end = None, Fraction(0)
        for frame in frames:
            end = frame.time + frame.duration
            if held is not None and frame.time - held.time < least:
                continue
            if held is not None:
                yield picture(held, frame.time)
            held = frame
        if held is not None:
            yield picture(held, end)

    coming = pictures()
    first = next(coming, None)
    if first is None:
        return []
    software = f"{MARK} {__version__}"
    exif = Image.Exif()
    exif[0x0131] = software  # Software
    options: dict[str, Any] = {"duration": durations, "save_all": True, "append_images": coming}
    if format == "WEBP":
        options |= {"loop": info.loops, "quality": 90, "exif": exif, "icc_profile": srgb_profile()}
        if first.mode == "RGBA":  # write whole frames: Pillow reads the area outside a partial frame as opaque
            options |= {"kmin": 0, "kmax": 1}
    else:
        options |= {"comment": software, "disposal": 2, "optimize": False}
        options |= {} if info.loops == 1 else {"loop": info.loops}
    first.save(path, format, **options)
    return []
