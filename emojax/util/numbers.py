"""Checks whether a caller's value is a number."""

from __future__ import annotations

import math

import numpy as np


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
