"""Analyses a clip before it is painted: the faces in key frames, and the change from each frame to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from emojax.emotions import EMOTIONS, NEUTRAL
from emojax.faces.crops import cut_face
from emojax.faces.find import Face, find_faces
from emojax.pipeline import Model
from emojax.pipeline.networks import FACE_COUNTS
from emojax.video.frames import Frame
from emojax.video.motion import Change, compare, shrink

KEY_INTERVAL = Fraction(3, 10)
"""seconds between two key frames"""
MAX_SEGMENT_BYTES = 100_000_000
"""largest number of bytes of the frames between two key frames; key frames of large clips are closer to each other"""


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """The faces of a key frame, largest first, and their readings."""

    time: Fraction
    faces: list[Face]
    probabilities: Float[np.ndarray, "F 7"]
    """meaningless if the emotion is given"""


@dataclass(frozen=True, eq=False)
class Segment:
    """The frames from a key frame up to the next one (not included), or to the end of the scene."""

    frames: list[tuple[Frame, Change | None]]
    """each frame with the change since the previous one; None: not known"""
    start: KeyFrame
    end: KeyFrame
    begins: bool
    """whether it is the first segment of its scene"""


class ClipAnalyzer:
    """Finds the faces and the changes in the frames of a clip."""

    def __init__(self, model: Model, painted: tuple[int, int], *, faces: bool, read: bool, compares: bool) -> None:
        """Takes the size of painted frames, and whether to find faces, read them, and compare frames."""
        self._model, self._painted = model, painted
        self._faces, self._read, self._compares = faces, read, compares

    def segments(self, frames: Iterable[Frame]) -> Iterator[Segment]:
        """The frames in segments."""
        held: list[tuple[Frame, Change | None]] = []
        before, start, begins = None, None, True
        for frame in frames:
            small = shrink(frame.pixels, self._painted) if self._compares else None
            change: Change | None = None
            if before is not None and small is not None:
                change = compare(before, small)
            before = small
            if start is not None and change is not None and change.cut:
                yield Segment(held, start, self._end(held, start), begins)
                held, start, begins = [], None, True
            if start is None:
                start = self._detect(frame)
            elif self._faces and (
                frame.time - start.time >= KEY_INTERVAL or len(held) * frame.pixels.nbytes >= MAX_SEGMENT_BYTES
            ):
                end = self._detect(frame)
                yield Segment(held, start, end, begins)
                held, start, begins = [], end, False
            elif not self._faces and held:  # without faces, no key frame has to be waited for
                yield Segment(held, start, start, begins)
                held, begins = [], False
            held.append((frame, change))
        if held and start is not None:
            yield Segment(held, start, self._end(held, start), begins)

    def _end(self, held: list[tuple[Frame, Change | None]], start: KeyFrame) -> KeyFrame:
        return self._detect(held[-1][0]) if len(held) > 1 else start

    def _detect(self, frame: Frame) -> KeyFrame:
        """The faces of a frame."""
        found = find_faces(self._model.detector, frame.pixels, turned=False) if self._faces else []
        found = found[: FACE_COUNTS[-1]]
        probabilities = np.zeros((len(found), len(EMOTIONS)), np.float32)
        if self._read and found:
            config = self._model.classifier
            probabilities = self._model.read_crops(
                [cut_face(frame.pixels, face, config.margin, config.size, config.aligned) for face in found]
            )
        elif found:
            probabilities[:, NEUTRAL] = 1
        return KeyFrame(frame.time, found, probabilities)
