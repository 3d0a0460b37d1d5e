"""Checks of a caller's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from emojax.errors import InputError

_LONGEST = 100
"""characters of a wrong value that a message quotes"""


def is_number(value: object) -> bool:
    """Whether a value is one finite real number, of Python or NumPy; booleans are not."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer above all floats
        return False


def is_whole(value: object) -> bool:
    """Whether a value is one integer."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_range(
    field: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Raises InputError, which names an option's field, unless its value, or each of a tuple, is a number in a range."""
    several = isinstance(value, tuple)
    numbers: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
    if all(
        (is_whole if whole else is_number)(number)
        and (above is None or number > above)
        and (least is None or number >= least)
        and (most is None or number <= most)
        and (below is None or number < below)
        for number in numbers
    ):
        return
    limits = {"above": above, "at least": least, "at most": most, "below": below}
    words = [f"{name} {limit:g}" for name, limit in limits.items() if limit is not None]
    kind = f"a{' whole' * whole} number"
    raise InputError(
        f"`{field}` {repr(value)[:_LONGEST]}: {'each' if several else 'it'} is {', '.join([kind, *words])}", field
    )
