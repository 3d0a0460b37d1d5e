"""The results of a painted clip and of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emojax.pipeline.result import ReadFace


@dataclass(frozen=True)
class FrameReading:
    """The readings of a frame, smoothed in time, and the style in which it was painted."""

    index: int
    """from 0; frames that `VideoOptions.every` leaves out are not counted"""
    time: float
    """seconds"""
    faces: dict[int, ReadFace]
    """number -> face; a face keeps its number as long as it is seen"""
    emotion: dict[str, float] | None
    """the frame's seven probabilities; None while no face is seen"""
    style: dict[str, float]
    """the weights of the styles used"""


@dataclass(frozen=True)
class ClipResult:
    """The result of a clip."""

    output: Path | None
    """the painted clip; None if it was skipped"""
    frames: int
    """number of painted frames"""
    seconds: float
    """duration of these frames"""
    faces: int
    """number of different faces that were seen"""
    emotion: dict[str, float] | None
    """mean of the seven probabilities over the frames with a face; None if no face was read"""
    style: dict[str, float]
    """mean weights of the styles used over the frames"""
    note: str | None = None
    """a note for the user, one line"""
    interrupted: bool = False
    """whether Ctrl-C ended it early; the output has the frames up to then"""
