"""What may be asked of the optimization. Imports no JAX, so that the command line checks its flags at once."""

from __future__ import annotations

from emojax.errors import InputError
from emojax.util.numbers import is_number, is_whole

SMALLEST, LARGEST = 64, 2048
"""the smallest and the largest long side that a picture can be painted at, in pixels"""
SEED = 0
"""the default seed of the random positions"""
_SEEDS = 2**32


def check_limits(size: object, seconds: object, seed: object) -> None:
    """Raises InputError for values that are not numbers, or are out of range; see `emojax.pipeline.painting.paint_photo`."""
    if size is not None and not (is_whole(size) and SMALLEST <= size <= LARGEST):  # type: ignore[operator]
        raise InputError(f"`size` {size!r}: it is {SMALLEST} to {LARGEST} pixels", "size")
    if seconds is not None and not (is_number(seconds) and seconds > 0):  # type: ignore[operator]
        raise InputError(f"`seconds` {seconds!r}: give a number above 0", "seconds")
    if not (is_whole(seed) and 0 <= seed < _SEEDS):  # type: ignore[operator]
        raise InputError(f"`seed` {seed!r}: it is 0 to {_SEEDS - 1}", "seed")
