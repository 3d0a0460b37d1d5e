"""Many pictures through a program that is compiled for one number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def map_batches(program: Callable[[np.ndarray], Any], pictures: np.ndarray, size: int) -> np.ndarray:
    """What a program returns for pictures [N, ...], any N: `size` at a time, the last batch filled with zeros."""
    rows = []
    for start in range(0, max(len(pictures), 1), size):
        batch = pictures[start : start + size]
        filled = np.pad(batch, [(0, size - len(batch))] + [(0, 0)] * (batch.ndim - 1))
        rows.append(np.asarray(program(filled))[: len(batch)])
    return np.concatenate(rows)
