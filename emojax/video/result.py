"""What is told about a painted clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emojax.pipeline.result import ReadFace


@dataclass(frozen=True)
class FrameReading:
    """What was read from a frame, smoothed in time, and how it was painted."""

    index: int
    """from 0; frames that `VideoOptions.every` leaves out do not count"""
    time: float
    """seconds"""
    faces: dict[int, ReadFace]
    """the faces by their number, which they keep as long as they are seen"""
    emotion: dict[str, float] | None
    """the frame's seven probabilities; None as long as no face was seen"""
    style: dict[str, float]
    """the weights of the styles used"""


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip."""

    output: Path | None
    """the painted clip; None if it was skipped"""
    frames: int
    """that were painted"""
    seconds: float
    """that they last"""
    faces: int
    """different faces that were seen"""
    emotion: dict[str, float] | None
    """the seven probabilities, the mean over the frames with a face; None if no face was read"""
    style: dict[str, float]
    """the weights of the styles used, the mean over the frames"""
    note: str | None = None
    """what the user should know, in one line"""
    interrupted: bool = False
    """whether Ctrl-C ended it before its time; what was done is in the output"""
