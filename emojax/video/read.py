"""Reading clips: video by PyAV, animated GIF and WebP by Pillow."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emojax.errors import InputError
from emojax.images import MARK, MAX_MEGAPIXELS
from emojax.images import is_ours as is_our_picture
from emojax.images.colour import over_white
from emojax.images.opening import pillow_limits
from emojax.images.sizes import check_size
from emojax.video.formats import ANIMATIONS
from emojax.video.frames import ClipInfo, Frame
from emojax.video.options import VideoOptions

_HD = 720  # rows from which a clip without a colour space is taken as ITU-R BT.709
_HDR = (16, 18)  # FFmpeg's numbers of the transfer functions PQ and HLG
_GIF_DEFAULT = 100  # milliseconds that viewers use for durations below 20


@dataclass(frozen=True)
class Clip:
    """An open clip."""

    info: ClipInfo
    frames: Iterator[Frame]
    """can be iterated once"""
    origin: Fraction = Fraction(0)
    """the clip's own time at the start of the painted part"""
    notes: list[str] = field(default_factory=list)
    """notes for the user, one line each; complete when the frames have ended"""


@contextlib.contextmanager
def open_clip(path: Path, options: VideoOptions, max_megapixels: float = MAX_MEGAPIXELS) -> Iterator[Clip]:
    """Opens the part of a clip that the options select.

    Raises:
        InputError: a missing file or one that is no clip; a frame above the limit. It may also come while frames are read.
    """
    animated = path.suffix.lower() in ANIMATIONS
    with (_open_animation if animated else _open_video)(path, options) as clip:
        check_size(math.prod(clip.info.size), max_megapixels, str(path))
        yield replace(clip, frames=_with_durations(clip, options))


def _with_durations(clip: Clip, options: VideoOptions) -> Iterator[Frame]:
    """Every Nth frame of the selected part, each with the time until the next one."""
    last: Frame | None = None
    end = None if options.end is None else _exactly(options.end) - _exactly(options.start)
    stop = Fraction(0)
    for index, frame in enumerate(clip.frames):
        if end is not None and frame.time >= end:
            stop = end
            break
        stop = max(frame.time + frame.duration, stop)
        if index % options.every:
            continue
        if last is not None:
            yield replace(last, duration=frame.time - last.time)
        last = frame
    if last is not None:
        yield replace(last, duration=max(stop - last.time, clip.info.time_base))


def _exactly(seconds: float | None) -> Fraction:
    """A user's number as the decimal that was typed: 0.1 becomes 1/10."""
    return Fraction(seconds or 0).limit_denominator(1_000_000)


def planned_count(frames: float, seconds: float | None, options: VideoOptions) -> int:
    """The number of painted frames of a clip that has `frames` frames in `seconds`."""
    if seconds:
        end = min(seconds, options.end if options.end is not None else seconds)
        frames *= max(0.0, end - (options.start or 0)) / seconds
    return max(1, math.ceil(round(frames) / options.every))


def require_av() -> Any:
    """Returns PyAV; raises InputError where it is not installed."""
    try:
        import av
    except ImportError:
        raise InputError("clips need PyAV: pip install 'emojax[video]'") from None
    return av


def is_ours(path: str) -> bool:
    """Whether emojax wrote a clip, by the mark in its metadata; False for unreadable files."""
    if Path(path).suffix.lower() in ANIMATIONS:
        return is_our_picture(path)
    av = require_av()
    try:
        with av.open(path) as container:
            texts = [text for key, text in container.metadata.items() if key.lower() == "comment"]
    except (OSError, av.error.FFmpegError):  # the code that reads the clip reports the error
        return False
    return any(text.split(" ")[0] == MARK for text in texts)


@contextlib.contextmanager
def _open_video(path: Path, options: VideoOptions) -> Iterator[Clip]:
    av = require_av()
    av.logging.set_level(None)
    with contextlib.ExitStack() as stack:
        try:
            container = stack.enter_context(av.open(str(path)))
            clip = _video_clip(path, container, options)
        except (av.error.FFmpegError, OSError) as error:
            raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
        yield clip


def _video_clip(path: Path, container: Any, options: VideoOptions) -> Clip:
    """The clip of a container, from the frame on where painting begins."""
    stream = _video_stream(container, path)
    stream.thread_type = "AUTO"
    origin = Fraction(container.start_time or 0, 1_000_000) + _exactly(options.start)
    if options.start:
        container.seek(int(origin / stream.time_base), stream=stream)
    pictures = container.decode(stream)
    first = next((picture for picture in pictures if _time_of(picture, stream) is not None), None)
    if first is None:
        raise InputError(f"cannot read {path}: it has no moving picture that can be decoded")
    turned = first.rotation % 180 == 90
    seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    count = stream.frames or seconds * float(rate)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    others = {other.type for other in container.streams}
    info = ClipInfo(
        (first.width, first.height) if turned else (first.height, first.width),
        rate,
        Fraction(stream.time_base),
        planned_count(count, seconds, options) if count else None,
        1 / aspect if turned else aspect,
    )
    notes = ["its subtitles are left out"] if "subtitle" in others else []
    if stream.codec_context.color_trc in _HDR:
        notes.append("its high dynamic range is cut to the standard one")
    frames = _decode(stream, itertools.chain([first], pictures), origin, notes)
    return Clip(info, (frame for frame in frames if frame.time >= 0), origin, notes)


def _video_stream(container: Any, path: Path) -> Any:
    """The first video stream that is not a cover picture."""
    for stream in container.streams.video:
        if not (int(stream.disposition) & int(type(stream.disposition).attached_pic)):
            return stream
    raise InputError(f"cannot read {path}: there is no moving picture in it")


def _time_of(picture: Any, stream: Any) -> Fraction | None:
    return None if picture.pts is None else picture.pts * Fraction(picture.time_base or stream.time_base)


def _decode(stream: Any, pictures: Iterable[Any], origin: Fraction, notes: list[str]) -> Iterator[Frame]:
    """The upright frames in the order of their times; a frame that is not later than the previous one is left out.

    If the file is damaged, they end there, with a note.
    """
    import av

    last, size = None, None
    iterator = iter(pictures)
    while True:
        try:
            picture = next(iterator, None)
        except av.error.FFmpegError as error:
            notes.append(f"it is damaged, and ends after {float((last or origin) - origin):.2f} s ({error.strerror})")
            return
        if picture is None:
            return
        time = _time_of(picture, stream)
        if time is None or (last is not None and time <= last):
            continue
        last = time
        pixels = _upright(picture)
        size = size or pixels.shape[:2]
        if pixels.shape[:2] != size:  # in some streams the size changes
            pixels = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.LANCZOS))
        duration = (picture.duration or 0) * Fraction(picture.time_base or stream.time_base)
        yield Frame(pixels, time - origin, duration)


def _upright(picture: Any) -> np.ndarray:
    """A decoded frame as uint8 [H, W, 3], rotated by its orientation flag."""
    from av.video.reformatter import Colorspace

    unspecified = int(picture.colorspace) == 2
    colours = Colorspace.ITU709 if unspecified and min(picture.width, picture.height) >= _HD else None
    pixels = picture.to_ndarray(format="rgb24", **({"src_colorspace": colours} if colours else {}))
    return np.ascontiguousarray(np.rot90(pixels, round(picture.rotation / 90) % 4))


@contextlib.contextmanager
def _open_animation(path: Path, options: VideoOptions) -> Iterator[Clip]:
    try:
        with pillow_limits(math.inf), Image.open(path, formats=tuple(ANIMATIONS.values())) as image:
            image.load()
            count = getattr(image, "n_frames", 1)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    notes: list[str] = []
    with contextlib.closing(_animation_frames(path, notes)) as frames:
        start = _exactly(options.start)
        loops = image.info.get("loop", 1 if image.format == "GIF" else 0)
        info = ClipInfo((image.height, image.width), Fraction(10), Fraction(1, 1000), count, loops=loops)
        shifted = (
            replace(frame, time=max(frame.time - start, Fraction(0)))
            for frame in frames
            if frame.time + frame.duration > start
        )
        yield Clip(replace(info, count=planned_count(count, None, options)), shifted, start, notes)


def _animation_frames(path: Path, notes: list[str]) -> Generator[Frame]:
    """The frames of an animation over white, with their alpha if they have any."""
    time = Fraction(0)
    with Image.open(path, formats=tuple(ANIMATIONS.values())) as image:
        for index in itertools.count():  # reading the number of frames first would lose a GIF's transparency
            try:
                image.seek(index)
                rgba = image.convert("RGBA")
            except EOFError:
                return
            except (OSError, ValueError, SyntaxError) as error:
                notes.append(f"it is damaged, and ends after {float(time):.2f} s ({error})")
                return
            milliseconds = image.info.get("duration") or 0
            duration = Fraction(round(milliseconds if milliseconds >= 20 else _GIF_DEFAULT), 1000)
            alpha = np.asarray(rgba.getchannel("A"))
            opaque = bool((alpha == 255).all())
            picture = rgba.convert("RGB") if opaque else over_white(rgba.convert("RGB"), rgba.getchannel("A"))
            yield Frame(np.array(picture), time, duration, None if opaque else alpha)
            time += duration
