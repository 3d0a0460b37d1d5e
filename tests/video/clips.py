"""Clips made from examples/astronaut.jpg, for the tests."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

import emojax
from emojax.video.frames import ClipInfo, Frame

PHOTO = Path(emojax.__file__).parent.parent / "examples" / "astronaut.jpg"
SIZE = (48, 64)


def pan(count, speed=1, size=SIZE, side=160):
    """What a camera sees that moves to the right by whole pixels."""
    photo = np.asarray(Image.open(PHOTO).convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
    return [
        np.ascontiguousarray(photo[20 : 20 + size[0], 10 + i * speed : 10 + i * speed + size[1]]) for i in range(count)
    ]


def noisy(count, deviation=5.0):
    """A still clip with the noise of a sensor."""
    rng, frame = np.random.default_rng(0), pan(1)[0]
    return [(frame + rng.normal(0, deviation, frame.shape)).clip(0, 255).astype(np.uint8) for _ in range(count)]


def timed(pictures, milliseconds=40, alpha=None):
    """Frames with their times: a number of milliseconds for each, or one for all."""
    durations = [milliseconds] * len(pictures) if isinstance(milliseconds, int) else milliseconds
    time = 0
    for picture, duration in zip(pictures, durations, strict=True):
        yield Frame(picture, Fraction(time, 1000), Fraction(duration, 1000), alpha)
        time += duration


def write(path, pictures, milliseconds=40, sound=None, alpha=None, **info):
    """A clip without loss to speak of; returns its path."""
    from emojax.video.write import write_clip

    size = pictures[0].shape[:2]
    write_clip(
        path,
        timed(pictures, milliseconds, alpha),
        ClipInfo(size, Fraction(25), Fraction(1, 1000), len(pictures), **info),
        crf=6,
        source=sound,
    )
    return path


def write_tone(path, seconds, codec="aac", rate=44100):
    """A file that has a tone and no picture."""
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        wave = (0.3 * np.sin(np.arange(int(seconds * rate)) * 0.06)).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def turn(path, degrees):
    """Writes the flag of a rotation, clockwise, into a file of MPEG-4."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: the matrix comes after 40 bytes
    one = 1 << 16
    matrices = {90: (0, one, 0, -one, 0, 0), 180: (-one, 0, 0, 0, -one, 0), 270: (0, -one, 0, one, 0, 0)}
    a, b, u, c, d, v = matrices[degrees]
    for index, value in enumerate((a, b, u, c, d, v, 0, 0, 1 << 30)):
        data[start + 4 * index : start + 4 * index + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)


def read(path, **options):
    """The frames of a clip, and what is known of it."""
    from emojax.video.options import VideoOptions
    from emojax.video.read import open_clip

    with open_clip(path, VideoOptions(**options)) as clip:
        return list(clip.frames), clip


def times(frames):
    """In milliseconds."""
    return [round(1000 * frame.time) for frame in frames]


def sound_of(path):
    """(codec, packets) of the sound of a file."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return stream.codec_context.name, [bytes(packet) for packet in container.demux(stream) if packet.size]
