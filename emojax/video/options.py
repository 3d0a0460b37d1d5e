"""The options of clips, in addition to those of pictures. Imports neither JAX nor PyAV."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emojax.errors import InputError

MAX_STEADY = 0.95


@dataclass(frozen=True)
class VideoOptions:
    """Which part of a clip is painted, and how it is written.

    Raises:
        InputError: a value out of range.
    """

    start: float | None = None
    """seconds into the clip where painting begins; None: its start"""
    end: float | None = None
    """seconds into the clip where painting ends; None: its end"""
    every: int = 1
    """for a preview, paint only every Nth frame and leave out the others; the clip keeps its length"""
    crf: int = 18
    """quality of H.264 and VP9, 0 (best) to 51: smaller is better and larger"""
    steady: float = 0.85
    """share of the paint that is kept where the clip shows the same, 0 (every frame is painted by itself) to 0.95"""

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise InputError(f"`{name}` {value:g}: it is a number of seconds, at least 0", name)
        if self.end is not None and self.end <= (self.start or 0):
            raise InputError(f"`end` {self.end:g}: it comes after `start` {self.start or 0:g}", "end")
        if self.every < 1:
            raise InputError(f"`every` {self.every}: it is at least 1", "every")
        if not 0 <= self.crf <= 51:
            raise InputError(f"`crf` {self.crf}: it is 0 (best) to 51", "crf")
        if not 0 <= self.steady <= MAX_STEADY:
            raise InputError(f"`steady` {self.steady:g}: it is 0 to {MAX_STEADY}", "steady")
