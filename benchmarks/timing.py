"""Interleaved timing: every runner once per round, so that a machine that slows down slows all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

REST = 0.1  # seconds; the threads of some runners keep spinning after a run and would take cores from the next one


class Clock:
    """The time limit of a run; without `minutes` there is none."""

    def __init__(self, minutes: float | None = None) -> None:
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def has(self, seconds: float = 0.0) -> bool:
        """Whether more than `seconds` are left."""
        return time.monotonic() + seconds < self._end


def interleaved(
    runners: Mapping[str, Callable[[], Any]],
    repeats: int,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    until: Clock | None = None,
) -> dict[str, list[float]]:
    """Seconds of each runner, by its name: [first quartile, median, third quartile] of `repeats` rounds after warm-up.

    The rounds end early when the time of `until` is over, but not before the first one is done.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(warm_up + repeats):
        if turn > warm_up and until is not None and not until.has():
            break
        for name, runner in runners.items():
            time.sleep(REST)
            start = clock()
            runner()
            if turn >= warm_up:
                seconds[name].append(clock() - start)
    return {name: np.quantile(values, [0.25, 0.5, 0.75]).tolist() for name, values in seconds.items()}
