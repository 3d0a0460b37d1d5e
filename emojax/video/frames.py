"""The frames of a clip, and the facts about it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from jaxtyping import UInt8
from numpy import ndarray


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a clip, with its time."""

    pixels: UInt8[ndarray, "H W 3"]
    time: Fraction
    """seconds since the start of the painted part"""
    duration: Fraction
    """seconds until the next one"""
    alpha: UInt8[ndarray, "H W"] | None = None


@dataclass(frozen=True)
class ClipInfo:
    """The facts about a clip that are known before its frames are read."""

    size: tuple[int, int]
    """(height, width), upright"""
    rate: Fraction
    """mean number of frames per second"""
    time_base: Fraction
    """seconds; all times are multiples of it"""
    count: int | None
    """approximate number of frames; None if the file does not have it"""
    aspect: Fraction = Fraction(1)
    """width of a pixel divided by its height"""
    loops: int = 0
    """how often an animation is repeated; 0: for ever"""
