"""Whether a value that a caller gives is a number."""

from __future__ import annotations

import math

import numpy as np


def is_number(value: object) -> bool:
    """Whether a value is one finite real number, Python's or NumPy's; True and False are none."""
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def is_whole(value: object) -> bool:
    """Whether a value is one whole number."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
