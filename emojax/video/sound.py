"""Copies the sound of a clip; it is encoded anew only if the container of the output cannot hold it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from emojax.video.read import require_av


@contextlib.contextmanager
def open_sound(path: Path, output: Any, origin: Fraction) -> Iterator[tuple[Callable[[Fraction], None], list[str]]]:
    """Adds the sound tracks of a file to an output container, before anything is written into it.

    Args:
        origin: the file's own time at the start of the output.

    Yields:
        A function that writes the sound up to a time of the output, and notes for the user.
    """
    av = require_av()
    with av.open(str(path)) as container:
        notes: list[str] = []
        tracks = {}
        for stream in container.streams.audio:
            codec = stream.codec_context
            if codec is None:
                notes.append("a sound track of an unknown kind is left out")
            elif codec.codec.canonical_name in output.supported_codecs:
                tracks[stream.index] = output.add_stream_from_template(stream), False
            else:
                name = output.default_audio_codec
                tracks[stream.index] = output.add_stream(name, rate=_rate(name, codec.sample_rate)), True
                notes.append(
                    f"the sound is encoded as {name}, because the file cannot hold {codec.codec.canonical_name}"
                )
        streams = [stream for stream in container.streams.audio if stream.index in tracks]
        if streams and origin > 0:
            container.seek(int(origin * av.time_base))
        parts = _parts(container, streams, tracks, origin) if streams else iter(())
        ahead = next(parts, None)

        def write_until(time: Fraction) -> None:
            nonlocal ahead
            while ahead is not None and ahead[0] < time:
                output.mux(ahead[1])
                ahead = next(parts, None)

        yield write_until, list(dict.fromkeys(notes))


def _rate(codec: str, rate: int) -> int:
    """The nearest sample rate that an encoder supports."""
    rates = require_av().Codec(codec, "w").audio_rates
    return min(rates, key=lambda known: (abs(known - rate), -known)) if rates else rate


def _parts(
    container: Any, streams: list[Any], tracks: dict[int, Any], origin: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """(time, packets of the output) in the order of the file; the end of encoded tracks comes last."""
    last = Fraction(0)
    for packet in container.demux(streams):
        if packet.pts is None and packet.dts is None:
            continue
        track, encoded = tracks[packet.stream.index]
        start = packet.pts if packet.pts is not None else packet.dts
        time = start * packet.time_base - origin
        if time + (packet.duration or 0) * packet.time_base <= 0 < origin:  # before the painted part; keeps priming
            continue
        last, shift = max(time, last), round(origin / packet.time_base)
        if encoded:
            for frame in packet.decode():
                if frame.pts is not None:
                    frame.pts -= round(origin / frame.time_base)
                if packets := track.encode(frame):
                    yield time, packets
            continue
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = track
        yield time, packet
    for stream in streams:
        track, encoded = tracks[stream.index]
        if encoded:
            for frame in stream.codec_context.decode(None):
                if packets := track.encode(frame):
                    yield last, packets
            if packets := track.encode(None):
                yield last, packets
