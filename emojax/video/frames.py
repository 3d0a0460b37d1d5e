"""What a clip consists of."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from jaxtyping import UInt8
from numpy import ndarray


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a clip."""

    pixels: UInt8[ndarray, "H W 3"]
    time: Fraction
    """seconds from the start of what is painted"""
    duration: Fraction
    """seconds until the next one"""
    alpha: UInt8[ndarray, "H W"] | None = None


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip before its frames are read."""

    size: tuple[int, int]
    """(height, width), upright"""
    rate: Fraction
    """frames a second, in the mean"""
    time_base: Fraction
    """seconds that all times are multiples of"""
    count: int | None
    """frames that will come, about; None if the file does not tell"""
    aspect: Fraction = Fraction(1)
    """width of a pixel by its height"""
    loops: int = 0
    """how often an animation is repeated; 0: for ever"""
